"""Preferences worked out slowly, a signal at a time: what the set-based core must agree with."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import keep
from segmentation.preference.scores import CURRENT, SIGNALS, scores
from segmentation.preference.settings import Line, PreferenceSettings

Key = tuple[int, str, str]


@dataclass(frozen=True)
class Signal:
    """A row of SIGNALS; by default a whole order for one value."""

    day: date
    value: str | None = "染護"
    weight: float = 1.0
    customer_id: int = 1
    dimension: str = "label"
    portion: float | None = None
    whole: float | None = None
    source: str = "order"
    order_id: int | None = None
    sku: str | None = None

    def row(self) -> dict[str, Any]:
        portion = self.weight if self.portion is None else self.portion
        return {**vars(self), "portion": portion, "whole": self.weight if self.whole is None else self.whole}


def line_of(settings: PreferenceSettings, dimension: str, value: str) -> Line:
    return settings.lines.get(f"{dimension}={value}", settings.lines[dimension])


def scored(
    connection: Any,
    signals: Iterable[Signal],
    as_of: date,
    settings: PreferenceSettings,
    current: Iterable[Key] = (),
) -> dict[Key, dict[str, Any]]:
    """What the core makes of the signals, by customer, dimension and value."""
    schema = SIGNALS.to_pyarrow()
    rows = keep(connection, "given_signal", pa.Table.from_pylist([s.row() for s in signals], schema=schema))
    on = [dict(zip(CURRENT.names, key, strict=True)) for key in current]
    now_on = keep(connection, "given_current", pa.Table.from_pylist(on, schema=CURRENT.to_pyarrow()))
    found = connection.to_pyarrow(scores(rows, now_on, as_of, settings)).to_pylist()
    keyed = {(row["customer_id"], row["dimension"], row["value"]): row for row in found}
    assert len(keyed) == len(found)
    return keyed


def slowly(
    signals: Iterable[Signal], as_of: date, settings: PreferenceSettings, current: Iterable[Key] = ()
) -> dict[Key, tuple[float, float, bool]]:
    """Score, share and whether on, of each customer, dimension and value, by the formulas of scores.py."""
    score: dict[Key, float] = defaultdict(float)
    portion: dict[Key, float] = defaultdict(float)
    whole: dict[tuple[int, str], float] = defaultdict(float)
    on_before = set(current)
    for key in on_before:
        score[key] += 0.0
    for signal in signals:
        age = (as_of - signal.day).days
        if age <= 0:
            continue
        row = signal.row()
        of_dimension = 2.0 ** (-age / settings.lines[signal.dimension].half_life_days)
        whole[signal.customer_id, signal.dimension] += row["whole"] * of_dimension
        if signal.value is not None:
            key = (signal.customer_id, signal.dimension, signal.value)
            line = line_of(settings, signal.dimension, signal.value)
            score[key] += signal.weight * 2.0 ** (-age / line.half_life_days)
            portion[key] += row["portion"] * of_dimension
    found = {}
    for key in score:
        line = line_of(settings, key[1], key[2])
        attention = whole[key[:2]]
        share = portion[key] / attention if attention else 0.0
        puts = score[key] >= line.on * (1 - 1e-9) and share >= line.share_on * (1 - 1e-9)
        keeps = score[key] >= line.off * (1 - 1e-9) and share >= line.share_off * (1 - 1e-9)
        found[key] = (score[key], share, puts or (key in on_before and keeps))
    return found
