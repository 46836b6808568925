"""Why a preference is on, or came off: its score against its line, and the signals behind it. Ibis expressions."""

from datetime import date
from typing import Any

import ibis

from segmentation.preference.scores import KEY, by_line
from segmentation.preference.settings import PreferenceSettings

Table = Any

EVIDENCE_SIGNALS = 5  # so many of them, those that count most today first

_LINE = ("half_life_days", "on", "off", "share_on", "share_off")
_SIGNAL = {"source": "string", "day": "date", "order_id": "int64", "sku": "string", "weight": "float64"}
_SIGNALS = ibis.expr.datatypes.Array(ibis.expr.datatypes.Struct(_SIGNAL))
_EVIDENCE = ibis.expr.datatypes.Struct(
    {
        "as_of": "string",
        "dimension": "string",
        "value": "string",
        "score": "float64",
        "share": "float64",
        **dict.fromkeys(_LINE, "float64"),
        "off_by": "string",
        "ahead": "string",
        "signals": _SIGNALS,
    }
)


@ibis.udf.scalar.builtin(name="to_json", signature=((_EVIDENCE,), "string"))  # type: ignore[untyped-decorator]
def _json_text(evidence: Any) -> str:  # type: ignore[empty-body]
    """DuckDB's own to_json."""


def with_evidence(decayed: Table, scored: Table, as_of: date, settings: PreferenceSettings) -> Table:
    """The rows of `scored` that are on or were, with `evidence`, the text of a JSON object:

    - `as_of` (the day), `dimension`, `value`, `score` (orders' worth, decayed), `share` (0..1), and the line that they
      are held against: `half_life_days`, `on`, `off`, `share_on`, `share_off`;
    - `signals`, what counts most today: {source, day, order_id (ours), sku, weight (decayed)}, of equal weights the
      newest first; never anybody's sentences;
    - for what came off: `off_by`, the threshold that it fell below (score or share), and `ahead`, the value of the
      dimension that stands highest with the customer now where that is another one; else null.
    """
    # rounded, so that equal scores are equal however they were added up
    standing = [scored.score.round(6).desc(), scored.value]
    best = scored.value.first().over(group_by=[scored.customer_id, scored.dimension], order_by=standing)
    ranked = scored.mutate(best=ibis.ifelse(scored.score.max().over(group_by=[*KEY[:2]]) > 0, best, None))
    wanted = ranked.filter(ranked.is_on | ranked.was_on)
    rows = wanted.left_join(_strongest(decayed, wanted), list(KEY)).drop(
        "customer_id_right", "dimension_right", "value_right"
    )
    line = {name: by_line(rows, settings, name) for name in _LINE}
    is_off = ~rows.is_on
    told = ibis.struct(
        {
            "as_of": ibis.literal(as_of.isoformat()),
            "dimension": rows.dimension,
            "value": rows.value,
            "score": rows.score.round(4),
            "share": rows.share.round(4),
            **line,
            "off_by": ibis.cases((rows.is_on, None), (rows.score < line["off"], "score"), else_="share"),
            "ahead": ibis.ifelse(is_off & (rows.best != rows.value), rows.best, None),
            "signals": rows.signals.fill_null(ibis.literal([], type=_SIGNALS)),
        }
    )
    return rows.mutate(evidence=_json_text(told))


def _strongest(decayed: Table, wanted: Table) -> Table:
    """For each KEY of `wanted` that has any, `signals`: its strongest."""
    rows = decayed.inner_join(wanted.select(*KEY), list(KEY))
    rows = rows.mutate(weight=(rows.weight * rows.faded).round(4))
    rows = rows.filter(rows.weight > 0)
    order = [rows.weight.desc(), rows.day.desc(), rows.source, rows.order_id, rows.sku]
    placed = rows.mutate(place=ibis.row_number().over(group_by=[rows[name] for name in KEY], order_by=order))
    first = placed.filter(placed.place < EVIDENCE_SIGNALS)
    signals = first.mutate(signal=ibis.struct({name: first[name] for name in _SIGNAL}))
    return signals.group_by(list(KEY)).aggregate(signals=signals.signal.collect(order_by=signals.place))
