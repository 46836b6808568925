"""The web application: the webhook intake in front, tracked links, the brand's own events, the console behind.

`create_app` returns the Flask application; `serve_with` puts the intake, which must cost less than Flask's routing,
before it as plain WSGI.
"""

from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, redirect, request, url_for
from sqlalchemy import Engine, text
from werkzeug.wrappers import Response as WerkzeugResponse

from bot.webhook import WebhookIntake
from campaigns.links.clicks import LinkBook, TokenSigner, kind_of_request, record_tap
from console import create_console
from service.channels import webhook_keys
from service.event_door import add_event_door
from service.settings import Settings
from store.clock import Clock, system_clock
from store.engine import reading
from store.errors import ExpectedError
from store.journal import Journal, JournalFailed

log = structlog.get_logger()


def create_app(settings: Settings, engine: Engine, journal: Journal, clock: Clock = system_clock) -> Flask:
    """The Flask application with every page but the webhook."""
    app = Flask(__name__, static_folder=None)
    app.secret_key = settings.secret_key.get_secret_value()
    signer, links = TokenSigner(settings.secret_key.get_secret_value()), LinkBook(engine)

    @app.get("/r/<token>")
    def follow_link(token: str) -> WerkzeugResponse:
        tap = signer.read(token)
        address = links.find(tap)
        kind = kind_of_request(request.method, request.headers)
        try:
            record_tap(journal, tap, kind=kind, user_agent=request.headers.get("User-Agent") or "", now=clock())
        except JournalFailed:
            # The person is on the way to the shop: a tap that can't be counted must not cost the brand the visit.
            log.error("tap_not_stored", link_id=tap.link_id, run_id=tap.run_id)
        answer = redirect(address, 302)
        answer.headers["Cache-Control"] = "no-store"  # a cached redirect would hide the next tap
        answer.headers["Referrer-Policy"] = "no-referrer"  # the token is the person's own
        return answer

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
    """The WSGI callable to serve: the webhook intake, and `app` for everything else."""
    return WebhookIntake(
        app,
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
