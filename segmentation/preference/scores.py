"""The numeric core of preferences: signals in, fading scores out. Ibis expressions; knows no database.

    score(D) = sum of weight * 2^-(age / half-life)     over a customer's signals for a value; age in days before D
    share(D) = sum of portion * 2^-… / sum of whole * 2^-…     whole: over all the customer's signals of the dimension

All terms of a customer fade alike, so without new signals a score only falls and a share stays: the day on which a
preference falls off by itself follows from its score alone.
"""

from datetime import date
from typing import Any

import ibis

from segmentation.preference.settings import PreferenceSettings

Table = Any
Expression = Any

# One row per thing done. `value` null: attention that went to no value, which counts in `whole` only.
SIGNALS = ibis.schema(
    {
        "customer_id": "int64",
        "dimension": "string",
        "value": "string",
        "day": "date",  # the brand's calendar day
        "weight": "float64",  # 0 and more; an order is about 1
        "portion": "float64",  # 0 and more: how much of its attention went to the value
        "whole": "float64",  # its attention, divided among its rows of the dimension
        "source": "string",  # order, word, or the event's kind
        "order_id": "int64",  # ours; null for other sources
        "sku": "string",  # one that it was about; null for none
    }
)
# What is on now, for the lower threshold.
CURRENT = ibis.schema({"customer_id": "int64", "dimension": "string", "value": "string"})

KEY = ("customer_id", "dimension", "value")
# Thresholds are met a hair early, so that sums like 1 + 1/2 = 1.5 are judged as written, however they were added up.
_HAIR = 1 - 1e-9


def decayed(signals: Table, as_of: date, settings: PreferenceSettings) -> Table:
    """The signals of days before `as_of`, with `faded` = 2^-(age / the value's half-life) and `share_faded`, the same
    by the half-life of the dimension: values that fade apart would make shares drift by themselves."""
    before = signals.filter(signals.day < as_of)
    age = ibis.literal(as_of).delta(before.day, unit="day")

    def fading(half_life: Expression) -> Expression:
        return ibis.literal(2.0) ** (-age / half_life)

    return before.mutate(
        faded=fading(by_line(before, settings, "half_life_days")),
        share_faded=fading(by_line(before, settings, "half_life_days", of_dimension=True)),
    )


def scores(signals: Table, current: Table, as_of: date, settings: PreferenceSettings) -> Table:
    """One row per customer, dimension and value with a signal before `as_of`, or on now (`current`): KEY, `score`,
    `share`, `was_on`, `is_on`, `falls_off_on` (the first day as of which it would be off if nothing more happened;
    null when off)."""
    known = decayed(signals, as_of, settings)
    known = known.select(
        *KEY,
        score=known.weight * known.faded,
        portion=known.portion * known.share_faded,
        whole=known.whole * known.share_faded,
        was_on=0,
    )
    now_on = current.select(*KEY, score=0.0, portion=0.0, whole=0.0, was_on=1)
    both = known.union(now_on)
    sums = both.group_by(KEY).aggregate(
        score=both.score.sum(), portion=both.portion.sum(), whole=both.whole.sum(), was_on=both.was_on.max() == 1
    )
    whole = sums.whole.sum().over(group_by=[sums.customer_id, sums.dimension])
    shared = sums.mutate(share=(sums.portion / whole.nullif(0)).fill_null(0.0)).drop("portion", "whole")
    return _judged(shared.filter(shared.value.notnull()), as_of, settings)


def _judged(found: Table, as_of: date, settings: PreferenceSettings) -> Table:
    line = {name: by_line(found, settings, name) for name in ("on", "off", "share_on", "share_off")}
    puts_on = (found.score >= line["on"] * _HAIR) & (found.share >= line["share_on"] * _HAIR)
    keeps_on = found.was_on & (found.score >= line["off"] * _HAIR) & (found.share >= line["share_off"] * _HAIR)
    judged = found.mutate(is_on=puts_on | keeps_on)
    half_life, off = (by_line(judged, settings, name) for name in ("half_life_days", "off"))
    strength = ibis.cases((judged.is_on, judged.score))  # the logarithm of 0 is an error
    days = (half_life * (strength / (off * _HAIR)).log2()).floor().cast("int64") + 1
    moment = (ibis.literal(as_of) + days.as_interval("D")).cast("timestamp")  # what DuckDB makes of it
    is_in_calendar = days < (date.max - as_of).days  # by a very low threshold it takes thousands of years
    return judged.mutate(falls_off_on=ibis.cases((is_in_calendar, moment.cast("date"))))


def by_line(rows: Table, settings: PreferenceSettings, name: str, *, of_dimension: bool = False) -> Expression:
    """The field `name` of the line for each row's value, or for its dimension alone."""
    own, common = [], []
    for key, line in settings.lines.items():
        dimension, is_value, value = key.partition("=")
        number = ibis.literal(float(getattr(line, name)))
        if not is_value:
            common.append((rows.dimension == dimension, number))
        elif not of_dimension:
            own.append(((rows.dimension == dimension) & (rows.value == value), number))
    used = {float(getattr(line, name)) for key, line in settings.lines.items() if not (of_dimension and "=" in key)}
    if len(used) == 1:  # most often so of the half-life, which is asked for with every signal
        return ibis.literal(used.pop())
    return ibis.cases(*own, *common)
