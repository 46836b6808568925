"""Best hours out of the taps of a database, and when each hour next comes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, insert, select, update

from campaigns.planning.hours import SEGMENTS, allowed_hours, hour_of, moments_of_hours, renew_hours
from campaigns.planning.quiet import QuietHours
from campaigns.settings import change_settings
from store.engine import reading, table_of, transaction
from store.models import Click, Customer, CustomerHour, CustomerSegment, SegmentHour, TrackedLink
from tests.conftest import StillClock
from tests.factories import make_customer

TAIPEI = ZoneInfo("Asia/Taipei")


def tap(engine: Engine, customer_id: int, at: datetime, count: int = 1, kind: str = "person") -> None:
    """Taps on `count` days, at the same time of the day."""
    with transaction(engine) as session:
        link = session.scalar(select(table_of(TrackedLink).c.id))
        if link is None:
            link = session.execute(
                insert(table_of(TrackedLink))
                .values(url="https://a.example", name="shop")
                .returning(table_of(TrackedLink).c.id)
            ).scalar_one()
        rows = [
            {"link_id": link, "customer_id": customer_id, "clicked_at": at - timedelta(days=n), "kind": kind}
            for n in range(count)
        ]
        session.execute(insert(table_of(Click)), [{**row, "user_agent": "Line/1", "has_event": True} for row in rows])


def people(engine: Engine, *segments: str | None) -> list[int]:
    with transaction(engine) as session:
        ids = []
        for segment in segments:
            customer = make_customer(session)
            assert customer.id is not None
            ids.append(customer.id)
            now = customer.created_at
            session.add(CustomerSegment(customer_id=customer.id, rfm8=segment, nesl="E", nes="E", computed_at=now))
        return ids


def hours(engine: Engine) -> list[int | None]:
    customer, segment = table_of(Customer), table_of(CustomerSegment)
    with reading(engine) as session:
        query = select(hour_of(customer.c.id, segment.c.rfm8)).outerjoin_from(
            customer, segment, segment.c.customer_id == customer.c.id
        )
        return list(session.scalars(query.order_by(customer.c.id)))


def test_a_tap_that_names_its_person_teaches_though_the_link_is_everybodys(engine: Engine, clock: StillClock) -> None:
    ids = people(engine, "important_value", "important_value")
    for place, who in enumerate(ids):
        tap(engine, who, clock() + timedelta(hours=4 * place - 1), 30)
    proven = {"tapped_by_id": table_of(Click).c.customer_id, "customer_id": None}  # by a button, or LIFF
    with transaction(engine) as session:
        session.execute(update(table_of(Click)).where(table_of(Click).c.customer_id == ids[1]).values(**proven))
    assert renew_hours(engine, zone=TAIPEI, clock=clock) == 2
    assert hours(engine) == [11, 15]


def test_people_with_taps_have_their_own_hour_and_others_that_of_those_like_them(
    engine: Engine, clock: StillClock
) -> None:
    ids = people(engine, *["important_value"] * 20, "important_value", *["ordinary_win_back"] * 20, None)
    assert set(hours(engine)) == {None}  # nothing has been learned yet
    evening, morning = clock() + timedelta(hours=8), clock() - timedelta(hours=3)  # 20:00 and 09:00 in Taipei
    for customer_id in ids[:20]:
        tap(engine, customer_id, evening - timedelta(days=1), 6)
    for customer_id in ids[21:41]:
        tap(engine, customer_id, morning, 4)
    tap(engine, ids[0], clock() + timedelta(hours=1) - timedelta(days=1), 60)
    tap(engine, ids[20], morning, 200, kind="robot")
    assert renew_hours(engine, zone=TAIPEI, clock=clock) == 40
    found = hours(engine)
    assert found[0] == 13  # sixty taps of one's own outweigh the segment
    assert set(found[1:21]) == {20}  # number 20 has none but a robot's
    assert set(found[21:41]) == {9}
    assert found[41] in (9, 13, 20)  # in no segment: everybody's
    with reading(engine) as session:
        kept = session.execute(select(table_of(SegmentHour))).all()
        assert {row.segment for row in kept} == set(SEGMENTS)
        assert {row.taps for row in kept if row.segment == ""} == {20 * 6 + 60 + 20 * 4}


def test_renewing_again_changes_nothing_and_forgets_who_has_not_tapped_for_a_year(
    engine: Engine, clock: StillClock
) -> None:
    ids = people(engine, "important_value", "important_value")
    tap(engine, ids[0], clock())
    tap(engine, ids[1], clock() - timedelta(days=300))
    assert renew_hours(engine, zone=TAIPEI, clock=clock) == 2
    first = hours(engine)
    assert renew_hours(engine, zone=TAIPEI, clock=clock) == 2
    assert hours(engine) == first
    clock.advance(days=100)
    assert renew_hours(engine, zone=TAIPEI, clock=clock) == 1
    clock.advance(days=300)
    assert renew_hours(engine, zone=TAIPEI, clock=clock) == 0
    with reading(engine) as session:
        assert session.execute(select(table_of(CustomerHour))).all() == []


def test_nobodys_best_hour_is_quiet(engine: Engine, clock: StillClock) -> None:
    ids = people(engine, None)
    with transaction(engine) as session:
        change_settings(session, {"quiet_hours": "21:30-09:00"}, actor="ann", now=clock())
    tap(engine, ids[0], clock() + timedelta(hours=11) - timedelta(days=1), 50)  # 23:00 in Taipei
    renew_hours(engine, zone=TAIPEI, clock=clock)
    (hour,) = hours(engine)
    assert hour is not None
    assert 9 <= hour <= 20
    assert allowed_hours(QuietHours.from_words("21:30-09:00")).nonzero()[0].tolist() == list(range(9, 21))
    assert allowed_hours(None).all()


@pytest.mark.parametrize("zone", [TAIPEI, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")])
@pytest.mark.parametrize("start", ["2026-11-02T10:20", "2026-03-07T23:59", "2026-10-31T12:00", "2026-10-31T15:30"])
def test_each_hour_comes_within_a_day_of_the_start(zone: ZoneInfo, start: str) -> None:
    at = datetime.fromisoformat(start).replace(tzinfo=UTC)
    moments = moments_of_hours(at, zone)
    assert moments[at.astimezone(zone).hour] == at
    assert all(at <= moment < at + timedelta(hours=25) for moment in moments)
    shown = [moment.astimezone(zone).hour for moment in moments]
    assert sum(a != b for a, b in enumerate(shown)) <= 1  # at most the hour that summer time leaves out
