"""From bodies to events: nothing lost, nothing doubled, whatever the order, the crash or the poison."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, text, update

from bot.events import read_event
from bot.inbox import process_inbox
from store.bodies import open_bodies
from store.engine import is_sqlite, table_of, transaction
from store.models import (
    AuditEntry,
    BehaviourEvent,
    Channel,
    ConsentChange,
    Customer,
    Enrolment,
    LineAccount,
    Reply,
    WebhookBody,
)
from tests.bot.conftest import DESTINATION, PERSON, SAMPLES, TEXTS, Chat, body_of, sample_event
from tests.factories import make_account, make_campaign, make_channel, make_customer

OTHER = "U" + "7" * 32
ALL_KINDS = sorted(path.stem for path in SAMPLES.glob("*.json"))


def payloads(chat: Chat) -> list[dict[str, Any]]:
    return [row.payload for row in chat.rows(BehaviourEvent, "id")]


def test_every_kind_of_event_is_kept_raw_known_or_not(chat: Chat) -> None:
    for name in ALL_KINDS:
        chat.arrive(sample_event(name))
    assert chat.process() == len(ALL_KINDS)
    rows = {row.event_key: row for row in chat.rows(BehaviourEvent)}
    unsent = sample_event("unsend")["unsend"]["messageId"]
    for name in ALL_KINDS:
        raw = sample_event(name)
        row = rows[raw["webhookEventId"]]
        assert row.kind == raw["type"]
        assert row.occurred_at.timestamp() * 1000 == raw["timestamp"]
        assert (row.customer_id is None) == ("userId" not in raw.get("source", {}))
        if raw.get("message", {}).get("id") != unsent:
            assert row.payload == raw
    assert len(rows) == len(ALL_KINDS)
    assert chat.rows(WebhookBody) == []


def test_first_sight_makes_one_customer_whose_profile_is_due(chat: Chat) -> None:
    chat.take(chat.text("一"), chat.text("二"), chat.text("三", user=OTHER))
    chat.take(chat.text("四"))
    accounts = chat.rows(LineAccount, "line_user_id")
    assert [a.line_user_id for a in accounts] == [PERSON, OTHER]
    assert [a.profile_due_at for a in accounts] == [chat.clock(), chat.clock()]
    assert len(chat.rows(Customer)) == 2
    assert {e.customer_id for e in chat.rows(BehaviourEvent)} == {a.customer_id for a in accounts}


def test_imported_account_is_recognised_and_not_made_again(chat: Chat, engine: Engine) -> None:
    with transaction(engine) as session:
        channel = session.get_one(Channel, chat.channel_id)
        account = make_account(session, channel, make_customer(session), line_user_id=PERSON, is_following=None)
    chat.take(chat.text("hi"))
    (row,) = chat.rows(LineAccount)
    assert (row.id, row.customer_id, row.is_following) == (account.id, account.customer_id, True)
    assert len(chat.rows(Customer)) == 1


def test_person_known_on_another_channel_gets_an_account_but_no_second_customer(chat: Chat, engine: Engine) -> None:
    with transaction(engine) as session:
        other = make_account(session, make_channel(session), make_customer(session), line_user_id=PERSON)
    chat.take(chat.text("hi"))
    assert {a.customer_id for a in chat.rows(LineAccount)} == {other.customer_id}
    assert len(chat.rows(LineAccount)) == 2


def test_same_event_delivered_twice_makes_one_event_and_one_answer(chat: Chat) -> None:
    follow = chat.event("follow", follow={"isUnblocked": False})
    chat.arrive(follow, follow)
    chat.arrive({**follow, "deliveryContext": {"isRedelivery": True}})
    chat.process()
    chat.take({**follow, "deliveryContext": {"isRedelivery": True}})
    assert len(chat.rows(BehaviourEvent)) == 1
    assert len(chat.rows(Reply)) == 1


def test_event_without_an_id_is_told_by_its_content(chat: Chat) -> None:
    first = {k: v for k, v in chat.text("一").items() if k != "webhookEventId"}
    copy = {**first, "deliveryContext": {"isRedelivery": True}}
    chat.take(first)
    chat.take(copy, {**first, "timestamp": first["timestamp"] + 1})
    assert len(chat.rows(BehaviourEvent)) == 2


def test_same_content_on_two_channels_is_two_events(chat: Chat) -> None:
    raw = {"type": "botResumed"}
    keys = {read_event(raw, channel_id, chat.clock()).key for channel_id in (1, 2)}
    assert len(keys) == 2


def test_late_unfollow_does_not_undo_a_newer_follow(chat: Chat) -> None:
    chat.take(chat.event("follow", at_ms=chat.ms(seconds=-1)))
    chat.take(chat.event("unfollow", at_ms=chat.ms(seconds=-2)))
    assert chat.rows(LineAccount)[0].is_following is True
    chat.take(chat.event("unfollow", at_ms=chat.ms()))
    assert chat.rows(LineAccount)[0].is_following is False
    chat.take(chat.text("早先說的", at_ms=chat.ms(seconds=-5)))
    assert chat.rows(LineAccount)[0].is_following is False


@pytest.mark.parametrize("order", [("follow", "unfollow"), ("unfollow", "follow")])
@pytest.mark.parametrize("in_one_body", [True, False])
def test_of_two_in_the_same_millisecond_the_unfollow_wins(
    chat: Chat, order: tuple[str, str], in_one_body: bool
) -> None:
    events = [chat.event(kind) for kind in order]
    for group in [events] if in_one_body else [[e] for e in events]:
        chat.take(*group)
    assert chat.rows(LineAccount)[0].is_following is False


def test_newest_of_one_body_wins_whatever_its_place(chat: Chat) -> None:
    chat.take(
        chat.event("follow", at_ms=chat.ms(seconds=-1)),
        chat.event("unfollow", at_ms=chat.ms(seconds=-3)),
        chat.event("unfollow", at_ms=chat.ms(seconds=-2)),
    )
    (account,) = chat.rows(LineAccount)
    assert (account.is_following, account.follow_changed_ms) == (True, chat.ms(seconds=-1))


def test_person_seen_in_a_group_is_not_taken_for_a_follower(chat: Chat) -> None:
    chat.take(chat.text("大家好", source={"type": "group", "groupId": "C1", "userId": PERSON}))
    assert chat.rows(LineAccount)[0].is_following is None


def test_follow_after_a_missing_profile_asks_for_it_again(chat: Chat, engine: Engine) -> None:
    chat.take(chat.text("hi"))
    with transaction(engine) as session:
        session.execute(update(table_of(LineAccount)).values(profile_due_at=None, profile_tries=3))
    chat.take(chat.event("follow"))
    (account,) = chat.rows(LineAccount)
    assert (account.profile_due_at, account.profile_tries) == (chat.clock(), 0)


@pytest.mark.parametrize("unsend_first", [True, False])
@pytest.mark.parametrize("in_one_body", [True, False])
def test_unsend_deletes_the_words_whichever_comes_first(chat: Chat, unsend_first: bool, in_one_body: bool) -> None:
    said = chat.text("不該說的話", message_id="777")
    other = chat.text("留下的話", message_id="778")
    unsend = chat.event("unsend", unsend={"messageId": "777"})
    events = [unsend, said, other] if unsend_first else [said, other, unsend]
    for group in [events] if in_one_body else [[e] for e in events]:
        chat.take(*group)
    stored = json.dumps(payloads(chat), ensure_ascii=False)
    assert "不該說的話" not in stored
    assert "留下的話" in stored
    kept = next(p for p in payloads(chat) if p.get("message", {}).get("id") == "777")
    assert kept["message"] == {"id": "777", "type": "text", "unsent": True}


def test_redelivery_of_an_unsent_message_does_not_bring_its_words_back(chat: Chat) -> None:
    said = chat.text("不該說的話", message_id="777")
    chat.take(said)
    chat.take(chat.event("unsend", unsend={"messageId": "777"}))
    chat.take({**said, "deliveryContext": {"isRedelivery": True}})
    assert "不該說的話" not in json.dumps(payloads(chat), ensure_ascii=False)


def test_strange_values_are_kept_and_block_nothing(chat: Chat) -> None:
    strange = [
        {},
        {"type": 5, "timestamp": "yesterday", "source": "me", "webhookEventId": 7},
        {"type": "message", "message": "just words", "source": {"type": "user", "userId": ""}},
        {"type": "a\u0000b", "source": {"type": "user", "userId": "U\u0000"}, "webhookEventId": "\u0000"},
        {"type": "x", "timestamp": 10**30, "replyToken": ["t"], "source": {"type": "user", "userId": "U" * 5000}},
        {"type": "follow", "timestamp": -1, "source": {"type": "user"}},
        {"type": "unsend", "unsend": None},
        {"type": "postback", "postback": {"data": 5}, "source": {"type": "user", "userId": PERSON}},
    ]
    chat.take(*strange, chat.text("好的"))
    assert len(chat.rows(BehaviourEvent)) == len(strange) + 1
    assert len(chat.rows(LineAccount)) == 1
    assert all(e.occurred_at == chat.clock() for e in chat.rows(BehaviourEvent))


def test_events_that_are_no_objects_are_set_aside_and_the_readable_ones_stored(chat: Chat) -> None:
    chat.take(chat.text("好的"), "姓名", None)
    (body,) = chat.rows(WebhookBody)
    assert body.problem == "not an object: event 2, 3 of 3"
    assert len(chat.rows(BehaviourEvent)) == 1
    assert chat.process() == 0


def test_poison_among_good_bodies_is_found_and_only_it_is_set_aside(chat: Chat, engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(text("CREATE UNIQUE INDEX poison ON behaviour_event (kind) WHERE kind = 'poison'"))
    chat.take(chat.event("poison"))
    for number in range(5):
        chat.arrive(chat.text(f"第 {number} 句"))
    chat.arrive(chat.event("poison"), chat.text("同一封"))
    for number in range(5, 10):
        chat.arrive(chat.text(f"第 {number} 句"))
    assert chat.process() == 11
    (body,) = chat.rows(WebhookBody)
    assert body.problem == "can't be stored: " + (
        "IntegrityError" if "sqlite" in str(engine.url) else "UniqueViolation"
    )
    assert len(chat.rows(BehaviourEvent)) == 11
    assert chat.process() == 0


def test_a_signed_body_is_stored_whatever_destination_it_names(chat: Chat) -> None:
    chat.take(chat.text("hi"))
    assert chat.rows(Channel)[0].destination == DESTINATION
    assert chat.post(body_of(chat.text("hi"), destination=OTHER)).status_code == 200
    assert chat.process() == 1
    assert chat.rows(WebhookBody) == []
    assert len(chat.rows(BehaviourEvent)) == 2
    assert chat.rows(Channel)[0].destination == OTHER


def test_a_channel_keeps_when_its_newest_event_came_in_to_a_minute(chat: Chat) -> None:
    def told() -> Any:
        return chat.rows(Channel)[0].last_event_at

    chat.take("no event")
    assert told() is None
    first = chat.clock()
    chat.take(chat.text("hi"))
    assert told() == first
    chat.clock.advance(seconds=59)
    chat.take(chat.text("hi"))
    assert told() == first
    second = chat.clock.advance(seconds=1)
    chat.arrive(chat.text("hi"))
    chat.clock.advance(hours=1)  # the worker comes late
    assert chat.process() == 1
    assert told() == second


def test_crash_before_the_commit_loses_nothing_and_doubles_nothing(chat: Chat, engine: Engine) -> None:
    follow = chat.event("follow")
    chat.arrive(follow, chat.text("hi"), chat.text("取消"))

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    event.listen(engine, "commit", crash)
    with pytest.raises(KeyboardInterrupt):
        chat.process()
    event.remove(engine, "commit", crash)
    assert chat.rows(BehaviourEvent) == chat.rows(Customer) == chat.rows(Reply) == chat.rows(AuditEntry) == []
    assert chat.process() == 1
    assert len(chat.rows(BehaviourEvent)) == 3
    assert len(chat.rows(Customer)) == len(chat.rows(AuditEntry)) == 1
    assert len(chat.rows(Reply)) == 2


def test_crash_after_the_events_before_the_bodies_are_gone_doubles_nothing(chat: Chat) -> None:
    chat.arrive(chat.event("follow"), chat.text("hi"), chat.text("取消"), "no object")

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    event.listen(chat.bodies, "commit", crash)  # on PostgreSQL it is the commit of the events, too
    with pytest.raises(KeyboardInterrupt):
        chat.process()
    event.remove(chat.bodies, "commit", crash)
    assert len(chat.rows(WebhookBody)) == 1
    assert len(chat.rows(BehaviourEvent)) == (3 if is_sqlite(chat.engine) else 0)
    chat.clock.advance(seconds=5)
    assert chat.process() == 1
    assert chat.process() == 0
    assert [body.problem for body in chat.rows(WebhookBody)] == ["not an object: event 4 of 4"]
    assert len(chat.rows(BehaviourEvent)) == 3
    assert len(chat.rows(Customer)) == len(chat.rows(AuditEntry)) == 1
    assert len(chat.rows(Reply)) == 2


def test_two_processors_at_once_share_the_work(chat: Chat, open_again: Callable[[], Engine]) -> None:
    people = [f"U{n:032x}" for n in range(40)]
    for number in range(300):  # each person and every tenth event twice, so that the processors meet
        chat.arrive(chat.text(f"{number}", user=people[number % 40]))
    with transaction(chat.bodies) as session:
        rows = chat.rows(WebhookBody)[::10]
        again = [{"channel_id": r.channel_id, "received_at": r.received_at, "body": r.body} for r in rows]
        session.execute(insert(table_of(WebhookBody)), again)
    taken: list[int] = []

    def work(engine: Engine) -> None:
        bodies = open_bodies(engine)
        while count := process_inbox(engine, bodies, clock=chat.clock, texts=TEXTS, limit=7):
            taken.append(count)
        if bodies is not engine:
            bodies.dispose()

    threads = [threading.Thread(target=work, args=(open_again(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while chat.process():  # what a deadlock's loser may have left
        pass
    assert sum(taken) >= 330 - 7
    assert len(chat.rows(BehaviourEvent)) == 300
    assert len(chat.rows(LineAccount)) == len(chat.rows(Customer)) == 40
    assert chat.rows(WebhookBody) == []


def test_limit_bounds_the_bodies_of_one_call_and_oldest_go_first(chat: Chat) -> None:
    for number in range(5):
        chat.arrive(chat.text(str(number)))
    assert process_inbox(chat.engine, chat.bodies, clock=chat.clock, texts=TEXTS, limit=2) == 2
    assert [p["message"]["text"] for p in payloads(chat)] == ["0", "1"] or len(payloads(chat)) == 2
    assert len(chat.rows(WebhookBody)) == 3


def test_very_full_bodies_are_spread_over_several_transactions(chat: Chat) -> None:
    many = [{**chat.text("x"), "replyToken": None} for _ in range(300)]
    with transaction(chat.bodies) as session:
        for part in (many[:250], many[250:], [chat.text("y")]):
            row = {"channel_id": chat.channel_id, "received_at": chat.clock(), "body": body_of(*part)}
            session.execute(insert(table_of(WebhookBody)), [row] * 2)
    assert chat.process() == 2  # 250 + 250 events
    assert chat.process() == 4  # 50 + 50 + 1 + 1
    assert len(chat.rows(BehaviourEvent)) == 301


def test_refusal_is_recorded_by_line_time_and_audited(chat: Chat) -> None:
    chat.take(chat.text("取消", at_ms=chat.ms(seconds=-3)))
    (customer,) = chat.rows(Customer)
    assert customer.marketing_refused_at == chat.clock() - timedelta(seconds=3)
    (entry,) = chat.rows(AuditEntry)
    assert (entry.actor, entry.action, entry.detail["customer_id"]) == ("customer", "marketing_refused", customer.id)
    (change,) = chat.rows(ConsentChange)
    assert (change.customer_id, change.refuses, change.at) == (customer.id, True, customer.marketing_refused_at)
    assert "取消" not in json.dumps(entry.detail, ensure_ascii=False)


def test_newest_wish_holds_whatever_the_order_of_arrival(chat: Chat) -> None:
    chat.take(chat.event("postback", postback={"data": "action=resume"}, at_ms=chat.ms(seconds=-1)))
    chat.take(chat.text("取消", at_ms=chat.ms(seconds=-2)))
    assert chat.rows(Customer)[0].marketing_refused_at is None
    assert chat.rows(Customer)[0].marketing_agreed_at == chat.clock() - timedelta(seconds=1)  # it says so itself
    chat.take(chat.text("停止", at_ms=chat.ms()), chat.text("訂閱", at_ms=chat.ms()))
    assert chat.rows(Customer)[0].marketing_refused_at == chat.clock()
    assert chat.rows(Customer)[0].marketing_agreed_at is None
    assert [a.action for a in chat.rows(AuditEntry, "id")] == ["marketing_resumed", "marketing_refused"]


def test_refusal_noted_by_a_marketer_is_not_undone_by_an_older_resumption(chat: Chat, engine: Engine) -> None:
    chat.take(chat.text("hi"))
    with transaction(engine) as session:
        session.execute(update(table_of(Customer)).values(marketing_refused_at=chat.clock()))
    chat.take(chat.text("訂閱", at_ms=chat.ms(seconds=-1)))
    assert chat.rows(Customer)[0].marketing_refused_at == chat.clock()
    chat.take(chat.text("訂閱", at_ms=chat.ms(seconds=1)))
    assert chat.rows(Customer)[0].marketing_refused_at is None


def test_a_refusal_ends_every_sequence_at_once_and_a_resumption_does_not_bring_it_back(chat: Chat) -> None:
    chat.take(chat.text("hi"))
    (customer,) = chat.rows(Customer)
    with transaction(chat.engine) as session:
        channel = session.get_one(Channel, chat.channel_id)
        campaign = make_campaign(session, channel)
        assert campaign.id is not None
        assert customer.id is not None
        for state in ("waiting", "taken", "finished"):
            session.add(
                Enrolment(
                    campaign_id=campaign.id,
                    customer_id=customer.id,
                    entry_key=state,
                    entered_at=chat.clock(),
                    due_at=chat.clock(),
                    state=state,
                )
            )
    chat.take(chat.text("請不要再傳了", at_ms=chat.ms(seconds=1)))
    chat.take(chat.text("訂閱", at_ms=chat.ms(seconds=2)))
    assert [(row.state, row.reason) for row in chat.rows(Enrolment, "id")] == [
        ("left", "refused"),
        ("left", "refused"),
        ("finished", None),
    ]
