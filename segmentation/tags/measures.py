"""What a measure tag can be drawn over: numbers of a customer, each as a whole number of small units, so that lines,
ties and means are exact. Ibis expressions; knows no database."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis

from segmentation.facts import Facts
from store.types import DECIMAL_PLACES

Table = Any

MONEY = 10**DECIMAL_PLACES
SHARE = 10**9  # chances and loyalty are floats: told apart down to a thousandth of a millionth


@dataclass(frozen=True)
class Measure:
    """A number of a customer. `units` of it make one of what marketers read; `kind` is what a tag on it states."""

    name: str
    kind: str  # fact | model | predictive
    units: int
    chinese: str
    is_chance: bool = False  # 0..1: it is then the tag's strength


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("recency_days", "fact", 1, "距上次購買天數"),
        Measure("frequency", "fact", 1, "購買次數"),
        Measure("monetary", "fact", MONEY, "期間消費額"),
        Measure("paid_total", "fact", MONEY, "累計消費額"),
        Measure("cycle_days", "model", 1, "個人購買週期天數"),
        Measure("r", "model", 1, "R 分數"),
        Measure("f", "model", 1, "F 分數"),
        Measure("m", "model", 1, "M 分數"),
        Measure("loyalty", "model", SHARE, "忠誠度"),
        Measure("loyalty_percentile", "model", SHARE, "忠誠度百分位"),
        Measure("p_buy", "predictive", SHARE, "下個週期購買機率", is_chance=True),
        Measure("churn_risk", "predictive", SHARE, "流失機率", is_chance=True),
        Measure("expected_orders", "predictive", SHARE, "預期購買次數"),
        Measure("spend_90", "predictive", MONEY, "未來 90 天預期消費額"),
        Measure("spend_365", "predictive", MONEY, "未來 365 天預期消費額"),
    )
}


def measured(facts: Facts, measure: Measure, as_of: date) -> Table:
    """`customer_id, value` (int64 units) of everyone who has the measure: the population that a dynamic line divides.
    Recency is counted to `as_of`."""
    table = facts.predictions if measure.kind == "predictive" else facts.segments
    if measure.name == "recency_days":
        value = ibis.literal(as_of).delta(table.last_ordered_on, unit="day").cast("int64")
    elif measure.units == SHARE:
        value = (table[measure.name] * SHARE).round().cast("int64")
    else:
        value = table[measure.name].cast("int64")
    return table.select("customer_id", value=value).filter(ibis._.value.notnull())
