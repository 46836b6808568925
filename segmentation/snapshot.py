"""Facts as Parquet files beside the database: what counts and previews are made from, so that they read columns and
not the operational database. A generation is written whole into a folder of its own, which then takes its name; a file
points to the newest. People's words stay in the database."""

import shutil
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import ibis
from sqlalchemy import Engine

from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts
from segmentation.reading import read_facts
from store.errors import NotFound

POINTER = "newest-3"  # a number of its own for each shape of the tables: what another version wrote is not read
UNFINISHED = ".unfinished"  # of a folder's name while it is being written
KEPT = 2  # generations: a reader may still be at the one before
FORMAT = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, ROW_GROUP_SIZE 122880"
NOT_KEPT = ("words",)  # said in confidence, needed by no count

# Rows lie as they are asked for: by kind and time, so that a window reads few row groups; the rest by customer.
_ORDER = {
    "orders": "ordered_at",
    "lines": "ordered_at",
    "events": "kind, occurred_at",
    "products": "sku",
    "runs": "as_of, last_change_id",
    "changes": "id",
}


def write_snapshot(connection: Any, facts: Facts, folder: Path, *, now: datetime) -> Path:
    """Write `facts` (tables of the DuckDB `connection`) as the newest generation in `folder`, remove the ones that
    nobody needs, and return the generation's folder. Killed at any point, it leaves the former generation the newest.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
    unfinished = folder / f"{name}{UNFINISHED}"
    unfinished.mkdir(mode=0o700)
    for field in fields(Facts):
        if field.name in NOT_KEPT:
            continue
        query = getattr(facts, field.name).order_by(_ORDER.get(field.name, "customer_id").split(", "))
        path = str(unfinished / f"{field.name}.parquet").replace("'", "''")
        connection.raw_sql(f"COPY ({connection.compile(query)}) TO '{path}' ({FORMAT})").fetchall()
    generation = unfinished.rename(folder / name)
    pointer = folder / f"{POINTER}-{uuid4().hex[:8]}"
    pointer.write_text(name)
    pointer.replace(folder / POINTER)
    _tidy(folder)
    return generation


def take_snapshot(engine: Engine, folder: Path, *, zone: ZoneInfo, now: datetime) -> Path:
    """Write what the database of `engine` holds now as the newest generation; returns its folder."""
    with open_duckdb(zone) as connection:
        facts = read_facts(connection, engine, *(name for name in SCHEMAS if name not in NOT_KEPT))
        return write_snapshot(connection, facts, folder, now=now)


def read_snapshot(connection: Any, folder: Path, *names: str) -> Facts:
    """Facts over the newest generation in `folder`: views of the DuckDB `connection` that read only what is asked for.
    `names` of the tables that will be: the others are empty, each view costs 5 ms (none: all). Words are empty. Raises
    NotFound before the first generation."""
    generation = newest_snapshot(folder)
    if generation is None:
        raise NotFound("there is no snapshot of the facts yet: it is written after each run of the segments")
    made = {}
    for name in SCHEMAS:
        if name in NOT_KEPT or (names and name not in names):
            made[name] = ibis.memtable(SCHEMAS[name].to_pyarrow().empty_table(), schema=SCHEMAS[name])
            continue
        path = str(generation / f"{name}.parquet").replace("'", "''")
        connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW snapshot_{name} AS FROM read_parquet('{path}')").fetchall()
        made[name] = connection.table(f"snapshot_{name}")
    return Facts(**made)


def newest_snapshot(folder: Path) -> Path | None:
    """The folder of the newest whole generation; None before the first."""
    try:
        name = (folder / POINTER).read_text()
    except FileNotFoundError:
        return None
    return folder / name


def written_at(generation: Path) -> datetime:
    """When a generation was begun (aware UTC)."""
    return datetime.strptime(generation.name.split("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def _tidy(folder: Path) -> None:
    newest = newest_snapshot(folder)
    whole = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.endswith(UNFINISHED))
    kept = {*whole[-KEPT:], newest}
    for path in folder.iterdir():
        if path.is_dir() and path not in kept and (path.name < max(p.name for p in kept if p)):
            shutil.rmtree(path, ignore_errors=True)  # another process may be tidying too
