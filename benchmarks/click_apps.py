"""The applications that benchmarks/clicks.py serves under granian, each a factory configured by the environment."""

import os
from typing import TYPE_CHECKING

from flask import Flask, abort, redirect, request
from werkzeug.wrappers import Response

from campaigns.links.book import LinkBook
from campaigns.links.door import LinkDoor
from campaigns.links.kinds import kind_of_fetch
from campaigns.links.tokens import TokenSigner, UnknownToken
from store.clock import system_clock
from store.engine import open_engine, transaction
from store.journal import Journal
from store.models import Click, TrackedLink

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

KEY = "benchmark" * 5


def door() -> "WSGIApplication":
    """The product: the link door in front of a Flask application."""
    engine = open_engine(os.environ["BENCH_DATABASE_URL"])
    return LinkDoor(Flask(__name__), TokenSigner(KEY), LinkBook(engine), Journal(engine), system_clock)


def orm() -> "WSGIApplication":
    """The same as one writes it first: a Flask route, SQLModel's get, add and commit for each tap."""
    engine = open_engine(os.environ["BENCH_DATABASE_URL"], pool_size=32)
    signer = TokenSigner(KEY)
    app = Flask(__name__)

    @app.get("/r/<token>")
    def follow(token: str) -> Response:
        try:
            tap = signer.read(token)
        except UnknownToken:
            abort(404)
        agent = request.headers.get("User-Agent", "")
        with transaction(engine) as session:  # which says at once that it will write: SQLite could not change its mind
            link = session.get(TrackedLink, tap.link_id)
            if link is None:
                abort(404)
            address = link.url
            click = Click(
                link_id=tap.link_id,
                run_id=tap.run_id,
                customer_id=tap.customer_id,
                clicked_at=system_clock(),
                kind=kind_of_fetch(request.method, agent, ""),
                user_agent=agent,
            )
            session.add(click)
        return redirect(address)

    return app
