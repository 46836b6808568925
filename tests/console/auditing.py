"""Whether the audit log tells of every change: what a form of the console committed beside no word in it."""

import re
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from sqlalchemy import Connection, Engine, event

from console.pages import CHANGING

WRITES = re.compile(r"(?:INSERT (?:OR \w+ )?INTO|(?<!DO )UPDATE|DELETE FROM) \"?(\w+)")
AUDIT = "audit_entry"
# What is no change of a marketer's: that a browser was seen, a failed guess (of an account that there is, it is noted),
# a number that the worker is to work out for a page, and what one statement puts down for the next.
UNSAID = {"console_session", "console_attempt", "segment_movement", "recent_run"}

unnoted: list[tuple[str, set[str]]] = []  # (address, tables) of forms that changed something without a word


def watch(app: Flask, engine: Engine) -> None:
    """Collect in `unnoted` what forms of `app` change in `engine`'s database and don't note."""
    for name, listener in (("after_cursor_execute", _see), ("commit", _keep), ("rollback", _drop)):
        if not event.contains(engine, name, listener):
            event.listen(engine, name, listener)
    app.after_request(_judge)


def _see(connection: Connection, cursor: Any, statement: str, *_: object) -> None:
    tables = set(WRITES.findall(statement))
    if cursor.rowcount or AUDIT in tables:  # SQLite knows of no row while one is to be returned
        connection.info.setdefault("written", set()).update(tables)


def _keep(connection: Connection) -> None:
    written = connection.info.pop("written", set())
    if has_request_context():
        g.setdefault("written", set()).update(written)


def _drop(connection: Connection) -> None:
    connection.info.pop("written", None)


def _judge(answer: Response) -> Response:
    written = g.get("written", set())
    if request.method in CHANGING and AUDIT not in written and (changed := written - UNSAID):
        unnoted.append((request.path, changed))
    return answer
