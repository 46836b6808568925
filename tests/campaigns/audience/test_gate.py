"""The gate: every reason to skip at its boundary, caps over all campaigns and two runs frozen at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from campaigns.audience.freezing import freeze_run, freeze_slice, planned_runs
from campaigns.settings import change_settings
from store.engine import is_sqlite, reading, table_of, transaction
from store.models import CampaignRun, CampaignStep, Channel, Customer, Delivery, Enrolment, RunMember, SendBatch
from tests.campaigns.conftest import ZONE
from tests.conftest import StillClock
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_run

NOON = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)  # in Taipei, as the clock shows
MIDNIGHT = datetime(2026, 11, 1, 16, 0, tzinfo=UTC)  # the start of that day there


class Brand:
    """People with accounts, what they were sent before, and a new run."""

    def __init__(self, engine: Engine, clock: StillClock, people: int = 1) -> None:
        self.engine, self.clock = engine, clock
        with transaction(engine) as session:
            self.channel = make_channel(session)
            self.ids = []
            for _ in range(people):
                customer = make_customer(session)
                make_account(session, self.channel, customer)
                self.ids.append(customer.id or 0)

    def choose(self, **settings: Any) -> None:
        with transaction(self.engine) as session:
            change_settings(session, settings, actor="test", now=self.clock())

    def sent(self, at: datetime | None, *, state: str = "accepted", run_state: str = "sent", **fields: Any) -> None:
        """An earlier run, over an hour after `at` (None: not over), with one delivery to the first person."""
        way = fields.get("way", "push")
        with transaction(self.engine) as session:
            session.add(self.channel)
            campaign = make_campaign(session, self.channel, **fields)
            began = at or self.clock() - timedelta(days=3)
            over = None if at is None else at + timedelta(hours=1)
            run = make_run(
                session,
                campaign,
                scheduled_for=began,
                fired_at=began,
                finished_at=over,
                state=run_state,
                frozen_up_to=99,
            )
            assert run.id is not None
            is_batch = way != "push"
            batch_state = state if is_batch else "done"
            session.add(
                SendBatch(
                    run_id=run.id,
                    batch_number=1,
                    recipient_count=1,
                    state=batch_state,
                    sent_at=at if is_batch else None,
                )
            )
            session.add(
                Delivery(
                    run_id=run.id,
                    customer_id=self.ids[0],
                    state="chosen" if is_batch else state,
                    batch_number=1,
                    sent_at=None if is_batch else at,
                )
            )

    def plan(self, **fields: Any) -> int:
        with transaction(self.engine) as session:
            session.add(self.channel)
            campaign = make_campaign(session, self.channel, **{"holdout_percent": Decimal(0), **fields})
            return make_run(session, campaign, fired_at=self.clock()).id or 0

    def freeze(self, run_id: int) -> None:
        freeze_run(self.engine, run_id, zone=ZONE, clock=self.clock)

    def outcome(self, run_id: int) -> list[tuple[str, str | None]]:
        delivery = table_of(Delivery)
        with reading(self.engine) as session:
            rows = session.execute(
                select(delivery.c.state, delivery.c.reason)
                .where(delivery.c.run_id == run_id)
                .order_by(delivery.c.customer_id)
            )
            return [(row.state, row.reason) for row in rows]

    def becomes(self, **fields: Any) -> tuple[str, str | None]:
        """What becomes of the first person in a new run."""
        run_id = self.plan(**fields)
        self.freeze(run_id)
        return self.outcome(run_id)[0]


@pytest.fixture
def brand(engine: Engine, clock: StillClock) -> Brand:
    assert clock() == NOON
    return Brand(engine, clock)


GOES = ("chosen", None)


@pytest.mark.parametrize(
    ("cap", "oldest"),
    [
        ("cap_day", MIDNIGHT),
        ("cap_week", MIDNIGHT - timedelta(days=6)),
        ("cap_month", MIDNIGHT - timedelta(days=29)),
    ],
)
@pytest.mark.parametrize("way", ["push", "multicast"])
def test_a_cap_counts_whole_days_of_the_brands_zone(brand: Brand, cap: str, oldest: datetime, way: str) -> None:
    brand.choose(**{cap: 1})
    brand.sent(oldest - timedelta(seconds=1), way=way)  # over only within the window: the moment of the delivery tells
    assert brand.becomes() == GOES
    with transaction(brand.engine) as session:  # that one was sent today, and is no part of what is asked next
        session.execute(table_of(Delivery).delete().where(table_of(Delivery).c.state == "chosen"))
        session.execute(table_of(CampaignRun).update().values(state="failed"))
    brand.sent(oldest, way=way)
    assert brand.becomes() == ("skipped", cap)


def test_a_cap_of_two_lets_a_second_message_through_and_no_third(brand: Brand) -> None:
    brand.choose(cap_day=2)
    assert [brand.becomes() for _ in range(3)] == [GOES, GOES, ("skipped", "cap_day")]


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("chosen", True),
        ("accepted", True),
        ("unknown", True),
        ("held_out", False),
        ("skipped", False),
        ("failed", False),
    ],
)
def test_what_counts_towards_a_cap(brand: Brand, state: str, counts: bool) -> None:
    brand.choose(cap_day=1)
    brand.sent(None if state == "chosen" else NOON, state=state)
    assert brand.becomes() == (("skipped", "cap_day") if counts else GOES)


@pytest.mark.parametrize(("state", "counts"), [("accepted", True), ("unknown", True), ("failed", False), ("due", True)])
def test_a_multicasts_people_count_by_their_batch(brand: Brand, state: str, counts: bool) -> None:
    brand.choose(cap_day=1)
    brand.sent(None if state == "due" else NOON, state=state, way="multicast")
    assert brand.becomes() == (("skipped", "cap_day") if counts else GOES)


def test_one_not_sent_yet_counts_as_of_now_however_long_ago_it_was_chosen(brand: Brand) -> None:
    brand.choose(cap_day=1)
    brand.sent(None, state="chosen", run_state="paused")
    assert brand.becomes() == ("skipped", "cap_day")


def test_thousands_of_runs_a_month_are_counted(brand: Brand) -> None:
    brand.sent(NOON)
    runs, times = 1_300, 999  # of a shop with automations; SQLite refuses an expression of a thousand terms
    run, delivery = table_of(CampaignRun), table_of(Delivery)
    with transaction(brand.engine) as session:
        first = dict(session.execute(select(run)).one()._mapping)
        one = dict(session.execute(select(delivery)).one()._mapping)
        more = [first | {"id": first["id"] + n, "scheduled_for": NOON - timedelta(minutes=n)} for n in range(1, runs)]
        session.execute(run.insert(), more)
        session.execute(delivery.insert(), [one | {"run_id": its["id"]} for its in more[: times - 1]])
        if not is_sqlite(session):
            session.execute(text("SELECT setval('campaign_run_id_seq', :last)"), {"last": first["id"] + runs})
    brand.choose(cap_month=times + 1)
    assert brand.becomes() == GOES
    assert brand.becomes() == ("skipped", "cap_month")


def test_a_service_message_is_not_capped_and_does_not_count(brand: Brand) -> None:
    brand.choose(cap_day=1)
    assert brand.becomes(is_capped=False) == GOES
    assert brand.becomes() == GOES
    assert brand.becomes(is_capped=False) == GOES
    assert brand.becomes() == ("skipped", "cap_day")


def test_without_caps_nobody_is_capped(brand: Brand) -> None:
    assert [brand.becomes() for _ in range(4)] == [GOES] * 4


@pytest.mark.parametrize(
    ("minutes_ago", "priority", "found"),
    [
        (60, 5, ("skipped", "outranked")),
        (61, 5, GOES),
        (10, 0, GOES),  # of the same priority
        (10, -1, GOES),
    ],
)
def test_a_higher_priority_claims_a_person_within_the_collision_window(
    brand: Brand, minutes_ago: int, priority: int, found: tuple[str, str | None]
) -> None:
    brand.choose(collision_minutes=60)
    brand.sent(NOON - timedelta(minutes=minutes_ago), priority=priority)
    assert brand.becomes() == found


def test_runs_due_at_one_time_freeze_by_priority_and_the_lower_one_is_outranked(brand: Brand) -> None:
    low, high = brand.plan(priority=1), brand.plan(priority=2)
    with reading(brand.engine) as session:
        order = planned_runs(session, now=brand.clock())
    assert order == [high, low]
    for run_id in order:
        brand.freeze(run_id)
    assert brand.outcome(high) == [GOES]
    assert brand.outcome(low) == [("skipped", "outranked")]


def test_a_refusal_holds_for_service_messages_too(brand: Brand) -> None:
    with transaction(brand.engine) as session:
        refused = make_customer(session, marketing_refused_at=NOON)
        make_account(session, session.get_one(Channel, brand.channel.id), refused)
    run_id = brand.plan(is_capped=False)
    brand.freeze(run_id)
    assert brand.outcome(run_id) == [GOES, ("skipped", "refused")]


def test_where_consent_is_needed_marketing_goes_only_to_whom_it_is_recorded_of(
    engine: Engine, clock: StillClock
) -> None:
    brand = Brand(engine, clock, people=3)
    with transaction(engine) as session:
        session.get_one(Customer, brand.ids[0]).marketing_agreed_at = NOON
        refused = session.get_one(Customer, brand.ids[2])
        refused.marketing_agreed_at = refused.marketing_refused_at = NOON
    everybody = brand.plan()
    brand.freeze(everybody)
    assert brand.outcome(everybody) == [GOES, GOES, ("skipped", "refused")]
    brand.choose(needs_opt_in=True)
    marketing, service = brand.plan(), brand.plan(is_capped=False)
    brand.freeze(marketing)
    brand.freeze(service)
    assert brand.outcome(marketing) == [GOES, ("skipped", "not_agreed"), ("skipped", "refused")]
    assert brand.outcome(service) == [GOES, GOES, ("skipped", "refused")]


def test_the_global_holdout_gets_no_campaign_but_service_messages(engine: Engine, clock: StillClock) -> None:
    brand = Brand(engine, clock, people=60)
    brand.choose(global_holdout_percent=Decimal(50))
    outcomes = []
    for _ in range(2):
        run_id = brand.plan()
        brand.freeze(run_id)
        outcomes.append(brand.outcome(run_id))
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {GOES, ("skipped", "global_holdout")}
    service = brand.plan(is_capped=False)
    brand.freeze(service)
    assert set(brand.outcome(service)) == {GOES}  # a parcel's notice is no marketing


def test_a_cap_holds_when_two_runs_are_frozen_at_the_same_time(
    engine: Engine, clock: StillClock, in_threads: Callable[..., None]
) -> None:
    brand = Brand(engine, clock, people=300)
    brand.choose(cap_day=1)
    runs = [brand.plan(way=way) for way in ("push", "multicast", "push")]
    in_threads(*[lambda run_id=run_id: brand.freeze(run_id) for run_id in runs])
    delivery = table_of(Delivery)
    with reading(engine) as session:
        chosen = list(session.scalars(select(delivery.c.customer_id).where(delivery.c.state == "chosen")))
    assert sorted(chosen) == brand.ids
    assert sum(len(brand.outcome(run_id)) for run_id in runs) == 900


def test_when_the_quota_is_short_the_others_are_skipped_for_it(engine: Engine, clock: StillClock) -> None:
    brand = Brand(engine, clock, people=10)
    with transaction(engine) as session:
        channel = session.get_one(Channel, brand.channel.id)
        channel.quota_limit, channel.quota_used, channel.quota_read_at = 100, 93, clock()
    run_id = brand.plan()
    brand.freeze(run_id)
    assert sorted(state for state, _ in brand.outcome(run_id)) == ["chosen"] * 7 + ["skipped"] * 3
    assert {reason for state, reason in brand.outcome(run_id) if state == "skipped"} == {"quota"}


# --- what is planned with a higher priority ----------------------------------------------------------------------


def scheduled(brand: Brand, **fields: Any) -> int:
    """A campaign of a higher priority that is to fire in four hours, unless another time is given."""
    with transaction(brand.engine) as session:
        session.add(brand.channel)
        given = {"priority": 5, "state": "scheduled", "holdout_percent": Decimal(0), **fields}
        return make_campaign(session, brand.channel, **{"next_fire_at": NOON + timedelta(hours=4), **given}).id or 0


def test_the_last_place_of_a_day_is_kept_for_a_planned_campaign_of_higher_priority(brand: Brand) -> None:
    brand.choose(cap_day=1)
    scheduled(brand)
    assert brand.becomes() == ("skipped", "reserved")
    assert brand.becomes(priority=5) == GOES  # equal priorities keep nothing from each other


def test_a_place_is_kept_only_where_there_would_be_none_left(brand: Brand) -> None:
    brand.choose(cap_day=2)
    scheduled(brand)
    assert brand.becomes() == GOES
    assert brand.becomes() == ("skipped", "reserved")
    brand.choose(cap_day=3)
    assert brand.becomes() == GOES
    assert brand.becomes() == ("skipped", "reserved")


@pytest.mark.parametrize(
    "fields",
    [
        {"next_fire_at": MIDNIGHT + timedelta(days=1)},  # tomorrow
        {"is_capped": False},
        {"state": "paused"},
        {"holdout_percent": Decimal("99.99")},
        {"audience": {"any_of": ["tag:gone"], "none_of": []}},
        {"audience": {"any_of": ["nesl=E"], "none_of": []}},
    ],
)
def test_what_keeps_no_place(brand: Brand, fields: dict[str, Any]) -> None:
    brand.choose(cap_day=1)
    scheduled(brand, **fields)
    assert brand.becomes() == GOES


def test_places_of_a_week_are_kept_as_the_week_of_that_day_will_stand(brand: Brand) -> None:
    brand.choose(cap_week=2)
    brand.sent(NOON - timedelta(days=1))
    scheduled(brand, next_fire_at=NOON + timedelta(days=6))  # by then yesterday's is over a week ago
    assert brand.becomes() == GOES
    assert brand.becomes() == ("skipped", "cap_week")


def test_the_place_in_a_week_is_kept_for_a_later_day(brand: Brand) -> None:
    brand.choose(cap_week=2)
    brand.sent(NOON - timedelta(days=1))
    scheduled(brand, next_fire_at=NOON + timedelta(days=5))
    assert brand.becomes() == ("skipped", "reserved")


def test_several_planned_need_a_place_each(brand: Brand) -> None:
    brand.choose(cap_week=4, cap_month=20)
    for days in (1, 2, 3):
        scheduled(brand, next_fire_at=NOON + timedelta(days=days))
    assert brand.becomes() == GOES
    assert brand.becomes() == ("skipped", "reserved")


def test_quiet_hours_put_what_is_planned_off_to_the_day_on_which_it_goes(brand: Brand) -> None:
    brand.choose(cap_day=1, quiet_hours="14:00-08:00")
    scheduled(brand)
    assert brand.becomes() == GOES


def test_who_is_soon_written_to_with_a_higher_priority_is_not_written_to_now(brand: Brand) -> None:
    scheduled(brand, next_fire_at=NOON + timedelta(minutes=60))
    assert brand.becomes() == ("skipped", "reserved")
    brand.choose(collision_minutes=59)
    assert brand.becomes() == GOES


def test_a_planned_run_that_is_not_frozen_yet_keeps_the_places_of_its_people(engine: Engine, clock: StillClock) -> None:
    brand = Brand(engine, clock, people=4)
    brand.choose(cap_day=1)
    high, low = brand.plan(priority=2, state="sending"), brand.plan()
    with transaction(engine) as session:
        assert freeze_slice(session, high, zone=ZONE, now=clock(), size=2)
    brand.freeze(low)
    assert brand.outcome(low) == [("skipped", "outranked")] * 2 + [("skipped", "reserved")] * 2
    brand.freeze(high)
    assert brand.outcome(high) == [GOES] * 4


def test_who_waits_for_a_step_of_today_is_kept_a_place_and_who_may_not_get_it_is_not(
    engine: Engine, clock: StillClock
) -> None:
    brand = Brand(engine, clock, people=3)
    brand.choose(cap_day=1)
    campaign_id = scheduled(brand, next_fire_at=None)
    with transaction(engine) as session:
        session.add(CampaignStep(campaign_id=campaign_id, step_number=2, condition={"did": "click", "is": False}))
        for who, number in ((0, 1), (1, 2)):
            due: dict[str, Any] = {
                "entry_key": "k",
                "entered_at": NOON,
                "due_at": NOON + timedelta(hours=6),
                "step_number": number,
            }
            session.add(Enrolment(campaign_id=campaign_id, customer_id=brand.ids[who], **due))
    low = brand.plan()
    brand.freeze(low)
    assert brand.outcome(low) == [("skipped", "reserved"), GOES, GOES]


def test_a_planned_campaign_whose_audience_is_a_rule_is_asked_whom_it_means(engine: Engine, clock: StillClock) -> None:
    brand = Brand(engine, clock, people=3)
    brand.choose(cap_day=1)
    with transaction(engine) as session:
        session.get_one(Customer, brand.ids[1]).city = "Taipei"
    rule = 'rule:{"type": "attribute", "name": "city", "is": "Taipei"}'
    scheduled(brand, audience={"any_of": [rule], "none_of": []})
    low = brand.plan()
    brand.freeze(low)
    assert brand.outcome(low) == [GOES, ("skipped", "reserved"), GOES]
    with reading(engine) as session:
        assert session.execute(select(table_of(RunMember))).all() == []
