"""Predictions from a plain order file, with no database: CSV or Parquet in, CSV or Parquet out."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]

from segmentation.files import OrderFile, ending_of, reading_orders, require_apart, written_whole
from segmentation.measures import UnreadableRows
from segmentation.predict.history import EPOCH, History
from segmentation.predict.model import Plan, plan, predict
from segmentation.predict.quality import Quality, held_back
from segmentation.rfm import UNITS, counted
from store.errors import BadInput

MOST_DAYS = 3660  # ahead: ten years


@dataclass(frozen=True)
class Predicted:
    """What `predict_file` wrote, where it learned, and how good that is on the held-back window; days since EPOCH."""

    customer_count: int
    learned: Plan
    quality: Quality
    out: Path


def predict_file(orders: Path, out: Path, as_of: date, horizon_days: int, zone: ZoneInfo) -> Predicted:
    """Write one row per customer with a paid order before `as_of` (a day in `zone`) to `out`, by customer: customer_id
    as the file has it, p_buy (0..1), expected_orders and expected_spend over [as_of, as_of + horizon_days).

    The result appears whole or not at all. Raises BadInput as `segmentation.files.segment_file` does, and TooLittleData
    where there is too little to learn from or to measure the quality on.
    """
    if not 1 <= horizon_days <= MOST_DAYS:
        raise BadInput(f"the horizon must be 1 to {MOST_DAYS} days, not {horizon_days}")
    require_apart(orders, out)
    with reading_orders(orders, zone) as file:
        ids, history = _history(file, as_of, zone)
        if len(ids) == 0:
            file.require_rows(orders)
    day = (as_of - EPOCH).days
    made = predict(history, day, horizon_days)
    quality = held_back(history, day, horizon_days)
    columns = {"p_buy": made.p_buy, "expected_orders": made.expected_orders, "expected_spend": made.expected_spend}
    table = pa.table({"customer_id": ids.take(pa.array(made.customer)), **columns}).sort_by("customer_id")
    with written_whole(out) as unfinished, duckdb.connect() as connection:
        rows = connection.from_arrow(table)
        if ending_of(out) == ".csv":
            rows.write_csv(str(unfinished), header=True)
        else:
            rows.write_parquet(str(unfinished))
    return Predicted(len(made.customer), plan(history, day, horizon_days), quality, out)


def _history(file: OrderFile, as_of: date, zone: ZoneInfo) -> tuple[Any, History]:
    """The paid orders before `as_of`, and the customer ids that the history's numbers stand for (Arrow). Whole numbers
    are numbered as the text that they are in a CSV file: what is drawn and summed depends on it.

    Raises UnreadableRows when one of those rows lacks a customer, time or amount.
    """
    rows = file.paid.filter(counted(file.paid, as_of, zone, None).fill_null(True))
    day = rows.ordered_at if rows.ordered_at.type().is_date() else rows.ordered_at.date()
    table = file.connection.to_pyarrow(_orders(rows.mutate(day=day), lines=file.has_lines))
    if any(table[name].null_count for name in table.column_names):
        raise UnreadableRows
    ids = pc.unique(table["customer_id"])
    ids = ids.take(pc.sort_indices(ids.cast(pa.string()) if pa.types.is_integer(ids.type) else ids))
    customer = pc.index_in(table["customer_id"], ids).to_numpy().astype(np.int64)
    days = table["day"].cast(pa.int32()).to_numpy().astype(np.int64)
    return ids, History(customer, days, table["amount"].to_numpy() / UNITS)


def _orders(rows: Any, *, lines: bool) -> Any:
    """Customer, day and amount (float) of each order; with `lines`, rows of a customer with the same order_id are one
    order, of its last day. What can't be read is null, also of an order with one such line."""
    if not lines:
        return rows.select("customer_id", day=rows.day.cast("date"), amount=rows.amount.cast("float64"))
    together = rows.filter(rows.order_id.notnull())
    sums = together.group_by(["customer_id", "order_id"]).aggregate(
        last=together.day.max().cast("date"),
        total=together.amount.sum().cast("float64"),  # exact until here
        unread=2 * together.count() - together.amount.count() - together.day.count(),
    )
    whole = sums.select("customer_id", day=ibis.cases((sums.unread == 0, sums["last"])), amount=sums.total)
    return _orders(rows.filter(rows.order_id.isnull()), lines=False).union(whole)
