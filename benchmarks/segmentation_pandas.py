"""All models in pandas, written as one who knows pandas would: columns at a time, no Python per row. The peer of
benchmarks/segmentation.py, with the settings that a Request has when nothing is set, and money as a float."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from segmentation.models import RF11_CELLS

CYCLE, WEIGHT, PERIODS, RECENT_DAYS = 30, 3, 12, 30
QUANTILES = (0.2, 0.4, 0.6, 0.8)

Frame = Any
Column = Any


def segment_by_pandas(orders: Path, out: Path, as_of: date) -> None:
    """Write one row per customer with an order before `as_of` to `out`: the columns of `segment_file`. `orders` is a
    Parquet file of customer_id, ordered_at (naive) and amount, one row per order."""
    rows = pq.read_table(orders, columns=["customer_id", "ordered_at", "amount"])
    amounts = rows["amount"].cast(pa.float64())  # decimals would become Python's, one by one
    frame = rows.set_column(2, "amount", amounts).to_pandas()
    people = _measures(frame, pd.Timestamp(as_of))
    _core(people)
    _personal(people)
    _loyalty(people)
    _activity(people)
    _groups(people)
    hidden = [name for name in people.columns if name.startswith("_")]
    people.drop(columns=hidden).reset_index().to_parquet(out, index=False)


def _measures(rows: Frame, today: Any) -> Frame:
    """One row per customer, indexed by customer_id; columns that begin with _ are no results."""
    rows = rows[rows["ordered_at"] < today]
    rows = rows.assign(day=rows["ordered_at"].dt.normalize()).sort_values(["customer_id", "ordered_at"])
    rows["ago"] = (today - rows["day"]).dt.days
    gap = -rows["ago"].diff()
    rows["gap"] = gap.where(rows["customer_id"] == rows["customer_id"].shift())
    rows["gap_apart"] = rows["gap"].where(rows["gap"] > 0)
    rows["gap_recent"] = rows["gap"].where(rows["ago"] <= RECENT_DAYS)
    rows["recent"] = rows["ago"] <= 2 * CYCLE
    rows["former"] = (rows["ago"] <= 4 * CYCLE) & ~rows["recent"]
    starts = [today - pd.DateOffset(months=back) for back in range(PERIODS, 0, -1)]
    rows["period"] = np.searchsorted(np.array(starts, dtype="datetime64[ns]"), rows["day"].to_numpy(), side="right")
    people = rows.groupby("customer_id", sort=False).agg(
        recency_days=("ago", "min"),
        frequency=("ago", "size"),
        monetary=("amount", "sum"),
        _gaps=("gap", "count"),
        _median=("gap", "median"),
        _act_gaps=("gap_apart", "count"),
        _act_median=("gap_apart", "median"),
        _longest=("gap_recent", "max"),
        _first=("ago", "max"),
        _recent=("recent", "sum"),
        _former=("former", "sum"),
    )
    people["paid_total"] = people["monetary"]
    lately = rows[rows["period"] > 0]
    people["_purchases"] = lately.groupby("customer_id").size()
    pairs = lately[["customer_id", "period"]].drop_duplicates()
    people["_periods"] = pairs.groupby("customer_id").size()
    usual = rows["gap_apart"].median()
    people["_usual"] = _shrunk(people["_act_gaps"], people["_act_median"], max(1, int(usual + 0.5)))
    return people


def _shrunk(count: Column, median: Column, brand: int) -> Column:
    """The own median drawn to the brand's cycle, whole days, halves up."""
    drawn = (WEIGHT * brand + count * median.fillna(0)) / (WEIGHT + count)
    return np.maximum(np.floor(drawn + 0.5), 1).astype("int32")


def _core(people: Frame) -> None:
    """Scores, RF 4, RF 11, RFM 3, RFM 8, NESL and NES."""
    high = {}
    for name, value in (("r", -people["recency_days"]), ("f", people["frequency"]), ("m", people["monetary"])):
        points = np.quantile(value, QUANTILES, method="inverted_cdf")
        people[name] = (1 + np.searchsorted(points, value, side="left")).astype("int8")
        high[name] = people[name] > people[name].mean()
        people[f"_{name}_high"] = high[name]
    r, f, m = high["r"], high["f"], high["m"]
    people["rf4"] = np.select([r & f, r, f], ["regular", "new", "former"], "one_time")
    cells = np.empty((6, 6), dtype=object)
    for name, (rs, fs) in RF11_CELLS.items():
        cells[np.ix_(list(rs), list(fs))] = name
    people["rf11"] = cells[people["r"], people["f"]]
    people["rfm3"] = np.select(
        [r & f & m, r & m & (people["frequency"] == 1), r & f & ~m],
        ["high_value", "new_high_value", "small_spender"],
        "other",
    )
    worth = np.where(m, "important_", "ordinary_").astype(object)
    people["rfm8"] = worth + np.select([r & f, r, f], ["value", "develop", "retain"], "win_back").astype(object)
    people["nesl"], people["nes"] = _states(people, CYCLE)


def _states(people: Frame, cycle: int | Column) -> tuple[Column, Column]:
    ago = people["recency_days"]
    tests = [(ago <= cycle) & (people["frequency"] == 1), ago <= cycle, ago <= 2 * cycle, ago <= 3 * cycle]
    return np.select(tests, ["N", "E", "S1", "S2"], "L"), np.select(tests[:2], ["N", "E"], "S")


def _personal(people: Frame) -> None:
    people["cycle_days"] = _shrunk(people["_gaps"], people["_median"], CYCLE)
    people["nesl_personal"], people["nes_personal"] = _states(people, people["cycle_days"])


def _loyalty(people: Frame) -> None:
    product = (people["_periods"].fillna(0) * people["_purchases"].fillna(0)).astype("int64")
    people["loyalty"] = product / PERIODS
    lower = product.rank(method="min").astype("int64") - 1
    people["loyalty_percentile"] = np.floor(100 * lower / max(1, len(people) - 1))


def _activity(people: Frame) -> None:
    usual, ago = people["_usual"], people["recency_days"]
    is_active = ago <= 1.5 * usual
    tests = [
        people["_first"] <= RECENT_DAYS,
        is_active & (people["_longest"] > 3 * usual),
        is_active,
        ago <= 3 * usual,
        ago <= 6 * usual,
    ]
    people["activity"] = np.select(tests, ["new", "returned", "active", "low", "silent"], "lost")


def _groups(people: Frame) -> None:
    r, f, m = (people[f"_{name}_high"] for name in ("r", "f", "m"))
    ago, often = people["recency_days"], people["frequency"]
    people["champion"] = r & f & m
    people["potential_loyalist"] = r & (often >= 2) & (people["f"] < 5)
    people["win_back"] = (often >= 2) & (ago > 2 * CYCLE)
    people["at_risk_spender"] = m & (2 * people["_recent"] < people["_former"])
    people["repeat_buyer"] = (often >= 3) & (ago <= CYCLE)
