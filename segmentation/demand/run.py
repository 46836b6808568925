"""One look at demand over the whole database, and keeping it for the console: reads in bulk, writes one row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, delete, select
from sqlmodel import Session

from segmentation.demand.acts import catalogue, product_count, shares
from segmentation.demand.growing import Group, growing_groups
from segmentation.demand.shortage import members_of, shortages
from segmentation.demand.unanswered import unanswered
from segmentation.engine import open_duckdb
from segmentation.models import MODELS
from segmentation.preference.words import Tokenize
from segmentation.reading import read_facts
from store.clock import Clock, today
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import DemandReport, Tag

EVERYBODY = "all"
DEFAULT_DAYS = 90  # of acts looked at
GROWTH_DAYS = 28
REPORTS_KEPT = 30
ROWS_KEPT = 40  # per group

report_table, tag = table_of(DemandReport), table_of(Tag)


@dataclass(frozen=True)
class Demand:
    """What the groups want. `groups`: everybody first (who did or said something in the `days`), then those that grow;
    `shortages` has the columns of shortage.py, `words` those of unanswered.py; both by group."""

    as_of: date
    days: int
    products: int  # in stock, or not known to be out of it
    groups: list[Group]
    shortages: pa.Table
    words: pa.Table


def find_demand(
    engine: Engine,
    *,
    zone: ZoneInfo,
    clock: Clock,
    tokenize: Tokenize,
    days: int = DEFAULT_DAYS,
    growth_days: int = GROWTH_DAYS,
    only: Sequence[str] = (),
) -> Demand:
    """What people did in the `days` before today, by group. `only`: these groups ("MODEL=SEGMENT", "tag:NAME")
    instead of those that grow. Reads only. Raises NotFound for a group that does not exist, BadInput when the catalogue
    is empty."""
    now, as_of = clock(), today(clock, zone)
    with reading(engine) as session:
        groups = _named(session, only) if only else growing_groups(session, now=now, days=growth_days)
    until = datetime.combine(as_of, time(), zone)
    since = datetime.combine(as_of - timedelta(days=days), time(), zone)
    with open_duckdb(zone) as connection:
        facts = read_facts(connection, engine, "lines", "products", "events", "words", "segments", "tags")
        count = product_count(connection, facts)
        if count == 0:
            raise BadInput("there is no product in stock to compare with: import the catalogue first")
        values = catalogue(connection, facts)
        people, wants = shares(connection, facts, values, since, until, tokenize)
        said = facts.words.filter((facts.words.occurred_at >= since) & (facts.words.occurred_at < until))
        heard = said.select("customer_id").union(people.select("customer_id"), distinct=True)
        [everybody] = connection.to_pyarrow(heard.aggregate(people=heard.count())).column("people").to_pylist()
        members = heard.select("customer_id", group=ibis.literal(EVERYBODY))
        keys = [group.key for group in groups]
        tags = [key.removeprefix("tag:") for key in keys if key.startswith("tag:")]
        others = members_of(facts, [key for key in keys if not key.startswith("tag:")], tags)
        members = members if others is None else members.union(others)
        short = shortages(connection, members, people, wants, values, count)
        words = unanswered(connection, facts, members, since, until, tokenize)
    return Demand(as_of, days, count, [Group(EVERYBODY, everybody, everybody), *groups], short, words)


def _named(session: Session, keys: Sequence[str]) -> list[Group]:
    for key in keys:
        model, is_segment, name = key.partition("=")
        if key.startswith("tag:"):
            wanted = key.removeprefix("tag:")
            if session.scalar(select(tag.c.id).where(tag.c.name == wanted)) is None:
                raise NotFound(f"there is no tag {wanted!r}")
        elif not is_segment or name not in {segment.name for segment in MODELS.get(model, ())}:
            raise NotFound(f"there is no group {key!r}: write MODEL=SEGMENT or tag:NAME")
    return [Group(key) for key in dict.fromkeys(keys)]


def as_json(demand: Demand) -> dict[str, Any]:
    """A demand as JSON holds it: per group what is wanted, short things first, and the words without a product."""

    def of(table: pa.Table, key: str) -> list[dict[str, Any]]:
        rows = [{k: v for k, v in row.items() if k != "group"} for row in table.to_pylist() if row["group"] == key]
        return rows[:ROWS_KEPT]

    return {
        "as_of": demand.as_of.isoformat(),
        "days": demand.days,
        "products": demand.products,
        "groups": [
            {**vars(group), "wanted": of(demand.shortages, group.key), "words": of(demand.words, group.key)}
            for group in demand.groups
        ],
    }


def keep_demand(engine: Engine, demand: Demand, clock: Clock) -> None:
    """Store `demand` as the newest report, and let go of the oldest beyond REPORTS_KEPT."""
    with transaction(engine) as session:
        session.add(DemandReport(as_of=demand.as_of, made_at=clock(), result=as_json(demand)))
        session.flush()
        kept = select(report_table.c.id).order_by(report_table.c.id.desc()).limit(REPORTS_KEPT).subquery()
        session.execute(delete(report_table).where(report_table.c.id.not_in(select(kept.c.id))))


def newest_demand(session: Session) -> DemandReport | None:
    """The newest report; None before the first."""
    return session.scalars(select(DemandReport).order_by(report_table.c.id.desc()).limit(1)).first()
