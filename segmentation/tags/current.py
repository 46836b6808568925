"""What is on now: current rows of tags from the database into DuckDB, and what they will be after the differences."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import Engine, select

from segmentation.facts import keep
from segmentation.reading import read_into
from store.engine import reading, table_of
from store.models import CustomerTag

Table = Any

_NAMES = ("id", "tag_id", "customer_id", "since", "strength", "source", "falls_off_on")
_IDS_AT_ONCE = 1_000

SCHEMA = ibis.schema(
    {
        "id": "int64",
        "tag_id": "int64",
        "customer_id": "int64",
        "since": "timestamp('UTC', 6)",
        "strength": "float64",
        "source": "string",
        "falls_off_on": "date",
    }
)


def read_current(connection: Any, engine: Engine, customer_ids: Sequence[int] | None = None) -> Table:
    """Every tag that is on, of everybody or of `customer_ids`, as the temporary table `tag_now` (SCHEMA)."""
    if customer_ids is None:
        query = f"SELECT {', '.join(_NAMES)} FROM customer_tag WHERE until IS NULL"  # noqa: S608 - our own words
        # SQLite's times arrive naive, in UTC; by way of microseconds both kinds become instants
        shape = (
            "SELECT id, tag_id, customer_id, make_timestamptz(epoch_us(since)) AS since, strength, source,"
            " CAST(falls_off_on AS DATE) AS falls_off_on"
        )
        return read_into(connection, "tag_now", engine, query, shape)
    on = table_of(CustomerTag)
    ids = sorted(set(customer_ids))
    rows: list[Any] = []
    with reading(engine) as session:
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = on.c.customer_id.in_(ids[start : start + _IDS_AT_ONCE])
            found = select(*(on.c[name] for name in _NAMES)).where(some, on.c.until.is_(None))
            rows += session.execute(found).all()
    columns = list(zip(*rows, strict=True)) or [()] * len(_NAMES)
    schema = SCHEMA.to_pyarrow()
    arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    return keep(connection, "tag_now", pa.table(arrays, schema=schema))


def after(now: Table, differences: Table, moment: Table) -> Table:
    """`now` with the differences found so far (see writing.py) carried out at `moment` (one row, `at`); ids of new rows
    are null."""
    changed = differences.select("id", "action", new_strength="strength", new_day=differences.falls_off_on.cast("date"))
    kept = now.left_join(changed, now.id == changed.id)
    kept = kept.filter(kept.action.isnull() | (kept.action == "keep"))
    is_kept = kept.action.notnull()
    stays = kept.mutate(
        strength=is_kept.ifelse(kept.new_strength, kept.strength),
        falls_off_on=is_kept.ifelse(kept.new_day, kept.falls_off_on),
    ).select(SCHEMA.names)
    put = differences.filter(differences.action == "put")
    new = put.cross_join(moment).mutate(since=moment.at, falls_off_on=put.falls_off_on.cast("date"))
    return stays.union(new.select(SCHEMA.names))


def keep_moment(connection: Any, moment: datetime) -> Table:
    """The one-row table `tag_moment` of `after`."""
    return keep(connection, "tag_moment", pa.table({"at": pa.array([moment], SCHEMA.to_pyarrow().field("since").type)}))
