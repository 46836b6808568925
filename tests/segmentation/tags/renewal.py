"""A renewal of tags as the worker makes it: facts read, segments computed, tags judged and written."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis
from sqlalchemy import Engine, select

from segmentation.engine import GROUP_COLUMNS, Request, compute, kept, open_duckdb
from segmentation.facts import SCHEMAS
from segmentation.reading import read_facts
from segmentation.tags.assign import TagChanges, renew_tags
from segmentation.tags.needs import needed_facts
from store.engine import reading, table_of
from store.models import CustomerTag, Tag

TAIPEI = ZoneInfo("Asia/Taipei")
AS_OF = date(2026, 11, 3)
CYCLE_DAYS = 30

Table = Any


def on(days_before: int, hour: int = 12, as_of: date = AS_OF) -> datetime:
    """A time in Taipei so many calendar days before `as_of`."""
    day = as_of - timedelta(days=days_before)
    return datetime(day.year, day.month, day.day, hour, tzinfo=TAIPEI)


def evening_before(as_of: date) -> datetime:
    """When the worker computes for `as_of`: the day before, at 20:00 in Taipei."""
    return on(1, hour=20, as_of=as_of).astimezone(UTC)


def renew(engine: Engine, as_of: date = AS_OF, customer_ids: Sequence[int] | None = None, **options: Any) -> TagChanges:
    """Everybody's tags or those of a few, as of a day."""
    population = options.pop("population", None)
    with reading(engine) as session:
        names = {"orders", *needed_facts(session)}
    with open_duckdb(TAIPEI) as connection:
        facts = read_facts(connection, engine, *names, customer_ids=customer_ids)
        request = Request(as_of, TAIPEI, cycle_days=CYCLE_DAYS, models="all")
        found = compute(connection, facts.orders, request, population=population)
        segments = kept(connection, "new_segments", segments_of(facts.customers, found.table, as_of))
        facts = facts.__class__(**{**vars(facts), "segments": segments})
        return renew_tags(
            connection,
            engine,
            facts,
            found.table.select("customer_id", *GROUP_COLUMNS).left_join(found.by_cycles, "customer_id"),
            **{"as_of": as_of, "zone": TAIPEI, "now": evening_before(as_of), "cycle_days": CYCLE_DAYS, **options},
            customer_ids=customer_ids,
        )


def segments_of(customers: Table, found: Table, as_of: date) -> Table:
    """Computed segments in the shape of facts, for everybody."""
    rows = customers.select(everyone="customer_id").left_join(found, ibis._.everyone == found.customer_id)
    last = (ibis.literal(as_of) - rows.recency_days.as_interval("D")).cast("timestamp").cast("date")
    never = {name: rows[name].fill_null("never") for name in ("nesl", "nes", "nesl_personal", "nes_personal")}
    rows = rows.mutate(last_ordered_on=last, **never, activity=rows.activity.fill_null("none"))
    return rows.drop("customer_id").rename(customer_id="everyone").select(*SCHEMAS["segments"].names)


def tags_on(engine: Engine, customer_id: int) -> dict[str, CustomerTag]:
    """Tag name -> its current row on the customer."""
    tag, row = table_of(Tag), table_of(CustomerTag)
    with reading(engine) as session:
        found = session.execute(
            select(tag.c.name, CustomerTag)
            .join(tag, tag.c.id == row.c.tag_id)
            .where(row.c.customer_id == customer_id, row.c.until.is_(None))
        )
        return {name: current for name, current in found}  # noqa: C416 - rows are no pairs to the type checker


def history(engine: Engine, name: str) -> list[CustomerTag]:
    """Every assignment of a tag, current and past, in the order of writing."""
    tag, row = table_of(Tag), table_of(CustomerTag)
    with reading(engine) as session:
        wanted = select(CustomerTag).join(tag, tag.c.id == row.c.tag_id).where(tag.c.name == name).order_by(row.c.id)
        return list(session.scalars(wanted))
