"""DuckDB in this process: runs the expressions of the models over a table of paid orders.

Only the connection and the small questions about a population (cut points, mean scores, medians) are asked here; the
rest is Ibis.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import singledispatch
from typing import Any, Literal
from zoneinfo import ZoneInfo

import ibis
import numpy as np

from segmentation import activity, groups, loyalty, measures, nesl, rfm
from segmentation.activity import Activity
from segmentation.day_arrays import open_everyone
from segmentation.facts import lend
from segmentation.loyalty import Loyalty
from segmentation.measures import Spans, UnreadableRows
from segmentation.occurrences import occurrences
from segmentation.population import Population
from store.errors import BadInput

MEMORY_LIMIT = "640MB"  # beyond it DuckDB spills to disk; the whole process stays below 1 GiB
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
Column = Callable[[str], Any]  # by name a NumPy array, which the caller may change

ibis.options.sql.fuse_selects = False  # the engines join selects themselves, and sooner


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

    def spans(self, cycle_days: int) -> Spans:
        """What customers are measured over, by that cycle of the brand."""
        return Spans(self.as_of, self.look_back_days, cycle_days, self.loyalty.periods, self.activity.returned_days)


@dataclass(frozen=True)
class Segmented:
    """A computed population. `table` has CORE_COLUMNS for each customer with an order that counts (monetary in
    ten-thousandths); with all models CORE_COLUMNS and MORE_COLUMNS for each customer with an order or act before the
    day: then R, F, M and their segments are null for those without an order that counts, NESL and NES, the personal
    cycle, loyalty and paid_total (ten-thousandths) for those without any, and activity for those without an act; the
    five groups are never null."""

    table: Table
    people: int  # customers with an order that counts
    cycle_days: int
    proposed_cycle_days: int | None  # None: not asked for, or nobody ordered twice
    cuts: rfm.Cuts | None  # None: nobody to score
    population: Population | None = None  # with all models
    by_cycles: Table | None = None  # with all models: customer_id, recent_orders and former_orders (see `measures`)


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
    scored, by = _scored(people, cuts)
    table = scored.mutate(**_segments(scored, by, cycle_days)).select(*CORE_COLUMNS)
    return Segmented(table, count, cycle_days, proposed, cuts)


def _all(
    connection: Any, orders: Table, request: Request, lines: bool, known: Population | None, acts: Table | None
) -> Segmented:
    as_of, zone, look_back = request.as_of, request.zone, request.look_back_days
    if lines:
        _require_readable(connection, orders)
        orders = kept(connection, "whole_orders", measures.whole_orders(orders, as_of, zone, look_back))
    found = measured(connection, orders, acts, request, known.cycle_days if known else request.cycle_days)
    people, cycle_days = found.people, found.cycle_days
    proposed = None if known else found.proposed_cycle_days
    usual_gap_days = known.usual_gap_days if known else found.usual_gap_days or cycle_days
    # those who can't be read have to be told of, not left out
    scored = people if found.column else people.filter(people.frequency.notnull() | (people.unread > 0))
    count, cuts = _cuts(connection, scored, request, known, found.column)
    points = known.loyalty_points if known else loyalty.percentile_points(_loyalties(connection, found))
    population = Population(cuts, cycle_days, usual_gap_days, points)
    by_cycles = people.select("customer_id", "recent_orders", "former_orders")
    table = _with_all(people, request, population)
    return Segmented(table, count, cycle_days, proposed, cuts, population, by_cycles)


@dataclass(frozen=True)
class Measured:
    """`people` has customer_id and the columns of `day_matrix.Measured`, by a brand's cycle of `cycle_days`. The cycle
    that their gaps propose, and the usual gap between days with an act, are None without gaps. `column` gives the
    values of one of theirs that aren't null; None where that can't be done without a query: then `people` has how many
    rows of each could not be read, `unread`, too."""

    people: Table
    cycle_days: int
    proposed_cycle_days: int | None
    usual_gap_days: int | None
    column: Column | None = None


@singledispatch
def measured(connection: Any, orders: Table, acts: Table | None, request: Request, cycle_days: int | None) -> Measured:
    """Everybody in `orders` (of `measures.whole_orders`, or one row each) and `acts`, by the brand's cycle of
    `cycle_days` (None: by the proposal). Raises UnreadableRows, SumTooLarge."""
    as_of, zone, look_back = request.as_of, request.zone, request.look_back_days
    orders = measures.days_back(orders, as_of, zone)
    acts = None if acts is None else measures.acts_back(acts, as_of, zone)
    with open_everyone(connection, orders, acts, look_back) as everyone:
        cycle = cycle_days or usual_gap(everyone.gaps()) or DEFAULT_CYCLE_DAYS
        found = everyone.measure(connection, POPULATION, request.spans(cycle))
    people = lend(connection, f"lent_{POPULATION}", found.rows)
    if people.customer_id.type() != orders.customer_id.type():
        people = people.mutate(customer_id=people.customer_id.cast(orders.customer_id.type()))
    return Measured(people, cycle, usual_gap(found.gaps), usual_gap(found.act_gaps), found.column)


def usual_gap(gaps: Mapping[int, int]) -> int | None:
    """The median of gaps in whole days, given how often each occurs; None for none."""
    return nesl.whole_cycle(nesl.median(gaps.items()))


def proposed_cycle(connection: Any, orders: Table, request: Request, *, lines: bool = False) -> int | None:
    """The purchase cycle that the orders propose, in whole days; None when nobody ordered twice."""
    rows = orders.filter(rfm.counted(orders, request.as_of, request.zone, request.look_back_days))
    if lines:
        rows = measures.whole_orders(rows, request.as_of, request.zone, request.look_back_days)
    days = rows.select("customer_id", day=measures.day_of(rows.ordered_at))
    return nesl.whole_cycle(nesl.median(counts(connection, nesl.gaps(days).gap)))


def counts(connection: Any, values: Expression) -> list[tuple[int, int]]:
    """How often each value occurs, nulls left out, in any order."""
    value = values.name("value").as_table()
    found = connection.to_pyarrow(
        value.filter(value.value.notnull()).group_by("value").aggregate(often=lambda rows: rows.count())
    )
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


def _loyalties(connection: Any, found: Measured) -> list[tuple[int, int]]:
    """How often each loyalty occurs."""
    if found.column is None:
        return counts(connection, found.people.loyalty_product)
    values, often = occurrences(found.column("loyalty_product"))
    return list(zip(values.tolist(), often.tolist(), strict=True))


@singledispatch
def scale(
    connection: Any, people: Table, fixed: Mapping[str, tuple[int, ...] | None], column: Column | None
) -> tuple[int, dict[str, tuple[int, ...]], dict[str, int]]:
    """How many people there are; and, if any, of each measure the four cut points (None in `fixed`: their quantiles)
    and the sum of the scores that these give. `column` as in `Measured`. Raises UnreadableRows."""
    column = column or _readable(connection, people)
    money = column(rfm.COLUMNS["m"])
    if not len(money):
        return 0, {}, {}

    def scaled(name: str, values: Any) -> tuple[tuple[int, ...], int]:
        points = fixed[name] or rfm.cut_points(values)
        return points, rfm.score_sum(values, points)

    with ThreadPoolExecutor(1) as beside:  # money takes longest; the others are read and counted meanwhile
        of_money = beside.submit(scaled, "m", money)
        found = {name: scaled(name, rfm.upwards(name, column(rfm.COLUMNS[name]))) for name in ("r", "f")}
        found["m"] = of_money.result()
    points, sums = {name: of for name, (of, _) in found.items()}, {name: total for name, (_, total) in found.items()}
    return len(money), points, sums


def _readable(connection: Any, people: Table) -> Column:
    """A way to read columns of people whose rows could all be read. Raises UnreadableRows."""
    found = _row(connection, people.aggregate(count=people.count(), unread=people.unread.sum()))
    if found["unread"]:
        raise UnreadableRows

    def column(name: str) -> Any:
        values, start = np.empty(found["count"], people[name].type().to_numpy()), 0
        for batch in connection.con.sql(connection.compile(people.select(name))).to_arrow_reader():
            values[start : start + len(batch)] = batch[0]
            start += len(batch)
        return values

    return column


def _cuts(
    connection: Any, people: Table, request: Request, known: Population | None, column: Column | None = None
) -> tuple[int, rfm.Cuts | None]:
    """How many people there are, and what to score them by; None for nobody."""
    known_cuts = known.cuts if known else None
    fixed = known_cuts.points if known_cuts else request.scoring.fixed_cuts()
    count, points, sums = scale(connection, people, fixed, column)
    if known_cuts or not count:
        return count, known_cuts
    high = request.scoring.high_from
    return count, rfm.Cuts(points, {name: high or rfm.first_high(sums[name], count) for name in rfm.MEASURES})


def _scored(people: Table, cuts: rfm.Cuts | None, **more: Expression) -> tuple[Table, rfm.Cuts]:
    """The people with scores (and columns `more`), and by what; when nobody has an order that counts, a table of that
    shape."""
    cuts = cuts or rfm.Cuts(dict.fromkeys(rfm.MEASURES, (0, 0, 0, 0)), dict.fromkeys(rfm.MEASURES, 1))
    return people.mutate(**rfm.scores(people, cuts.points), **more), cuts


def _segments(scored: Table, cuts: rfm.Cuts, cycle_days: int) -> dict[str, Expression]:
    """The core models' segments of those who have an order that counts."""
    r, f, m = (scored[name] >= cuts.high_from[name] for name in rfm.MEASURES)
    return {
        "rf4": rfm.rf4(r, f),
        "rf11": rfm.rf11(scored.r, scored.f),
        "rfm3": rfm.rfm3(r, f, m, scored.orders_ever),
        "rfm8": rfm.rfm8(r, f, m),
        "nesl": nesl.nesl(scored.recency_days, scored.orders_ever, cycle_days),
    }


def _with_all(people: Table, request: Request, population: Population) -> Table:
    """The people with all models; null where a model doesn't say anything of a customer."""
    brand = population.cycle_days
    table, cuts = _scored(
        people,
        population.cuts,
        own_days=nesl.personal_cycle(people.gap_count, people.median_gap, brand, request.cycle_weight),
        usual_days=nesl.personal_cycle(
            people.act_gap_count, people.median_act_gap, population.usual_gap_days, request.activity.weight
        ),
    )
    counts, has_acted, product = table.frequency.notnull(), table.since_last.notnull(), table.loyalty_product
    of_counted = {**{name: table[name] for name in rfm.MEASURES}, **_segments(table, cuts, brand)}
    has_bought, ago, often = table.paid_total.notnull(), table.last_ever, table.orders_ever
    of_bought = {  # whoever's orders no longer count is no stranger: these look at all history
        "nesl": nesl.nesl(ago, often, brand),
        "nes": nesl.nes(ago, often, brand),
        "cycle_days": table.own_days,
        "nesl_personal": nesl.nesl(ago, often, table.own_days),
        "nes_personal": nesl.nes(ago, often, table.own_days),
    }
    high = tuple(table[name] >= cuts.high_from[name] for name in rfm.MEASURES)
    columns = {
        **{name: table[name] for name in ("customer_id", "recency_days", "frequency", "monetary", "paid_total")},
        **{name: ibis.cases((counts, value)) for name, value in of_counted.items()},
        **{name: ibis.cases((has_bought, value)) for name, value in of_bought.items()},
        **groups.groups(table, high, brand),
        "loyalty": loyalty.loyalty(product, request.loyalty.periods),
        "loyalty_percentile": ibis.cases((product.notnull(), loyalty.percentile(product, population.loyalty_points))),
        "activity": ibis.cases((has_acted, activity.state(table, table.usual_days, request.activity))),
    }
    return table.select(**{name: columns[name] for name in (*CORE_COLUMNS, *MORE_COLUMNS)})
