"""Where webhook bodies wait: nothing is lost on the way from one file to two, nor hit twice by a deletion."""

from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select

from store.bodies import open_bodies
from store.engine import is_sqlite, reading, table_of, transaction
from store.migrate import upgrade
from store.models import WebhookBody
from tests.factories import make_channel

BODY = table_of(WebhookBody)
AT = datetime(2026, 11, 2, 4, 30, 0, 123456, tzinfo=UTC)


def stored(engine: Engine) -> list[tuple[int, bytes, datetime, str | None]]:
    with reading(engine) as session:
        return [
            (row.channel_id, bytes(row.body), row.received_at, row.problem)
            for row in session.execute(select(BODY).order_by(BODY.c.id))
        ]


def test_bodies_of_an_earlier_version_move_to_where_they_are_read_now(engine: Engine) -> None:
    with transaction(engine) as session:
        channel_id = make_channel(session).id
        rows = [
            {"channel_id": channel_id, "received_at": AT, "body": b"%d\x00" % n, "problem": "odd" if n == 7 else None}
            for n in range(2_500)
        ]
        session.execute(insert(BODY), rows)
    upgrade(engine)
    upgrade(engine)
    bodies = open_bodies(engine)
    assert stored(bodies) == [tuple(row[k] for k in ("channel_id", "body", "received_at", "problem")) for row in rows]
    assert (stored(engine) == []) == is_sqlite(engine)
    bodies.dispose()


def test_an_id_is_never_given_again(engine: Engine) -> None:
    with transaction(engine) as session:
        row = {"channel_id": make_channel(session).id, "received_at": AT, "body": b"{}"}
    bodies = open_bodies(engine)
    ids: list[int] = []
    for _ in range(3):
        with transaction(bodies) as session:
            ids += session.execute(insert(BODY).values(row).returning(BODY.c.id)).scalars()
            session.execute(delete(BODY))
    assert len(set(ids)) == 3
    bodies.dispose()
