"""The web application: webhook intake and tracked links in front, the LIFF page, the brand's own events, the console.

`create_app` returns the Flask application; `serve_with` puts before it, as plain WSGI, what must cost less than Flask's
routing.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, redirect, url_for
from sqlalchemy import Engine, text
from werkzeug.wrappers import Response as WerkzeugResponse

from bot.webhook import WebhookIntake
from campaigns.links.book import LinkBook
from campaigns.links.door import LinkDoor
from console.pages import create_console
from service.channels import webhook_keys
from service.event_door import add_event_door
from service.liff import add_liff_page
from service.links import token_signer
from service.settings import Settings
from store.clock import Clock, system_clock
from store.engine import reading
from store.errors import ExpectedError
from store.journal import Journal


def create_app(settings: Settings, engine: Engine, journal: Journal, clock: Clock = system_clock) -> Flask:
    """The Flask application with every page but the webhook and tracked links."""
    app = Flask(__name__, static_folder=None)
    app.secret_key = settings.secret_key.get_secret_value()

    @app.get("/")
    def home() -> WerkzeugResponse:
        return redirect(url_for("console.show_overview"), 302)

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
    console = create_console(
        engine,
        zone=settings.zone,
        clock=clock,
        password=settings.console_password.get_secret_value() or None,
        allow_without=settings.retarget_env == "development",
    )
    app.register_blueprint(console)

    @app.errorhandler(ExpectedError)
    def expected(error: ExpectedError) -> tuple[str, int]:
        return str(error), error.http_status

    return app


def serve_with(app: Flask, settings: Settings, engine: Engine, journal: Journal, clock: Clock = system_clock) -> Any:
    """The WSGI callable to serve: the webhook intake, tracked links, and `app` for everything else."""
    return WebhookIntake(
        LinkDoor(app, token_signer(settings), LinkBook(engine), journal, clock),
        webhook_keys(engine, settings),
        journal,
        clock,
        max_body_bytes=settings.max_body_bytes,
    )


def build(settings: Settings, engine: Engine, clock: Clock = system_clock) -> tuple[Any, Callable[[], None]]:
    """(WSGI callable, what to call at the end) for one web process."""
    journal = Journal(engine)
    app = create_app(settings, engine, journal, clock)
    return serve_with(app, settings, engine, journal, clock), journal.close
