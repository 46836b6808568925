"""Whoever asks gets all that is stored of them, and whoever wishes is forgotten."""

import json
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from sqlmodel import Session, SQLModel

from store.bodies import changing_bodies, open_bodies
from store.engine import reading, table_of, transaction
from store.erasure import erase_person, forget_settled
from store.errors import NotFound
from store.models import (
    AuditEntry,
    BehaviourEvent,
    Channel,
    Click,
    Customer,
    CustomerChange,
    CustomerTag,
    Delivery,
    Reply,
    SalesOrder,
    SendBatch,
    Tag,
    TrackedLink,
    WebhookBody,
)
from store.persons import KEPT, export_person, note_refusal
from tests.conftest import StillClock
from tests.factories import LONG_AGO, make_account, make_campaign, make_channel, make_customer, make_order, make_run

WORDS = "我懷孕了"


@pytest.fixture
def somebody(engine: Engine, clock: StillClock) -> int:
    """With a name, an account, an order, words, a tag, a tap, and a body that was set aside."""
    now = clock()
    with transaction(engine) as session:
        channel = make_channel(session)
        one = make_customer(session, member_id="M7", name="林小姐", city="臺中", attributes={"email": "lin@a.example"})
        other = make_customer(session, member_id="M8", name="王先生")
        account = make_account(session, channel, one, line_user_id="U" + "a" * 32, display_name="小林")
        make_account(session, channel, other, line_user_id="U" + "b" * 32)
        make_order(session, one)
        tag = Tag(name="孕婦", kind="fact", definition={"type": "hand"}, created_at=now)
        link = TrackedLink(campaign_id=make_campaign(session, channel).id, url="https://a.example")
        session.add_all([tag, link])
        session.flush()
        said = {"message": {"text": WORDS}}
        session.add(
            BehaviourEvent(
                event_key="e1",
                source="line",
                kind="message",
                customer_id=one.id,
                payload=said,
                occurred_at=now,
                received_at=now,
            )
        )
        session.add(
            CustomerTag(tag_id=tag.id or 0, customer_id=one.id or 0, since=now, source="hand", evidence={"note": WORDS})
        )
        session.add(
            Click(link_id=link.id or 0, customer_id=one.id, clicked_at=now, kind="person", user_agent="Line/14 phone")
        )
        for user_id in (account.line_user_id, "U" + "b" * 32):
            body = f'{{"userId": "{user_id}"}}'.encode()
            with changing_bodies(session) as bodies:
                bodies.add(WebhookBody(channel_id=channel.id or 0, received_at=now, body=body, problem="odd"))
        return one.id or 0


def everything(engine: Engine) -> str:
    """All rows of all tables, as text."""
    with reading(engine) as session, reading(open_bodies(engine)) as bodies:
        tables = SQLModel.metadata.sorted_tables
        rows = [str(row) for table in tables for row in session.execute(select(table))]
        return "\n".join([*rows, *(str(row) for row in bodies.execute(select(table_of(WebhookBody))))])


def test_all_of_somebody_is_given_and_noted(engine: Engine, clock: StillClock, somebody: int) -> None:
    with transaction(engine) as session:
        found = export_person(session, somebody, actor="t", now=clock())
    text = json.dumps(found, ensure_ascii=False, default=str)
    for part in ("林小姐", "lin@a.example", WORDS, "孕婦", "Line/14 phone", "U" + "a" * 32):
        assert part in text
    assert "王先生" not in text
    assert len(found["orders"]) == 1
    with reading(engine) as session:
        assert session.scalars(select(table_of(AuditEntry).c.action)).all() == ["export customer"]


def test_who_is_erased_has_no_name_and_no_words_left(engine: Engine, clock: StillClock, somebody: int) -> None:
    with transaction(engine) as session:
        erase_person(session, somebody, actor="t", now=clock())
    left = everything(engine)
    for part in ("林小姐", "lin@a.example", WORDS, "小林", "Line/14", "U" + "a" * 32, "M7"):
        assert part not in left
    assert "王先生" in left
    assert "U" + "b" * 32 in left
    with reading(engine) as session:
        one = session.get_one(Customer, somebody)
        assert one.marketing_refused_at == clock()  # nothing is sent to them any more
        assert len(session.scalars(select(SalesOrder)).all()) == 1
        assert session.scalars(select(table_of(CustomerChange).c.customer_id)).all() == [somebody]
        noted = session.scalars(select(AuditEntry)).one()
    assert (noted.action, noted.detail) == ("erase customer", {"customer_id": somebody})
    with transaction(engine) as session:
        erase_person(session, somebody, actor="t", now=clock())  # twice is once


# work to be done, gone in seconds, and pieces of the name: nothing more is told of anybody
NOT_GIVEN = {"customer_change", "response_due", "customer_word"}


def test_every_table_about_people_is_given_to_them() -> None:
    about = {
        (table.name, column.name)
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
        if column.name in {"customer_id", "tapped_by_id"} and table.name not in NOT_GIVEN
    }
    given = {(table_of(model).name, column) for model, columns in KEPT.values() for column in columns}
    assert given == about


def send(session: Session, customer_id: int, clock: StillClock, **fields: object) -> Delivery:
    """A push to somebody in a run of its own; `fields` of the delivery, and `batch_state`, `run_state` beside them."""
    made: dict[str, Any] = {"state": "chosen", "batch_number": 1, "line_user_id": "U" + "a" * 32, **fields}
    batch_state, run_state = made.pop("batch_state", "due"), made.pop("run_state", "sending")
    reply_state = made.pop("reply_state", None)
    campaign = make_campaign(session, session.scalars(select(Channel)).first() or make_channel(session))
    run = make_run(session, campaign, state=run_state)
    session.add(SendBatch(run_id=run.id or 0, batch_number=1, recipient_count=1, state=batch_state, is_tallied=True))
    if reply_state:
        answer: dict[str, Any] = {"reply_token": "r", "messages": [{"text": WORDS}], "expires_at": clock()}
        event_id = session.scalars(select(table_of(BehaviourEvent).c.id)).one()
        ride: dict[str, Any] = {"run_id": run.id, "customer_id": customer_id, "channel_id": campaign.channel_id}
        session.add(Reply(event_id=event_id, state=reply_state, **answer, **ride))
    delivery = Delivery(run_id=run.id or 0, customer_id=customer_id, **made)
    session.add(delivery)
    session.flush()
    return delivery


def test_of_whoever_is_erased_no_delivery_keeps_the_address(engine: Engine, clock: StillClock, somebody: int) -> None:
    with transaction(engine) as session:
        keys = [
            (send(session, somebody, clock, state="accepted", batch_state="done", run_state="sent").run_id),
            (send(session, somebody, clock).run_id),  # nobody has begun it
            (send(session, somebody, clock, run_state="paused").run_id),
            (send(session, somebody, clock, batch_state="accepted", run_state="sent").run_id),  # a multicast's
            (send(session, somebody, clock, by_reply=True, reply_state="due").run_id),
        ]
        erase_person(session, somebody, actor="t", now=clock())
    with reading(engine) as session:
        found = [session.get_one(Delivery, (run_id, somebody)) for run_id in keys]
        assert [one.line_user_id for one in found] == [None] * 5
        assert [(one.state, one.reason) for one in found] == [
            ("accepted", None),
            ("skipped", "refused"),
            ("skipped", "refused"),
            ("chosen", None),
            ("skipped", "refused"),
        ]
        counted = [session.get_one(SendBatch, (run_id, 1)).is_tallied for run_id in keys]
    assert counted == [True, False, False, True, False]  # sums of those skipped are to be made anew


@pytest.mark.parametrize(
    "under_way",
    [{"batch_state": "claimed"}, {"first_attempt_at": LONG_AGO}, {"by_reply": True, "reply_state": "sending"}],
    ids=["claimed", "in doubt", "riding"],
)
def test_a_message_under_way_keeps_its_address_until_it_is_known_what_became_of_it(
    engine: Engine, clock: StillClock, somebody: int, under_way: dict[str, Any]
) -> None:
    with transaction(engine) as session:
        run_id = send(session, somebody, clock, **under_way).run_id
        erase_person(session, somebody, actor="t", now=clock())
    with transaction(engine) as session:
        assert forget_settled(session) == 0
        delivery = session.get_one(Delivery, (run_id, somebody))
        assert (delivery.state, delivery.line_user_id) == ("chosen", "U" + "a" * 32)  # the same key, the same people
        delivery.state = "accepted"
        session.execute(update(Reply).values(state="sent"))
    with transaction(engine) as session:
        assert forget_settled(session) == 1
        assert forget_settled(session) == 0
    left = everything(engine)
    assert "U" + "a" * 32 not in left
    assert WORDS not in left


def test_a_refusal_and_an_agreement_are_noted_and_one_ends_the_other(
    engine: Engine, clock: StillClock, somebody: int
) -> None:
    def noted(refuses: bool) -> tuple[datetime | None, datetime | None]:
        with transaction(engine) as session:
            note_refusal(session, somebody, refuses, actor="t", now=clock())
        with reading(engine) as session:
            one = session.get_one(Customer, somebody)
            return one.marketing_refused_at, one.marketing_agreed_at

    first = clock()
    assert noted(True) == (first, None)
    assert noted(False) == (None, first)
    clock.advance(days=1)
    assert noted(False) == (None, first)  # said before
    assert noted(True) == (clock(), None)


@pytest.mark.parametrize("customer_id", [0, 99, 2**70])
def test_nobody_unknown_is_erased(engine: Engine, clock: StillClock, customer_id: int) -> None:
    with pytest.raises(NotFound), transaction(engine) as session:
        erase_person(session, customer_id, actor="t", now=clock())
