"""The reference case of preferences, end to end: a catalogue and two years of orders from files, labels proposed and
approved, computations month by month, and what the history of tags then says."""

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select

from segmentation.labelling import decide, renew_proposals
from segmentation.renew import Ground, renew_changed, renew_everyone
from segmentation.settings import SegmentSettings
from service.brand_words import terms_with
from store.changes import note_changes
from store.engine import reading, table_of, transaction
from store.imports import import_orders, import_products
from store.models import BrandSetting, Customer, CustomerTag, Tag
from tests.conftest import StillClock

TAIPEI = ZoneInfo("Asia/Taipei")
START = date(2024, 1, 15)
MONTHS = 24
PRODUCTS = {
    "SHAMPOO": "清爽 去屑抗油洗髮精 500ml",
    "DYED": "沙龍級 染護洗髮精 400ml",
    "SCALP": "草本 頭皮養護洗髮露 300ml",
}
NAMES = ("去屑", "抗油", "染護", "頭皮養護")
tag, customer_tag, customer = table_of(Tag), table_of(CustomerTag), table_of(Customer)


class RealisticClock(StillClock):
    """A clock that moves a little with each look, as a real one does."""

    def __call__(self) -> datetime:
        return self.advance(milliseconds=1)


def day_of(month: int) -> date:
    return START + timedelta(days=30 * month)


def bought_in(month: int) -> list[str]:
    """去屑 and 抗油 always; 染護 from the sixth month while dyeing; 頭皮養護 in its place from the twelfth."""
    return ["SHAMPOO", *(["DYED"] if 6 <= month < 12 else []), *(["SCALP"] if month >= 12 else [])]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def orders_of(month: int) -> list[dict[str, Any]]:
    at = f"{day_of(month).isoformat()} 20:00"
    return [
        {
            "order_id": f"{month}-{sku}",
            "customer_id": "mei",
            "ordered_at": at,
            "amount": 300,
            "sku": sku,
            "quantity": 1,
            "unit_price": 300,
        }
        for sku in bought_in(month)
    ]


@pytest.fixture
def ground(engine: Engine, tmp_path: Path) -> Ground:
    """A catalogue whose labels were proposed and approved, and a brand that makes a tag of what one person prefers."""
    clock = RealisticClock(datetime(2024, 1, 1, tzinfo=UTC))
    products = write_rows(tmp_path / "products.csv", [{"sku": sku, "name": name} for sku, name in PRODUCTS.items()])
    import_products(engine, products, zone=TAIPEI, clock=clock)
    tokenize = terms_with([])
    renew_proposals(engine, tokenize, clock)
    for label in NAMES:
        decide(engine, label, None, approve=True, clock=clock, actor="mei-hua")
    with transaction(engine) as session:
        value = {"least_people": 1, "most_share": 1}
        session.add(BrandSetting(name="preferences", value=value, updated_at=clock(), updated_by="test"))
    return Ground(engine, TAIPEI, clock, tokenize)


def history(engine: Engine) -> list[tuple[str, CustomerTag]]:
    """(tag's name, assignment) of the tags of NAMES, the oldest first."""
    rows = select(tag.c.name, CustomerTag).join(tag, tag.c.id == customer_tag.c.tag_id)
    with reading(engine) as session:
        found = session.execute(rows.where(tag.c.name.in_(NAMES)).order_by(customer_tag.c.since))
        return [(name, row) for name, row in found]


def month_of(moment: datetime) -> int:
    return (moment.astimezone(TAIPEI).date() - START).days // 30


def test_the_preference_follows_the_dyeing_and_the_history_says_when_and_why(ground: Ground, tmp_path: Path) -> None:
    clock, engine = ground.clock, ground.engine
    assert isinstance(clock, StillClock)
    rows_of_all = [row for month in range(MONTHS) for row in orders_of(month)]
    import_orders(engine, write_rows(tmp_path / "orders.csv", rows_of_all), zone=TAIPEI, clock=clock)
    for month in (1, 6, 7, 12, 13, 16, 17, 23):  # what lies in the future doesn't count yet
        clock.now = datetime.combine(day_of(month), datetime.min.time(), TAIPEI) + timedelta(hours=22)
        if month in (1, 7, 13):  # tags for values are made when everybody is computed
            renew_everyone(ground, SegmentSettings())
        else:
            with transaction(engine) as session:
                note_changes(session, select(customer.c.id), clock())
            assert renew_changed(ground, SegmentSettings()) == 1

    rows = history(engine)
    moves = sorted(
        [(month_of(row.since), name, "on") for name, row in rows]
        + [(month_of(row.until), name, "off") for name, row in rows if row.until]
    )
    assert moves == [
        (1, "去屑", "on"),
        (1, "抗油", "on"),
        (7, "染護", "on"),
        (13, "頭皮養護", "on"),
        (17, "染護", "off"),
    ]
    dyed = next(row for name, row in rows if name == "染護")
    assert dyed.source == "preference"
    assert [signal["sku"] for signal in dyed.evidence["signals"]] == ["DYED"] * len(dyed.evidence["signals"])
    assert dyed.off_evidence is not None
    assert dyed.off_evidence["off_by"] == "share"
    assert dyed.off_evidence["share"] < dyed.off_evidence["share_off"]
    assert dyed.off_evidence["ahead"] in ("去屑", "抗油")
    assert {signal["day"] for signal in dyed.off_evidence["signals"]} <= {day_of(m).isoformat() for m in range(6, 12)}


def test_a_preference_comes_off_on_the_day_that_was_foretold_when_nothing_more_happens(
    ground: Ground, tmp_path: Path
) -> None:
    clock, engine = ground.clock, ground.engine
    assert isinstance(clock, StillClock)
    rows = [row for month in (6, 7) for row in orders_of(month)]
    clock.now = datetime.combine(day_of(7), datetime.min.time(), TAIPEI) + timedelta(hours=22)
    import_orders(engine, write_rows(tmp_path / "orders.csv", rows), zone=TAIPEI, clock=clock)
    renew_everyone(ground, SegmentSettings())
    on = {name: row.falls_off_on for name, row in history(engine)}
    assert on.keys() == {"去屑", "抗油", "染護"}
    day = on["染護"]
    assert day is not None
    for as_of, remain in ((day - timedelta(days=1), 3), (day, 0)):
        clock.now = datetime.combine(as_of, datetime.min.time(), TAIPEI)
        renew_everyone(ground, SegmentSettings(), as_of=as_of)
        assert sum(1 for _, row in history(engine) if row.until is None) == remain
    assert {row.off_evidence["off_by"] for _, row in history(engine) if row.off_evidence} == {"score"}
