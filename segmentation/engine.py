"""DuckDB in this process: runs the expressions of the models over a table of paid orders.

Only the connection and the small questions about a population (cut points, mean scores, medians) are asked here; the
rest is Ibis.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import singledispatch
from typing import Any, Literal
from zoneinfo import ZoneInfo

import ibis

from segmentation import activity, groups, loyalty, measures, nesl, rfm
from segmentation.activity import Activity
from segmentation.loyalty import Loyalty
from segmentation.population import Population
from store.errors import BadInput

MEMORY_LIMIT = "640MB"  # beyond it DuckDB spills to disk; the whole process stays below 1 GiB
ROWS_AT_ONCE = 2_500_000  # whose medians fit in that memory, even if everyone has but one
POPULATION = "population"
DEFAULT_CYCLE_DAYS = 30

SCORE_COLUMNS = ("recency_days", "frequency", "monetary", "r", "f", "m")
CORE_COLUMNS = ("customer_id", *SCORE_COLUMNS, "rf4", "rf11", "rfm3", "rfm8", "nesl")
GROUP_COLUMNS = ("champion", "potential_loyalist", "win_back", "at_risk_spender", "repeat_buyer")
MORE_COLUMNS = (
    *("nes", "cycle_days", "nesl_personal", "nes_personal"),
    *("loyalty", "loyalty_percentile", "activity", "paid_total", *GROUP_COLUMNS),
)

Table = Any
Expression = Any


@dataclass(frozen=True)
class Request:
    """What to compute. `cycle_days` of None: take the cycle proposed from the orders themselves."""

    as_of: date
    zone: ZoneInfo
    cycle_days: int | None = DEFAULT_CYCLE_DAYS
    look_back_days: int | None = None
    scoring: rfm.Scoring = field(default_factory=rfm.Scoring)
    propose_cycle: bool = False  # work out the proposal even when `cycle_days` is given; "all" always does
    models: Literal["core", "all"] = "core"
    # the rest only for all models
    cycle_weight: int = nesl.CYCLE_WEIGHT
    loyalty: Loyalty = field(default_factory=Loyalty)
    activity: Activity = field(default_factory=Activity)

    def __post_init__(self) -> None:
        if not 1 <= self.cycle_weight <= 100:
            raise BadInput(f"the weight of the brand's cycle must be 1 to 100, not {self.cycle_weight}")


@dataclass(frozen=True)
class Segmented:
    """A computed population. `table` has CORE_COLUMNS for each customer with an order that counts (monetary in
    ten-thousandths); with all models CORE_COLUMNS and MORE_COLUMNS for each customer with an order or act before the
    day: then R, F, M, their segments, the personal cycle and its states are null for those without an order that
    counts, loyalty and paid_total (ten-thousandths) for those without any, and activity for those without an act; the
    five groups are never null."""

    table: Table
    people: int  # customers with an order that counts
    cycle_days: int
    proposed_cycle_days: int | None  # None: not asked for, or nobody ordered twice
    cuts: rfm.Cuts | None  # None: nobody to score
    population: Population | None = None  # with all models


class UnreadableRows(Exception):
    """Some rows lack a customer, time or amount: the reader of the rows must find out which and why."""


@contextmanager
def open_duckdb(zone: ZoneInfo, *, memory_limit: str = MEMORY_LIMIT) -> Iterator[Any]:
    """An Ibis connection to a DuckDB of its own, whose session zone is the brand's; spills into a folder that is
    removed with it."""
    with tempfile.TemporaryDirectory(prefix="segments-") as folder:
        connection = ibis.duckdb.connect(
            memory_limit=memory_limit, temp_directory=folder, preserve_insertion_order=False
        )
        connection.raw_sql(f"SET TimeZone = '{zone.key}'")
        try:
            yield connection
        finally:
            connection.disconnect()


def compute(
    connection: Any,
    orders: Table,
    request: Request,
    *,
    lines: bool = False,
    population: Population | None = None,
    acts: Table | None = None,
) -> Segmented:
    """Score and segment everyone with an order that counts. `orders` and `lines` as in `rfm.aggregates`.

    With `population` (of a former computation with the same settings), the customers of `orders` and `acts` are only
    measured by it, so that each comes out as if everyone were there. `acts` (customer_id, occurred_at: as ordered_at)
    are what activity is judged by, where models is "all"; None: the orders that count.

    Writes temporary tables on the connection, in place of those of a former call: the tables of its result are then
    of no use any more. Raises UnreadableRows when a row lacks a value, duckdb.Error when the rows can't be computed
    with (a sum out of range).
    """
    if request.models == "all":
        return _all(connection, orders, request, lines, population, acts)
    return _core(connection, orders, request, lines, population)


def _core(connection: Any, orders: Table, request: Request, lines: bool, population: Population | None) -> Segmented:
    whole = rfm.aggregates(orders, request.as_of, request.zone, request.look_back_days, lines=lines)
    people = kept(connection, POPULATION, whole)
    proposed = None
    if population is None and (request.cycle_days is None or request.propose_cycle):
        proposed = proposed_cycle(connection, orders, request, lines=lines)
    cycle_days = population.cycle_days if population else request.cycle_days or proposed or DEFAULT_CYCLE_DAYS
    count, cuts = _cuts(connection, people, request, population)
    table = _with_segments(people, cuts, cycle_days)
    return Segmented(table.select(*CORE_COLUMNS), count, cycle_days, proposed, cuts)


def _all(
    connection: Any, orders: Table, request: Request, lines: bool, known: Population | None, acts: Table | None
) -> Segmented:
    as_of, zone, look_back = request.as_of, request.zone, request.look_back_days
    if lines:
        _require_readable(connection, orders)
        orders = kept(connection, "whole_orders", measures.whole_orders(orders, as_of, zone, look_back))
    days = kept(connection, "order_days", measures.by_day(orders, as_of, zone))
    act_days = None if acts is None else kept(connection, "act_days", measures.acts_by_day(acts, as_of, zone))
    gaps = measures.counted_gap(days, as_of, look_back)
    proposed, usual = (None, None) if known else _cycles(connection, gaps, gaps if act_days is None else act_days.gap)
    cycle_days = known.cycle_days if known else request.cycle_days or proposed or DEFAULT_CYCLE_DAYS
    usual_gap_days = known.usual_gap_days if known else usual or cycle_days
    spans = measures.Spans(as_of, look_back, cycle_days, request.loyalty.periods, request.activity.returned_days)
    people = _people(connection, days, act_days, spans)
    scored = people.filter(people.frequency.notnull() | (people.unread > 0))  # unread: to be told of, not left out
    count, cuts = _cuts(connection, scored, request, known)
    points = known.loyalty_points if known else loyalty.percentile_points(_counts(connection, people.loyalty_product))
    population = Population(cuts, cycle_days, usual_gap_days, points)
    return Segmented(_with_all(people, request, population), count, cycle_days, proposed, cuts, population)


def _people(connection: Any, days: Table, act_days: Table | None, spans: measures.Spans) -> Table:
    """`measures.of_customers`, kept: some customers after the others when there is too much of them at once."""
    parts = parts_of(connection, [days] if act_days is None else [days, act_days])
    if parts == 1:
        return kept(connection, POPULATION, measures.of_customers(days, act_days, spans))

    def of(part: int) -> Table:
        mine = [
            rows if rows is None else rows.filter((rows.customer_id.hash() & (parts - 1)) == part)
            for rows in (days, act_days)
        ]
        return measures.of_customers(mine[0], mine[1], spans)

    people = kept(connection, POPULATION, of(0))
    for part in range(1, parts):
        connection.raw_sql(f"INSERT INTO temp.{POPULATION} {connection.compile(of(part))}")
    return people


@singledispatch
def parts_of(connection: Any, tables: list[Table]) -> int:
    """In how many parts, a power of two, the customers of `tables` are measured. DuckDB spills sorts and sums, but the
    values that the medians of a group-by are taken from stay in memory."""
    rows = sum(int(connection.to_pyarrow(table.count()).as_py()) for table in tables)
    return 1 << max(0, -(-rows // ROWS_AT_ONCE) - 1).bit_length()


def _cycles(connection: Any, gaps: Expression, act_gaps: Expression) -> tuple[int | None, int | None]:
    """The purchase cycle that the gaps between orders propose, and the usual gap of acts, of which several of a day are
    one; None where there are none."""
    found = [_counts(connection, column) for column in (gaps, act_gaps)]
    apart = [(gap, often) for gap, often in found[1] if gap > 0]
    return nesl.whole_cycle(nesl.median(found[0])), nesl.whole_cycle(nesl.median(apart))


def proposed_cycle(connection: Any, orders: Table, request: Request, *, lines: bool = False) -> int | None:
    """The purchase cycle that the orders propose, in whole days; None when nobody ordered twice."""
    rows = orders.filter(rfm.counted(orders, request.as_of, request.zone, request.look_back_days))
    if lines:
        rows = measures.whole_orders(rows, request.as_of, request.zone, request.look_back_days)
    days = rows.select("customer_id", day=measures.day_of(rows.ordered_at))
    return nesl.whole_cycle(nesl.median(_counts(connection, nesl.gaps(days).gap)))


def _counts(connection: Any, values: Expression) -> list[tuple[int, int]]:
    """How often each value occurs, nulls left out, in any order."""
    value = values.name("value").as_table()
    counts = value.filter(value.value.notnull()).group_by("value").aggregate(often=lambda rows: rows.count())
    found = connection.to_pyarrow(counts)
    return list(zip(found["value"].to_pylist(), found["often"].to_pylist(), strict=True))


def _row(connection: Any, one_row: Table) -> dict[str, Any]:
    found: dict[str, Any] = connection.to_pyarrow(one_row).to_pylist()[0]
    return found


@singledispatch  # another engine registers its own way for its kind of connection
def kept(connection: Any, name: str, rows: Table) -> Table:
    """`rows` as the temporary table `name`, in place of one that was there (ibis's own `overwrite` fails)."""
    connection.raw_sql(f"DROP TABLE IF EXISTS temp.{name}")
    return connection.create_table(name, rows, temp=True)


def _require_readable(connection: Any, rows: Table) -> None:
    names = ("customer_id", "ordered_at", "amount")
    nulls = _row(connection, rows.aggregate(**{name: rows[name].isnull().sum() for name in names}))
    if any(nulls.values()):
        raise UnreadableRows


@singledispatch
def cut_points(connection: Any, people: Table) -> dict[str, Any]:
    """How many people there are, their unread rows, and the four cut points of each measure; see `rfm.cut_points`."""
    return _row(connection, rfm.cut_points(people))


def _cuts(connection: Any, people: Table, request: Request, known: Population | None) -> tuple[int, rfm.Cuts | None]:
    """How many people there are, and what to score them by; None for nobody."""
    found = cut_points(connection, people)
    if found["unread"]:
        raise UnreadableRows
    if known and known.cuts:
        return found["people"], known.cuts
    if not found["people"]:
        return 0, None
    fixed = request.scoring.fixed_cuts()
    points = {name: fixed[name] or tuple(found[name]) for name in rfm.MEASURES}
    sums = _row(connection, rfm.score_sums(people, points))
    high = request.scoring.high_from
    return found["people"], rfm.Cuts(
        points, {n: high or rfm.first_high(sums[n], found["people"]) for n in rfm.MEASURES}
    )


def _with_segments(people: Table, cuts: rfm.Cuts | None, cycle_days: int) -> Table:
    """The people with scores and core segments; when nobody has an order that counts, a table of that shape."""
    cuts = cuts or rfm.Cuts(dict.fromkeys(rfm.MEASURES, (0, 0, 0, 0)), dict.fromkeys(rfm.MEASURES, 1))
    scored = people.mutate(**rfm.scores(people, cuts.points))
    r, f, m = (scored[name] >= cuts.high_from[name] for name in rfm.MEASURES)
    return scored.mutate(
        rf4=rfm.rf4(r, f),
        rf11=rfm.rf11(scored.r, scored.f),
        rfm3=rfm.rfm3(r, f, m, scored.frequency),
        rfm8=rfm.rfm8(r, f, m),
        nesl=nesl.nesl(scored.recency_days, scored.frequency, cycle_days),
    )


def _with_all(people: Table, request: Request, population: Population) -> Table:
    """The people with all models; null where a model doesn't say anything of a customer."""
    cuts = population.cuts or rfm.Cuts(dict.fromkeys(rfm.MEASURES, (0, 0, 0, 0)), dict.fromkeys(rfm.MEASURES, 1))
    table = _with_segments(people, cuts, population.cycle_days)
    counts, has_acted = table.frequency.notnull(), table.since_last.notnull()
    own = nesl.personal_cycle(table.gap_count, table.median_gap, population.cycle_days, request.cycle_weight)
    table = table.mutate(cycle_days=ibis.cases((counts, own)))
    personal = nesl.nesl(table.recency_days, table.frequency, table.cycle_days)
    usual = nesl.personal_cycle(
        table.act_gap_count, table.median_act_gap, population.usual_gap_days, request.activity.weight
    )
    core = {name: ibis.cases((counts, table[name])) for name in ("r", "f", "m", *CORE_COLUMNS[7:])}
    high = tuple(table[name] >= cuts.high_from[name] for name in rfm.MEASURES)
    product = table.loyalty_product
    percentile = loyalty.percentile(product, population.loyalty_points)
    table = table.mutate(
        **core,
        **groups.groups(table, high, population.cycle_days),
        nesl_personal=ibis.cases((counts, personal)),
        loyalty=loyalty.loyalty(product, request.loyalty.periods),
        loyalty_percentile=ibis.cases((product.notnull(), percentile)),
        activity=ibis.cases((has_acted, activity.state(table, usual, request.activity))),
    )
    return table.mutate(nes=nesl.nes(table.nesl), nes_personal=nesl.nes(table.nesl_personal)).select(
        *CORE_COLUMNS, *MORE_COLUMNS
    )
