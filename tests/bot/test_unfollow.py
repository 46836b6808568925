"""Who blocks the account is sent nothing that has not gone out; what may be on its way is left to whoever sends it."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import Session

from store.engine import table_of, transaction
from store.models import Channel, Customer, Delivery, LineAccount, SendBatch
from tests.bot.conftest import PERSON, Chat
from tests.factories import LONG_AGO, make_account, make_campaign, make_channel, make_run


def wait_for(session: Session, channel: Channel, account: LineAccount, **fields: Any) -> int:
    """A run whose push to that account waits; `fields` of its batch."""
    run = make_run(session, make_campaign(session, channel))
    session.add(
        SendBatch(
            run_id=run.id or 0, batch_number=1, **{"state": "due", "recipient_count": 1, "is_tallied": True, **fields}
        )
    )
    session.add(
        Delivery(
            run_id=run.id or 0,
            customer_id=account.customer_id,
            batch_number=1,
            line_user_id=account.line_user_id,
            state="chosen",
        )
    )
    session.flush()
    return run.id or 0


def state_of(chat: Chat, run_id: int, customer_id: int) -> tuple[str, str | None, bool]:
    """Of a delivery its state and reason, and whether its batch's sums still hold."""
    with transaction(chat.engine) as session:
        delivery = session.get_one(Delivery, (run_id, customer_id))
        return delivery.state, delivery.reason, session.get_one(SendBatch, (run_id, 1)).is_tallied


@pytest.fixture
def person(chat: Chat) -> LineAccount:
    """Somebody who follows the channel."""
    chat.take(chat.event("follow", at_ms=chat.ms(seconds=-9)))
    account: LineAccount = chat.rows(LineAccount)[0]
    return account


def test_who_blocks_is_skipped_and_nobody_else(chat: Chat, person: LineAccount) -> None:
    with transaction(chat.engine) as session:
        channel = session.get_one(Channel, chat.channel_id)
        waits = wait_for(session, channel, person)
        elsewhere = make_channel(session)
        there = make_account(session, elsewhere, session.get_one(Customer, person.customer_id), line_user_id=PERSON)
        by_another = wait_for(session, elsewhere, there)
        other = make_account(session, channel, session.get_one(Customer, person.customer_id))
        to_another = wait_for(session, channel, other)
    chat.take(chat.event("unfollow", at_ms=chat.ms()))
    assert state_of(chat, waits, person.customer_id) == ("skipped", "blocked", False)
    assert state_of(chat, by_another, person.customer_id) == ("chosen", None, True)
    assert state_of(chat, to_another, person.customer_id) == ("chosen", None, True)


def test_a_block_that_was_taken_back_since_skips_nothing(chat: Chat, person: LineAccount) -> None:
    with transaction(chat.engine) as session:
        waits = wait_for(session, session.get_one(Channel, chat.channel_id), person)
    chat.take(chat.event("follow", at_ms=chat.ms()), chat.event("unfollow", at_ms=chat.ms(seconds=-2)))
    assert state_of(chat, waits, person.customer_id) == ("chosen", None, True)


@pytest.mark.parametrize(
    "batch", [{"state": "claimed"}, {"first_attempt_at": LONG_AGO}], ids=["being sent", "in doubt"]
)
def test_what_may_be_on_its_way_is_left_to_whoever_sends_it(
    chat: Chat, person: LineAccount, batch: dict[str, Any]
) -> None:
    with transaction(chat.engine) as session:
        waits = wait_for(session, session.get_one(Channel, chat.channel_id), person, **batch)
    chat.take(chat.event("unfollow", at_ms=chat.ms()))
    assert state_of(chat, waits, person.customer_id) == ("chosen", None, True)


def test_one_person_in_doubt_is_left(chat: Chat, person: LineAccount) -> None:
    with transaction(chat.engine) as session:
        waits = wait_for(session, session.get_one(Channel, chat.channel_id), person)
        session.execute(update(table_of(Delivery)).values(first_attempt_at=LONG_AGO))
    chat.take(chat.event("unfollow", at_ms=chat.ms()))
    assert state_of(chat, waits, person.customer_id) == ("chosen", None, True)
