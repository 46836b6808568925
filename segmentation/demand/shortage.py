"""How much more a group wants of a value than the catalogue has of it, with an interval.

- demand share: people's mean share of the value (see acts.py), x voices of n people. Its interval is Jeffreys' for x
  of n: a mean of shares between 0 and 1 varies no more than a mean of noughts and ones, so it is wide enough.
- catalogue share: (k + ½) / (K + 1) of k products out of K, drawn in from 0 so that a value that nothing serves can be
  compared too.
- ratio: demand share / catalogue share. A value is short when the whole interval lies above 1, and shortages are
  ranked by what is surely missing: ln(lower bound) × the people who want it.

Source of the interval: Brown, Cai, DasGupta, "Interval estimation for a binomial proportion", 2001.
"""

from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from scipy import stats

from segmentation.demand.acts import SIGNALS

CONFIDENCE = 0.95
MIN_PEOPLE = 5  # who want a value: with fewer, nothing is said of it

Table = Any

COLUMNS = (
    *("group", "dimension", "value", "people", "group_people", "products"),
    *(f"{name}_share" for name in SIGNALS),
    *("demand_share", "demand_low", "demand_high", "catalogue_share", "ratio", "ratio_low", "ratio_high", "is_short"),
    "priority",
)


def shortages(
    connection: Any, members: Table, people: Table, wants: Table, values: Table, product_count: int
) -> pa.Table:
    """One row per group and value that at least MIN_PEOPLE of the group want, with COLUMNS; shortest first within a
    group, groups in the order of their names.

    `members`: group, customer_id. `people` and `wants` as `acts.shares` gives them, `values` as `acts.catalogue`.
    `group_people` are the members who showed any wish at all. Shares of a signal are of those who gave it, null where
    nobody did. `priority` is 0 for what is not short.
    """
    active = members.inner_join(people, "customer_id")
    whole = active.group_by("group").aggregate(
        group_people=active.count(), **{f"gave_{name}": (active[f"{name}_acts"] > 0).sum() for name in SIGNALS}
    )
    wanted = members.inner_join(wants.filter(wants.share > 0), "customer_id")
    by_value = wanted.group_by(["group", "dimension", "value"]).aggregate(
        people=wanted.count(), voices=wanted.share.sum(), **{f"sum_{name}": wanted[name].sum() for name in SIGNALS}
    )
    by_value = by_value.filter(by_value.people >= MIN_PEOPLE)
    joined = by_value.inner_join(whole, "group").inner_join(values, ["dimension", "value"])
    each = {
        f"{name}_share": joined[f"sum_{name}"].fill_null(0.0) / joined[f"gave_{name}"].nullif(0) for name in SIGNALS
    }
    kept = ("group", "dimension", "value", "people", "group_people", "products", "voices")
    return measured(connection.to_pyarrow(joined.select(*kept, **each)), product_count)


def measured(rows: pa.Table, product_count: int) -> pa.Table:
    """Rows with people, group_people, voices and products, with the shares, intervals and ranks of the module added,
    in order."""
    n, x = (rows.column(name).to_numpy().astype(float) for name in ("group_people", "voices"))
    x = np.clip(x, 0.0, n)
    tail = (1 - CONFIDENCE) / 2
    low, high = (np.asarray(stats.beta.ppf(q, x + 0.5, n - x + 0.5)) for q in (tail, 1 - tail))
    catalogue = (rows.column("products").to_numpy() + 0.5) / (product_count + 1)
    demand = (x + 0.5) / (n + 1)
    ratio_low = low / catalogue
    is_short = ratio_low > 1
    priority = np.where(is_short, np.log(np.maximum(ratio_low, 1.0)) * rows.column("people").to_numpy(), 0.0)
    added: dict[str, Any] = {
        "demand_share": demand,
        "demand_low": low,
        "demand_high": high,
        "catalogue_share": catalogue,
        "ratio": demand / catalogue,
        "ratio_low": ratio_low,
        "ratio_high": high / catalogue,
        "is_short": is_short,
        "priority": priority,
    }
    for name, values in added.items():
        rows = rows.append_column(name, pa.array(values))
    order: Sequence[tuple[str, str]] = (
        *(("group", "ascending"), ("priority", "descending"), ("ratio_low", "descending")),
        *(("dimension", "ascending"), ("value", "ascending")),
    )
    return rows.select(list(COLUMNS)).sort_by(list(order))


def members_of(facts: Any, segments: Sequence[str], tags: Sequence[str]) -> Table | None:
    """`group, customer_id` of "MODEL=SEGMENT" and of tag names (as "tag:NAME"); None when there is none."""
    parts = []
    for group in segments:
        model, _, name = group.partition("=")
        inside = facts.segments.filter(facts.segments[model] == name)
        parts.append(inside.select("customer_id", group=ibis.literal(group)))
    for name in tags:
        inside = facts.tags.filter(facts.tags.tag == name)
        parts.append(inside.select("customer_id", group=ibis.literal(f"tag:{name}")))
    return ibis.union(*parts) if parts else None
