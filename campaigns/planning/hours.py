"""Each person's best hour, kept in tables that a job renews, and what it means for the time of a delivery.

Used by campaigns/audience/slices.py for campaigns with `at_best_hour`: `hour_of` is the SQL of a person's hour, and
`moments_of_hours` when each hour next comes. A batch holds people of one hour and waits for it (SendBatch.not_before).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import ColumnElement, Engine, delete, func, select
from sqlmodel import Session

from campaigns.planning.best_hour import HOURS, best_hour, learn, shares_of
from campaigns.planning.quiet import QuietHours, moment_at
from campaigns.settings import read_settings
from segmentation.engine import open_duckdb
from segmentation.models import MODELS
from segmentation.reading import read_into
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.models import CustomerHour, SegmentHour

LOOK_BACK_DAYS = 365  # taps that were longer ago say little of when somebody taps now
SLICE = 2_000  # people written in one transaction
EVERYBODY = ""
SEGMENTS = (EVERYBODY, *(segment.name for segment in MODELS["rfm8"]))  # of deliveries too

customer_hour, segment_hour = table_of(CustomerHour), table_of(SegmentHour)


def hour_of(customer_id: ColumnElement[Any], segment: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL for the best hour (0..23, the brand's clock) of a customer: their own, else that of their `segment` (rfm8,
    may be null), else everybody's; null before the first renewal, which means at once."""
    own = select(customer_hour.c.hour).where(customer_hour.c.customer_id == customer_id).scalar_subquery()
    theirs = select(segment_hour.c.hour).where(segment_hour.c.segment == segment).scalar_subquery()
    everybodys = select(segment_hour.c.hour).where(segment_hour.c.segment == EVERYBODY).scalar_subquery()
    return func.coalesce(own, theirs, everybodys)


def moments_of_hours(start: datetime, zone: ZoneInfo) -> list[datetime]:
    """For each hour 0..23 the first time (aware UTC) from `start` on at which the clock of `zone` shows that hour:
    `start` itself for the hour under way, all others within a day."""
    here = start.astimezone(zone)
    found = []
    for hour in range(HOURS):
        day = here.date()
        moment = start if hour == here.hour else moment_at(day, time(hour), zone)
        while moment < start:
            day += timedelta(days=1)
            moment = moment_at(day, time(hour), zone)
        found.append(moment)
    return found


def renew_hours(engine: Engine, *, zone: ZoneInfo, clock: Clock) -> int:
    """Learn everybody's best hour from all taps of the last year and store it; returns how many people have tapped.
    Hours that are quiet for the brand are nobody's best. Several taps within one hour of a day count once."""
    with reading(engine) as session:
        quiet = read_settings(session).quiet()
    with open_duckdb(zone) as connection:
        people, segment, counts = _taps(connection, engine, clock())
    allowed = allowed_hours(quiet)
    hours = learn(counts, segment, len(SEGMENTS))
    of_people = best_hour(shares_of(counts, segment, hours), allowed)
    shares = np.vstack([hours.everyone, hours.segments[1:]])
    totals = [int(counts.sum()), *(int(counts[segment == n].sum()) for n in range(1, len(SEGMENTS)))]
    with transaction(engine) as session:
        _store_segments(session, best_hour(shares, allowed).tolist(), totals)
    taps = counts.sum(axis=1)
    for start in range(0, max(len(people), 1), SLICE):
        part = slice(start, start + SLICE)
        with transaction(engine) as session:
            _store_people(
                session,
                people[part].tolist(),
                of_people[part].tolist(),
                taps[part].tolist(),
                after=int(people[start - 1]) if start else 0,
                is_last=start + SLICE >= len(people),
            )
    return len(people)


def allowed_hours(quiet: QuietHours | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which hours of the day (24,) are not touched by the quiet hours."""
    if quiet is None:
        return np.ones(HOURS, dtype=bool)
    day = datetime(2026, 1, 1, tzinfo=UTC)
    minutes = [quiet.end_of(day + timedelta(minutes=n), ZoneInfo("UTC")) is None for n in range(HOURS * 60)]
    return np.asarray(np.array(minutes).reshape(HOURS, 60).all(axis=1))


def _taps(connection: Any, engine: Engine, now: datetime) -> tuple[Any, Any, Any]:
    """Customer ids ascending, the place of each one's segment in SEGMENTS, and taps (people, 24)."""
    # Whoever tapped, by a link of their own or proven: a button, or LIFF, names them where the link is everybody's.
    who = "coalesce(tapped_by_id, customer_id)"
    clicks = f"SELECT {who} AS customer_id, clicked_at FROM click WHERE kind = 'person' AND {who} IS NOT NULL"  # noqa: S608
    instant = "SELECT customer_id, make_timestamptz(epoch_us(clicked_at)) AS tapped_at"
    read_into(connection, "tap", engine, clicks, instant)
    read_into(connection, "rfm8", engine, "SELECT customer_id, rfm8 FROM customer_segment WHERE rfm8 IS NOT NULL")
    oldest = now - timedelta(days=LOOK_BACK_DAYS)
    rows = connection.con.execute(
        "SELECT customer_id, coalesce(rfm8, '') AS segment, hour(tapped_at) AS hour,"
        " count(DISTINCT date_trunc('hour', tapped_at)) AS n"
        " FROM tap LEFT JOIN rfm8 USING (customer_id) WHERE tapped_at >= ? GROUP BY ALL ORDER BY customer_id",
        [oldest],
    ).fetchnumpy()
    people, place = np.unique(rows["customer_id"].astype(np.int64), return_inverse=True)
    counts = np.zeros((len(people), HOURS))
    counts[place, rows["hour"].astype(int)] = rows["n"]
    numbers = {name: number for number, name in enumerate(SEGMENTS)}
    segment = np.zeros(len(people), dtype=int)
    segment[place] = [numbers[name] for name in rows["segment"]]
    return people, segment, counts


def _store_segments(session: Session, hours: Sequence[int], taps: Sequence[int]) -> None:
    rows = [
        {"segment": name, "hour": hour, "taps": count} for name, hour, count in zip(SEGMENTS, hours, taps, strict=True)
    ]
    made = insert_for(session, SegmentHour)
    changed = {"hour": made.excluded.hour, "taps": made.excluded.taps}
    session.connection().execute(made.on_conflict_do_update(index_elements=["segment"], set_=changed), rows)


def _store_people(
    session: Session, people: list[int], hours: list[int], taps: list[float], *, after: int, is_last: bool
) -> None:
    """Write a slice of people by ascending id, and forget those between them who have no taps any more."""
    mine = [customer_hour.c.customer_id > after]
    if not is_last:
        mine.append(customer_hour.c.customer_id <= people[-1])
    session.execute(delete(customer_hour).where(*mine, customer_hour.c.customer_id.not_in(people)))
    rows = [
        {"customer_id": who, "hour": hour, "taps": int(count)}
        for who, hour, count in zip(people, hours, taps, strict=True)
    ]
    if not rows:
        return
    made = insert_for(session, CustomerHour)
    changed = {"hour": made.excluded.hour, "taps": made.excluded.taps}
    session.connection().execute(made.on_conflict_do_update(index_elements=["customer_id"], set_=changed), rows)
