"""The journal on both databases: durable before it returns, one bad row fails alone, values come back as they went."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, func, select, text

from store.clock import Clock
from store.engine import is_sqlite, reading, table_of, transaction
from store.journal import Journal, JournalFailed
from store.models import AuditEntry, BehaviourEvent, LineAccount, WebhookBody
from tests.factories import make_channel


@pytest.fixture
def journal(engine: Engine) -> Iterator[Journal]:
    journal = Journal(engine)
    yield journal
    journal.close()


@pytest.fixture
def channel_id(engine: Engine) -> int:
    with transaction(engine) as session:
        return make_channel(session).id or 0


def bodies(engine: Engine) -> list[bytes]:
    with reading(engine) as session:
        rows = session.execute(select(table_of(WebhookBody).c.body).order_by(table_of(WebhookBody).c.id)).scalars()
        return [bytes(body) for body in rows]


def test_values_of_every_kind_come_back_as_they_went(engine: Engine, journal: Journal, channel_id: int) -> None:
    taipei = datetime(2026, 11, 2, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    payload = {"文字": "去屑 \u0000 🍎", "big": 2**53, "list": [1, None, 1.5]}
    fixed = {"source": "line", "kind": "x", "channel_id": channel_id, "occurred_at": taipei, "received_at": taipei}
    journal.append(BehaviourEvent, {"event_key": "k1", "payload": payload, **fixed})
    journal.append(WebhookBody, {"channel_id": channel_id, "received_at": taipei, "body": b"\x00\xff'\"\\"})
    with reading(engine) as session:
        event = session.execute(select(table_of(BehaviourEvent))).one()
        body = session.execute(select(table_of(WebhookBody))).one()
    assert event.payload == payload
    assert event.occurred_at == taipei
    assert event.occurred_at.utcoffset() == timedelta(0)
    assert event.customer_id is None
    assert bytes(body.body) == b"\x00\xff'\"\\"


def test_milliseconds_of_line_fit(engine: Engine, journal: Journal, channel_id: int) -> None:
    with transaction(engine) as session:
        session.execute(
            text("INSERT INTO customer (id, attributes, created_at) VALUES (7, '{}', '2026-01-01 00:00:00')")
        )
    account = {"channel_id": channel_id, "line_user_id": "U1", "customer_id": 7, "is_following": True}
    journal.append(LineAccount, {**account, "follow_changed_ms": 1_793_592_000_123, "profile_tries": 0})
    with reading(engine) as session:
        row = session.execute(select(table_of(LineAccount))).one()
    assert (row.follow_changed_ms, row.is_following, row.profile_due_at) == (1_793_592_000_123, True, None)


def test_many_threads_lose_nothing_and_double_nothing(
    engine: Engine, journal: Journal, channel_id: int, clock: Clock
) -> None:
    def append(number: int) -> None:
        journal.append(WebhookBody, {"channel_id": channel_id, "received_at": clock(), "body": b"%d" % number})

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(append, range(2000)))
    assert sorted(int(b) for b in bodies(engine)) == list(range(2000))


def test_one_bad_row_does_not_fail_the_others_of_its_group(
    engine: Engine, journal: Journal, channel_id: int, clock: Clock
) -> None:
    def append(number: int) -> bool:
        whose = 10**9 if number % 10 == 3 else channel_id  # no such channel: the foreign key refuses the row
        try:
            journal.append(WebhookBody, {"channel_id": whose, "received_at": clock(), "body": b"%d" % number})
        except JournalFailed:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        stored = list(pool.map(append, range(300)))
    assert stored == [number % 10 != 3 for number in range(300)]
    assert sorted(int(b) for b in bodies(engine)) == [n for n in range(300) if n % 10 != 3]


def test_rows_of_one_call_are_stored_all_or_none(
    engine: Engine, journal: Journal, channel_id: int, clock: Clock
) -> None:
    good = {"channel_id": channel_id, "received_at": clock(), "body": b"good"}
    with pytest.raises(JournalFailed, match=r"IntegrityError|ForeignKeyViolation"):
        journal.append(WebhookBody, good, {**good, "channel_id": 10**9})
    assert bodies(engine) == []
    journal.append(WebhookBody, good, {**good, "body": b"second"})
    assert bodies(engine) == [b"good", b"second"]


def test_rows_of_several_tables_share_the_journal(
    engine: Engine, journal: Journal, channel_id: int, clock: Clock
) -> None:
    def append(number: int) -> None:
        if number % 2:
            journal.append(WebhookBody, {"channel_id": channel_id, "received_at": clock(), "body": b"x"})
        else:
            journal.append(AuditEntry, {"at": clock(), "actor": "a", "action": "b", "detail": {"n": number}})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(append, range(100)))
    with reading(engine) as session:
        assert session.execute(select(func.count()).select_from(table_of(AuditEntry))).scalar_one() == 50
    assert len(bodies(engine)) == 50


def test_failure_says_its_kind_but_quotes_no_row(journal: Journal, channel_id: int, clock: Clock) -> None:
    with pytest.raises(JournalFailed) as caught:
        journal.append(WebhookBody, {"channel_id": channel_id, "received_at": clock(), "body": None, "problem": "秘密"})
    assert "秘密" not in str(caught.value)
    assert caught.value.http_status == 503
    assert caught.value.may_try_again


def test_text_the_database_cannot_hold_fails_alone_and_the_journal_goes_on(
    engine: Engine, journal: Journal, channel_id: int, clock: Clock
) -> None:
    row = {"channel_id": channel_id, "received_at": clock(), "body": b"1"}
    with pytest.raises(JournalFailed):
        journal.append(WebhookBody, {**row, "problem": "\ud800"})  # half a surrogate pair: no UTF-8
    journal.append(WebhookBody, row)
    assert bodies(engine) == [b"1"]


def test_unknown_column_and_naive_time_are_refused_at_once(journal: Journal, channel_id: int, clock: Clock) -> None:
    row = {"channel_id": channel_id, "received_at": clock(), "body": b"1"}
    with pytest.raises(ValueError, match="bodi"):
        journal.append(WebhookBody, {**row, "bodi": b"1"})
    with pytest.raises(ValueError, match="time zone"):
        journal.append(WebhookBody, {**row, "received_at": clock().replace(tzinfo=None)})


def test_close_commits_what_waits_and_later_appends_fail(engine: Engine, channel_id: int, clock: Clock) -> None:
    journal = Journal(engine)
    outcomes: list[bool] = []

    def append() -> None:
        try:
            journal.append(WebhookBody, {"channel_id": channel_id, "received_at": clock(), "body": b"1"})
        except JournalFailed:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=append) for _ in range(50)]
    for thread in threads:
        thread.start()
    journal.close()
    for thread in threads:
        thread.join(timeout=30)
    assert len(outcomes) == 50
    assert len(bodies(engine)) == outcomes.count(True)
    with pytest.raises(JournalFailed, match="stopping"):
        journal.append(WebhookBody, {"channel_id": channel_id, "received_at": clock(), "body": b"1"})
    journal.close()


def test_lost_connection_is_opened_anew(engine: Engine, journal: Journal, channel_id: int, clock: Clock) -> None:
    row = {"channel_id": channel_id, "received_at": clock(), "body": b"1"}
    journal.append(WebhookBody, row)
    if not is_sqlite(engine):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    journal.append(WebhookBody, {**row, "body": b"2"})
    assert bodies(engine) == [b"1", b"2"]
