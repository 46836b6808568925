"""What is said of every customer of a brand, over all horizons, with its measured quality: arrays and Arrow tables in
and out. A horizon that the data is too little for is left empty, and the reason told."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.predict.history import EPOCH, Floats, History, Ints, day_of
from segmentation.predict.horizons import BUY, CHURN, HORIZONS, SPEND_90, SPEND_365, horizon_days
from segmentation.predict.model import MOST_LEARNERS, Model, Prediction, TooLittleData, apply, fit
from segmentation.predict.paid import PaidOrders
from segmentation.predict.quality import BANDS, held_back, spend_levels
from store.errors import ExpectedError
from store.types import DECIMAL_PLACES

CHANCE_PLACES = 4  # as stored: finer differences would rewrite every row every day, and mean nothing
MONEY_PLACES = 2
MOST_MONEY = 9e14  # beyond it Decimal4 holds nothing
SCHEMA = pa.schema(
    [
        ("customer_id", pa.int64()),
        ("p_buy", pa.float64()),
        ("churn_risk", pa.float64()),
        ("expected_orders", pa.float64()),
        ("spend_90", pa.int64()),
        ("spend_365", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Forecast:
    """`rows` has SCHEMA's columns, one row per customer, ascending; no rows where no horizon could be learned.

    `quality` says per horizon, as JSON holds it: `horizon_days`, and either `problem` or what was learned from and
    what the held-back window said (see `_report`); that of spend_365 also `earlier_levels` (see `quality.spend_levels`)
    and `cut_points`, the nine values in ten-thousandths that divide the customers into tenths by what is said of them.
    """

    rows: pa.Table
    quality: dict[str, dict[str, Any]]

    @property
    def problem(self) -> str | None:
        """Why there is no prediction at all; None when there is."""
        problems = [self.quality[name]["problem"] for name in HORIZONS]
        return None if None in problems else str(problems[0])


def forecast(paid: PaidOrders, as_of: date, cycle_days: int, still_ours: Callable[[], None]) -> Forecast:
    """Learn from a sample, say it of everybody. Calls `still_ours` between the steps, each of which takes seconds.
    Raises ExpectedError when an expected amount is more than can be stored."""
    day, days = (as_of - EPOCH).days, horizon_days(cycle_days)
    history = paid.of_sample(MOST_LEARNERS)
    models: dict[int, Model] = {}
    reports: dict[int, dict[str, Any]] = {}
    for horizon in sorted(set(days.values())):
        still_ours()
        model, reports[horizon] = _learned(history, day, horizon)
        still_ours()
        if model is not None and horizon == days[SPEND_365]:  # what lifetime value needs
            reports[horizon]["earlier_levels"] = spend_levels(history, day, horizon)
        if model is not None:
            models[horizon] = model
    quality = {name: dict(reports[days[name]]) for name in HORIZONS}
    parts = []
    for part in paid.parts() if models else ():
        still_ours()
        said = {horizon: apply(model, part) for horizon, model in models.items()}
        parts.append(_rows({name: said.get(days[name]) for name in HORIZONS}))
    rows = pa.concat_tables(parts) if parts else SCHEMA.empty_table()
    if quality[SPEND_365]["problem"] is None:
        quality[SPEND_365]["cut_points"] = _tenths(rows["spend_365"].to_numpy())
    return Forecast(rows, quality)


def _learned(history: History, day: int, horizon: int) -> tuple[Model | None, dict[str, Any]]:
    try:
        model = fit(history, day, horizon)
        quality = held_back(history, day, horizon)
    except TooLittleData as error:
        return None, {"horizon_days": horizon, "problem": str(error)}
    return model, _report(model, asdict(quality))


def _report(model: Model, quality: dict[str, Any]) -> dict[str, Any]:
    """Days as ISO text; `held_back` is a `quality.Quality`."""
    return {
        "horizon_days": model.plan.horizon_days,
        "problem": None,
        "window_days": model.plan.window_days,
        "cuts": [day_of(cut).isoformat() for cut in model.plan.cuts],
        "held_back": {**quality, "as_of": day_of(quality["as_of"]).isoformat()},
    }


def _rows(said: dict[str, Prediction | None]) -> pa.Table:
    """Of one part of the customers. A longer horizon never promises less than a shorter one."""
    customer = next(one.customer for one in said.values() if one is not None)
    buy, churn, near, far = (said[name] for name in (BUY, CHURN, SPEND_90, SPEND_365))
    columns = [
        customer,
        buy and _chance(buy.p_buy),
        churn and _chance(1 - np.maximum(churn.p_buy, buy.p_buy if buy else 0)),
        buy and _chance(buy.expected_orders),
        near and _money(near.expected_spend),
        far and _money(np.maximum(far.expected_spend, near.expected_spend if near else 0)),
    ]
    arrays = [
        pa.nulls(len(customer), field.type) if values is None else pa.array(values, field.type)
        for field, values in zip(SCHEMA, columns, strict=True)
    ]
    return pa.table(arrays, schema=SCHEMA)


def _chance(values: Floats) -> Floats:
    return np.round(values, CHANCE_PLACES)


def _money(values: Floats) -> Ints:
    """Whole ten-thousandths, of amounts rounded to cents."""
    if values.max(initial=0) > MOST_MONEY:
        raise ExpectedError("what one customer is expected to spend is more than can be stored")
    cents = np.rint(values * 10**MONEY_PLACES).astype(np.int64)
    units: Ints = cents * 10 ** (DECIMAL_PLACES - MONEY_PLACES)
    return units


def _tenths(values: Ints) -> list[int]:
    """The nine values that divide the customers into tenths, the lowest first."""
    cuts = np.quantile(values, np.arange(1, BANDS) / BANDS, method="inverted_cdf")
    return [int(cut) for cut in cuts]
