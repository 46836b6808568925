"""The Parquet snapshot: what is read back is what was written, and a half-written one is never seen."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest

from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts, facts_of
from segmentation.snapshot import POINTER, UNFINISHED, newest_snapshot, read_snapshot, write_snapshot, written_at
from store.errors import NotFound

NOW = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def duck() -> Iterator[Any]:
    with open_duckdb(ZoneInfo("Asia/Taipei")) as connection:
        yield connection


def facts(duck: Any, *people: int) -> Facts:
    events = [
        {"customer_id": who, "kind": kind, "occurred_at": NOW - timedelta(hours=who)}
        for who in people
        for kind in ("product_view", "click")
    ]
    words = pa.table({"customer_id": [1], "occurred_at": [NOW], "text": ["私事"]})
    schema = SCHEMAS["events"].to_pyarrow()
    product = pa.table({"sku": ["S"], "name": ["品"], "labels": [["去屑", "抗油"]]})
    empty = {n: pa.nulls(1, t) for n, t in zip(*_schema("products"), strict=True) if n not in product.column_names}
    products = pa.table({**{n: product[n] for n in product.column_names}, **empty})
    return facts_of(duck, events=pa.Table.from_pylist(events, schema), words=words, products=products)


def _schema(name: str) -> tuple[list[str], list[Any]]:
    schema = SCHEMAS[name].to_pyarrow()
    return schema.names, schema.types


def test_a_snapshot_is_read_back_as_it_was_written_but_without_words(duck: Any, tmp_path: Path) -> None:
    written = facts(duck, 3, 1, 2)
    write_snapshot(duck, written, tmp_path / "deep" / "it's", now=NOW)
    with open_duckdb(ZoneInfo("Asia/Taipei")) as other:
        read = read_snapshot(other, tmp_path / "deep" / "it's")
        for name, schema in SCHEMAS.items():
            assert getattr(read, name).schema() == schema, name
            theirs = other.to_pyarrow(getattr(read, name)).to_pylist()
            ours = duck.to_pyarrow(getattr(written, name)).to_pylist() if name != "words" else []
            assert sorted(theirs, key=repr) == sorted(ours, key=repr)
        kinds = [row["kind"] for row in other.to_pyarrow(read.events).to_pylist()]
        assert kinds == sorted(kinds)
    text = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert "私事".encode() not in text


def test_before_the_first_snapshot_there_is_a_clear_sentence(duck: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no snapshot"):
        read_snapshot(duck, tmp_path / "none")


def test_a_half_written_generation_is_not_read_and_goes_with_the_next(duck: Any, tmp_path: Path) -> None:
    first = write_snapshot(duck, facts(duck, 1), tmp_path, now=NOW)
    dead = tmp_path / f"20261102T050000-dead{UNFINISHED}"
    dead.mkdir()
    (dead / "events.parquet").write_bytes(b"half")
    assert newest_snapshot(tmp_path) == first
    second = write_snapshot(duck, facts(duck, 1, 2), tmp_path, now=NOW + timedelta(days=1))
    assert newest_snapshot(tmp_path) == second
    assert not dead.exists()
    assert first.exists()  # somebody may still be reading it
    third = write_snapshot(duck, facts(duck, 1), tmp_path, now=NOW + timedelta(days=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([second.name, third.name, POINTER])
    assert written_at(third) == NOW + timedelta(days=2)


def test_a_generation_being_written_by_another_is_left_alone(duck: Any, tmp_path: Path) -> None:
    other = tmp_path / f"20261104T050000-busy{UNFINISHED}"
    other.mkdir()
    write_snapshot(duck, facts(duck, 1), tmp_path, now=NOW)
    assert other.exists()
