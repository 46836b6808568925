"""The web application: webhook intake and tracked links in front, the LIFF page, the brand's own events, the console.

`create_app` returns the Flask application; `serve_with` puts before it, as plain WSGI, what must cost less than Flask's
routing.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, redirect, url_for
from sqlalchemy import Engine, text
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as WerkzeugResponse

from bot.webhook import WebhookIntake
from campaigns.links.book import LinkBook
from campaigns.links.door import LinkDoor
from console.frame.site import Site
from console.pages import create_console
from service.channels import webhook_keys
from service.console_doors import ConsoleDoors
from service.copy_writer import writer_of
from service.event_door import add_event_door
from service.liff import add_liff_page
from service.links import token_signer
from service.settings import Settings
from store.bodies import open_bodies
from store.clock import Clock, system_clock
from store.engine import reading
from store.errors import ExpectedError
from store.journal import Journal


def create_app(settings: Settings, engine: Engine, journal: Journal, clock: Clock = system_clock) -> Flask:
    """The Flask application with every page but the webhook and tracked links."""
    app = Flask(__name__, static_folder=None)
    app.secret_key = settings.secret_key.get_secret_value()
    if settings.trusted_proxies:  # else everybody behind the proxy would share one address, and one lock-out
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]

    @app.get("/")
    def home() -> WerkzeugResponse:
        return redirect(url_for("console.show_today"), 302)

    @app.get("/healthz")
    def health() -> Response:
        with reading(engine) as session:
            session.execute(text("SELECT 1"))
        return Response("ok\n", mimetype="text/plain")

    add_event_door(
        app,
        engine,
        key=settings.events_key.get_secret_value(),
        zone=settings.zone,
        clock=clock,
        max_body_bytes=settings.max_body_bytes,
    )
    if settings.liff_id and settings.line_login_channel_id:
        from bot.line.login import LoginDoor  # here, not above: only a service with a LIFF app asks LINE Login

        add_liff_page(
            app,
            engine,
            journal,
            liff_id=settings.liff_id,
            id_tokens=LoginDoor(
                api_base=settings.line_api_base,
                channel_id=settings.line_login_channel_id,
                timeout_seconds=min(settings.line_timeout_seconds, 3.0),  # a person is waiting
            ),
            signer=token_signer(settings),
            book=LinkBook(engine),
            clock=clock,
        )
    site = Site(
        engine,
        settings.zone,
        clock,
        snapshot_folder=settings.snapshot_folder,
        conversion_days=settings.conversion_days,
        segment_defaults=settings.segment_defaults,
        public_base_url=settings.public_base_url,
        line=ConsoleDoors(settings),
        writer=writer_of(settings),
        upload_folder=settings.upload_folder,
        upload_max_bytes=settings.upload_max_bytes,
        currency=settings.currency,
    )
    app.register_blueprint(create_console(site, allow_first_owner=settings.retarget_env == "development"))

    @app.errorhandler(ExpectedError)
    def expected(error: ExpectedError) -> tuple[str, int]:
        return str(error), error.http_status

    return app


def serve_with(
    app: Flask,
    settings: Settings,
    engine: Engine,
    journal: Journal,
    inbox: Journal,
    clock: Clock = system_clock,
) -> Any:
    """The WSGI callable to serve: the webhook intake, tracked links, and `app` for everything else. `inbox` takes the
    webhook's bodies, `journal` all else: on SQLite they write to two files (store/bodies.py)."""
    return WebhookIntake(
        LinkDoor(app, token_signer(settings), LinkBook(engine), journal, clock),
        webhook_keys(engine, settings),
        inbox,
        clock,
        max_body_bytes=settings.max_body_bytes,
    )


def build(settings: Settings, engine: Engine, clock: Clock = system_clock) -> tuple[Any, Callable[[], None]]:
    """(WSGI callable, what to call at the end) for one web process."""
    journal, bodies = Journal(engine), open_bodies(engine)
    inbox = journal if bodies is engine else Journal(bodies)
    app = create_app(settings, engine, journal, clock)

    def close() -> None:
        journal.close()
        inbox.close()
        bodies.dispose()

    return serve_with(app, settings, engine, journal, inbox, clock), close
