"""Whose address it is, behind proxies of our own."""

import pytest
from flask import request
from sqlalchemy import Engine

from service.app import create_app
from service.settings import Settings
from store.journal import Journal


@pytest.mark.parametrize(("hops", "seen"), [(0, "127.0.0.1"), (1, "203.0.113.9")])
def test_the_address_comes_from_as_many_proxies_as_are_trusted(engine: Engine, hops: int, seen: str) -> None:
    journal = Journal(engine)
    app = create_app(Settings(_env_file=None, trusted_proxies=hops), engine, journal)  # type: ignore[call-arg]
    app.add_url_rule("/address", view_func=lambda: request.remote_addr or "")
    answer = app.test_client().get("/address", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    journal.close()
    assert answer.get_data(as_text=True) == seen
