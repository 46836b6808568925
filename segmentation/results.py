"""What every customer should have, and where it differs from what is stored. Ibis tables in, Arrow out; knows no
database."""

from collections.abc import Collection
from datetime import date
from typing import Any

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import MODEL_COLUMNS, SCHEMAS

SCORES = ("last_ordered_on", "frequency", "monetary", "r", "f", "m")
VALUES = (*SCORES, *MODEL_COLUMNS, "cycle_days", "loyalty", "loyalty_percentile", "paid_total")
CELLS = "rf_cells"  # what SegmentSizeOnDay calls the model whose segments are the cells of R × F
WITHOUT_ORDERS = {
    **dict.fromkeys(("nesl", "nes", "nesl_personal", "nes_personal"), "never"),
    "activity": "none",
}

Table = Any


def targets(customers: Table, computed: Table, as_of: date) -> Table:
    """The table `segments` of Facts as it should be: a row for each of `customers` (column customer_id), out of what
    the engine `computed` as of the day."""
    found = computed.mutate(
        # by way of a timestamp: ibis takes the difference for a date already, DuckDB doesn't
        last_ordered_on=(ibis.literal(as_of) - computed.recency_days.as_interval("D")).cast("timestamp").cast("date")
    )
    joined = customers.select("customer_id").left_join(found, "customer_id")
    filled = {name: joined[name].fill_null(word) for name, word in WITHOUT_ORDERS.items()}
    schema = SCHEMAS["segments"]
    joined = joined.mutate(**filled)
    return joined.select(**{name: joined[name].cast(kind) for name, kind in schema.items()})


def differences(
    connection: Any,
    target: Table,
    current: Table,
    *,
    everyone: bool = False,
    relabelled: bool | Collection[int] = False,
) -> pa.Table:
    """The rows of `target` whose values differ from `current` (or all), ascending by customer_id: customer_id, VALUES
    with the day as text, `stored_at` of the stored row (null: none), the stored segments as `old_…`, `is_move`: whether
    a segment differs, and `is_relabelled`: whether the customer is `relabelled` (all, or these ids)."""
    stored = current.select(
        "stored_at", old_customer_id=current.customer_id, **{f"old_{name}": current[name] for name in VALUES}
    )
    joined = target.left_join(stored, target.customer_id == stored.old_customer_id)

    def same(names: tuple[str, ...]) -> Any:
        return ibis.and_(*[joined[name].identical_to(joined[f"old_{name}"]) for name in names])

    changed = joined if everyone else joined.filter(~same(VALUES))
    changed = changed.mutate(
        is_move=~same(MODEL_COLUMNS), last_ordered_on=changed.last_ordered_on.cast("string")
    ).order_by("customer_id")
    is_relabelled = ibis.literal(bool(relabelled))
    if not isinstance(relabelled, bool) and relabelled:
        is_relabelled = changed.customer_id.isin(list(relabelled))
    old = (f"old_{name}" for name in MODEL_COLUMNS)
    names = ("customer_id", *VALUES, "stored_at", *old, "is_move")
    return connection.to_pyarrow(changed.select(*names, is_relabelled=is_relabelled))


def sizes(connection: Any, target: Table) -> list[tuple[str, str, int, int]]:
    """(model, segment, customers, what they have paid in ten-thousandths) of every segment that has somebody, and of
    every cell of R and F ("r5f1") as the model CELLS."""
    scored = target.filter(target.rf11.notnull())
    cells = ibis.literal("r") + scored.r.cast("string") + "f" + scored.f.cast("string")
    by = {model: (target.filter(target[model].notnull()), target[model]) for model in MODEL_COLUMNS}
    found: list[tuple[str, str, int, int]] = []
    for model, (people, segment) in {**by, CELLS: (scored, cells)}.items():
        counted = people.group_by(segment=segment).aggregate(
            customers=lambda t: t.count(), value=lambda t: t.monetary.cast("decimal(38, 0)").sum().fill_null(0)
        )
        rows = connection.to_pyarrow(counted).to_pylist()
        found += [(model, row["segment"], row["customers"], int(row["value"])) for row in rows]
    return found
