"""When campaigns fire: exactly once, in the brand's zone, and from which states what can be done."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, func, select, update
from sqlmodel import Session

from campaigns.audience import freezing
from campaigns.audience.target import Audience
from campaigns.planning import schedule
from campaigns.planning.cron import next_firing
from campaigns.planning.plan import Plan, create_campaign, one_step
from campaigns.planning.schedule import WrongState, schedule_draft
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import Campaign, CampaignRun, Channel, Delivery, SendBatch, TrackedLink
from tests.conftest import StillClock
from tests.factories import make_account, make_campaign, make_channel, make_customer

TAIPEI, NEW_YORK = ZoneInfo("Asia/Taipei"), ZoneInfo("America/New_York")
TEXT = [{"type": "text", "text": "看 https://a.example/1 與 https://a.example/2"}]


def plan(**fields: Any) -> Plan:
    steps = one_step(fields.pop("messages", TEXT))
    return Plan(**{"name": "n", "audience": Audience(("all",)), "steps": steps, "at": None, **fields})


def create(engine: Engine, clock: StillClock, zone: ZoneInfo = TAIPEI, **fields: Any) -> Campaign:
    with transaction(engine) as session:
        channel = make_channel(session)
        assert channel.id is not None
        return create_campaign(session, plan(**fields), channel_id=channel.id, zone=zone, now=clock())


def tick(engine: Engine, clock: StillClock, zone: ZoneInfo = TAIPEI) -> list[int]:
    with transaction(engine) as session:
        made = schedule.fire_due(session, zone=zone, now=clock())
        planned = freezing.planned_runs(session, now=clock())
    for run_id in planned:
        with transaction(engine) as session:
            while freezing.freeze_slice(session, run_id, zone=zone, now=clock()):
                pass
    with transaction(engine) as session:
        schedule.settle(session, now=clock())
    return made


def campaign_of(engine: Engine, campaign_id: int | None) -> Campaign:
    with reading(engine) as session:
        return session.get_one(Campaign, campaign_id)


def runs(engine: Engine) -> list[Any]:
    with reading(engine) as session:
        return list(session.execute(select(table_of(CampaignRun)).order_by(table_of(CampaignRun).c.id)).all())


def test_a_plan_without_a_time_is_a_draft_that_never_fires(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock)
    clock.advance(days=400)
    assert campaign.state == "draft"
    assert tick(engine, clock) == []


def test_a_draft_is_given_its_time_once(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock)
    assert campaign.id is not None
    when: Any = {"at": clock() + timedelta(hours=1), "recurs": None, "zone": TAIPEI, "now": clock()}
    with transaction(engine) as session, pytest.raises(BadInput, match="say when"):
        schedule_draft(session, campaign.id, at=None, recurs=None, zone=TAIPEI, now=clock())
    with transaction(engine) as session:
        assert schedule_draft(session, campaign.id, **when).state == "scheduled"
    with transaction(engine) as session, pytest.raises(WrongState, match="not a draft"):
        schedule_draft(session, campaign.id, **when)
    clock.advance(hours=1)
    assert len(tick(engine, clock)) == 1


def test_a_plan_with_a_time_is_scheduled_with_its_links(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock, at=clock() + timedelta(hours=1))
    assert (campaign.state, campaign.next_fire_at) == ("scheduled", clock() + timedelta(hours=1))
    with reading(engine) as session:
        urls = list(session.scalars(select(table_of(TrackedLink).c.url).order_by(table_of(TrackedLink).c.id)))
    assert urls == ["https://a.example/1", "https://a.example/2"]


@pytest.mark.parametrize(
    "fields",
    [
        {"way": "carrier pigeon"},
        {"holdout_percent": Decimal(100)},
        {"holdout_percent": Decimal(-1)},
        {"holdout_percent": Decimal("NaN")},
        {"holdout_percent": Decimal("Infinity")},
        {"holdout_percent": Decimal("0.001")},
        {"name": " "},
        {"messages": []},
        {"audience": Audience(("everyone",))},
        {"audience": Audience(("rf11=nobody",))},
        {"audience": Audience(("rf12=champions",))},
        {"audience": Audience(("tag:none",))},
        {"recurs": "every day"},
        {"recurs": "0 10 31 2 *"},
        {"at": datetime(2026, 10, 1, tzinfo=UTC)},
    ],
)
def test_a_wrong_plan_is_refused_and_writes_nothing(engine: Engine, clock: StillClock, fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        create(engine, clock, **fields)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(table_of(Campaign))) == 0


@pytest.mark.parametrize(
    ("cron", "zone", "after", "firings"),
    [
        ("0 10 * * 1", TAIPEI, "2026-11-02T01:59Z", ["2026-11-02T02:00Z", "2026-11-09T02:00Z"]),  # 1 is Monday
        ("0 10 * * 0", TAIPEI, "2026-11-02T02:00Z", ["2026-11-08T02:00Z", "2026-11-15T02:00Z"]),  # 0 is Sunday
        ("0 10 * * 7", TAIPEI, "2026-11-02T02:00Z", ["2026-11-08T02:00Z"]),  # so is 7
        ("0 10 * * mon-fri", TAIPEI, "2026-11-06T03:00Z", ["2026-11-09T02:00Z"]),
        ("0 10 * * 5-7", TAIPEI, "2026-11-02T03:00Z", ["2026-11-06T02:00Z", "2026-11-07T02:00Z", "2026-11-08T02:00Z"]),
        ("0 10 * * */3", TAIPEI, "2026-11-02T03:00Z", ["2026-11-04T02:00Z", "2026-11-07T02:00Z", "2026-11-08T02:00Z"]),
        ("0 10 1 * *", TAIPEI, "2026-11-02T03:00Z", ["2026-12-01T02:00Z"]),
        # the hour that comes twice on 2026-11-01: each time of the clock fires once
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00Z", ["2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
        (
            "*/30 1 * * *",
            NEW_YORK,
            "2026-11-01T04:30Z",
            ["2026-11-01T05:00Z", "2026-11-01T05:30Z", "2026-11-02T06:00Z"],
        ),
        # the hour that is left out on 2026-03-08: an hour later, once
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00Z", ["2026-03-08T07:30Z", "2026-03-09T06:30Z"]),
        ("0 9 * * *", NEW_YORK, "2026-10-31T12:00Z", ["2026-10-31T13:00Z", "2026-11-01T14:00Z", "2026-11-02T14:00Z"]),
    ],
)
def test_cron_is_read_in_the_brands_zone(cron: str, zone: ZoneInfo, after: str, firings: list[str]) -> None:
    at = datetime.fromisoformat(after)
    for expected in firings:
        at = next_firing(cron, zone, at)
        assert at == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "cron", ["0 10 * * 8", "0 10 * * x", "0 10 * * */0", "0 10 1 * 1", "61 * * * *", "* * * *", ""]
)
def test_a_cron_expression_that_cant_be_read_is_refused(cron: str) -> None:
    with pytest.raises(BadInput, match="cron"):
        next_firing(cron, TAIPEI, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_recurring_plan_fires_first_at_the_very_time_it_names(engine: Engine, clock: StillClock) -> None:
    assert create(engine, clock, at=clock(), recurs="0 12 * * *").next_fire_at == clock()  # it is noon in Taipei


def test_a_due_campaign_fires_once_when_two_workers_tick_at_once(
    engine: Engine, clock: StillClock, in_threads: Callable[..., None]
) -> None:
    for _ in range(5):
        create(engine, clock, at=clock())
    made: list[int] = []

    def fire() -> None:
        with transaction(engine) as session:
            made.extend(schedule.fire_due(session, zone=TAIPEI, now=clock()))

    in_threads(fire, fire)
    made += tick(engine, clock)  # what both skipped, if anything
    assert len(made) == len(set(made)) == 5
    assert [r.campaign_id for r in runs(engine)] == sorted({r.campaign_id for r in runs(engine)})


def test_a_recurring_campaign_makes_a_run_each_time_and_waits_between(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock, recurs="0 13 * * *")
    for day in range(2):
        clock.advance(hours=1 if day == 0 else 24)
        assert len(tick(engine, clock)) == 1
        assert tick(engine, clock) == []
        assert campaign_of(engine, campaign.id).state == "scheduled"
    assert [r.state for r in runs(engine)] == ["sent", "sent"]
    assert runs(engine)[1].scheduled_for - runs(engine)[0].scheduled_for == timedelta(days=1)


def test_a_one_time_firing_more_than_a_day_late_fails_and_says_so(engine: Engine, clock: StillClock) -> None:
    at = clock()
    late, in_time = create(engine, clock, at=at), create(engine, clock, at=at + timedelta(seconds=1))
    clock.advance(hours=24, seconds=1)
    assert len(tick(engine, clock)) == 1
    assert campaign_of(engine, late.id).state == "failed"
    assert "2026-11-02 12:00" in (campaign_of(engine, late.id).problem or "")
    assert campaign_of(engine, in_time.id).state == "sent"


def test_a_recurring_firing_an_hour_late_is_left_out_and_the_next_one_comes(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock, recurs="0 13 * * *")
    clock.advance(hours=5)
    assert tick(engine, clock) == []
    assert "missed" in (campaign_of(engine, campaign.id).problem or "")
    clock.advance(hours=20)
    assert len(tick(engine, clock)) == 1
    assert campaign_of(engine, campaign.id).problem is None


PAUSE, CANCEL = schedule.pause, schedule.cancel


def _resume(session: Session, campaign_id: int) -> Campaign:
    return schedule.resume(session, campaign_id, zone=TAIPEI, now=datetime(2026, 11, 2, 4, tzinfo=UTC))


@pytest.mark.parametrize(
    ("state", "act", "becomes"),
    [
        ("draft", PAUSE, None),
        ("scheduled", PAUSE, "paused"),
        ("sending", PAUSE, "paused"),
        ("paused", PAUSE, "paused"),
        ("sent", PAUSE, None),
        ("cancelled", PAUSE, None),
        ("failed", PAUSE, None),
        ("draft", _resume, None),
        ("scheduled", _resume, None),
        ("sending", _resume, None),
        ("sent", _resume, None),
        ("cancelled", _resume, None),
        ("failed", _resume, None),
        ("draft", CANCEL, "cancelled"),
        ("scheduled", CANCEL, "cancelled"),
        ("sending", CANCEL, "cancelled"),
        ("paused", CANCEL, "cancelled"),
        ("cancelled", CANCEL, "cancelled"),
        ("sent", CANCEL, None),
        ("failed", CANCEL, None),
    ],
)
def test_what_can_be_done_in_which_state(
    session: Session, state: str, act: Callable[[Session, int], Campaign], becomes: str | None
) -> None:
    campaign = make_campaign(session, make_channel(session), state=state, resume_state="sending")
    assert campaign.id is not None
    if becomes is None:
        with pytest.raises(WrongState, match=state):
            act(session, campaign.id)
        assert campaign.state == state
    else:
        assert act(session, campaign.id).state == becomes


@pytest.mark.parametrize("act", [PAUSE, _resume, CANCEL])
def test_a_campaign_that_does_not_exist_is_not_found(session: Session, act: Callable[[Session, int], Any]) -> None:
    with pytest.raises(NotFound):
        act(session, 12345)


def test_a_paused_campaign_does_not_fire_and_fires_once_resumed(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock, at=clock() + timedelta(hours=1))
    assert campaign.id is not None
    with transaction(engine) as session:
        schedule.pause(session, campaign.id)
    clock.advance(hours=2)
    assert tick(engine, clock) == []
    with transaction(engine) as session:
        assert schedule.resume(session, campaign.id, zone=TAIPEI, now=clock()).state == "scheduled"
    assert len(tick(engine, clock)) == 1


def test_a_recurring_firing_that_fell_into_a_pause_is_not_made_up_for(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock, recurs="0 13 * * *")
    assert campaign.id is not None
    with transaction(engine) as session:
        schedule.pause(session, campaign.id)
    clock.advance(hours=1, minutes=30)
    with transaction(engine) as session:
        schedule.resume(session, campaign.id, zone=TAIPEI, now=clock())
    assert tick(engine, clock) == []


def test_a_run_paused_while_it_is_frozen_goes_on_freezing_when_resumed(engine: Engine, clock: StillClock) -> None:
    campaign = create(engine, clock, at=clock())
    assert campaign.id is not None
    with transaction(engine) as session:
        make_account(session, session.get_one(Channel, campaign.channel_id), make_customer(session))
        schedule.fire_due(session, zone=TAIPEI, now=clock())
        schedule.pause(session, campaign.id)
    tick(engine, clock)
    assert runs(engine)[0].state == "paused"
    with transaction(engine) as session:
        schedule.resume(session, campaign.id, zone=TAIPEI, now=clock())
    tick(engine, clock)
    assert runs(engine)[0].state == "sending"


def test_a_target_that_has_gone_fails_the_run_unless_it_was_cancelled(engine: Engine, clock: StillClock) -> None:
    failing, cancelled = create(engine, clock, at=clock()), create(engine, clock, at=clock())
    assert cancelled.id is not None
    with transaction(engine) as session:
        first, second = schedule.fire_due(session, zone=TAIPEI, now=clock())
        schedule.cancel(session, cancelled.id)
    for run_id in (first, second):
        with transaction(engine) as session:
            schedule.fail_run(session, run_id, "there is no tag 'x'")
    assert campaign_of(engine, failing.id).state == "failed"
    assert campaign_of(engine, cancelled.id).state == "cancelled"
    assert [r.state for r in runs(engine)] == ["failed", "cancelled"]


def test_a_campaign_on_a_stopped_channel_pauses_when_it_fires_and_resuming_opens_the_channel(
    engine: Engine, clock: StillClock
) -> None:
    campaign = create(engine, clock, at=clock())
    assert campaign.id is not None
    with transaction(engine) as session:
        schedule.stop_channel(session, campaign.channel_id, "401")
    tick(engine, clock)
    assert (campaign_of(engine, campaign.id).state, campaign_of(engine, campaign.id).problem) == ("paused", "401")
    with transaction(engine) as session:
        schedule.resume(session, campaign.id, zone=TAIPEI, now=clock())
        assert session.get_one(Channel, campaign.channel_id).stopped_reason is None
    tick(engine, clock)
    assert campaign_of(engine, campaign.id).state == "sent"


def test_cancelling_skips_who_was_not_called_and_leaves_in_doubt_who_may_have_been(
    engine: Engine, clock: StillClock
) -> None:
    campaign = create(engine, clock, at=clock(), holdout_percent=Decimal(0))
    assert campaign.id is not None
    with transaction(engine) as session:
        channel = session.get_one(Channel, campaign.channel_id)
        customers = [make_customer(session) for _ in range(3)]
        for customer in customers:
            make_account(session, channel, customer)
    people = [c.id for c in customers]
    tick(engine, clock)
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    with transaction(engine) as session:
        session.execute(
            update(delivery).where(delivery.c.customer_id == people[0]).values(first_attempt_at=clock())
        )  # its call timed out
        session.execute(update(delivery).where(delivery.c.customer_id == people[1]).values(state="accepted"))
        session.execute(
            update(batch).values(state="claimed", claimed_by="w", lease_until=clock() + timedelta(seconds=5))
        )
        schedule.cancel(session, campaign.id)
    tick(engine, clock)
    assert _states(engine, people) == ["chosen", "accepted", "chosen"]  # calls may be under way: wait for the lease
    clock.advance(seconds=6)
    tick(engine, clock)
    assert _states(engine, people) == ["unknown", "accepted", "skipped"]
    assert runs(engine)[0].finished_at == clock()


def _states(engine: Engine, people: list[int | None]) -> list[str]:
    delivery = table_of(Delivery)
    with reading(engine) as session:
        return list(
            session.scalars(
                select(delivery.c.state).where(delivery.c.customer_id.in_(people)).order_by(delivery.c.customer_id)
            )
        )


def test_pausing_firing_and_settling_at_once_never_deadlock_or_lose_a_state(
    engine: Engine, clock: StillClock, in_threads: Callable[..., None]
) -> None:
    made = [create(engine, clock, at=clock()).id or 0 for _ in range(4)]

    def tick_often() -> None:
        for _ in range(6):
            tick(engine, clock)

    def pause_and_resume() -> None:
        for campaign_id in made * 3:
            for act in (PAUSE, _resume):
                with suppress(WrongState), transaction(engine) as session:
                    act(session, campaign_id)

    in_threads(tick_often, tick_often, pause_and_resume)
    tick(engine, clock)
    assert {campaign_of(engine, i).state for i in made} == {"sent"}
    assert [r.state for r in runs(engine)] == ["sent"] * 4
