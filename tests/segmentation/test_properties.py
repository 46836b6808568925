"""All models: the engine against the plain reference on random customers, and what must not change a result."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.activity import Activity
from segmentation.engine import CORE_COLUMNS, MORE_COLUMNS, Request, Segmented, compute, open_duckdb
from segmentation.facts import keep
from segmentation.loyalty import Loyalty, percentile_points, period_starts
from segmentation.population import Population
from segmentation.rfm import Scoring
from store.errors import BadInput
from tests.segmentation.reference import Order
from tests.segmentation.reference_all import Settings, months_before, segment_all

TAIPEI = ZoneInfo("Asia/Taipei")
AS_OF = date(2024, 3, 31)  # a month back is the leap day
UNITS = 10_000
Acts = list[tuple[str, date]]

ZONES: Any = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=5)), TAIPEI])
TIMES = st.datetimes(datetime(2022, 12, 1), datetime(2024, 4, 20), timezones=ZONES)  # noqa: DTZ001 - drawn with zones
LATELY = st.datetimes(datetime(2024, 2, 25), datetime(2024, 4, 1), timezones=ZONES)  # noqa: DTZ001 - drawn with zones
PEOPLE = st.sampled_from(["1", "01", "王小明", "x", "y", "z", "w", "v"])
AMOUNTS = st.decimals(-(Decimal(10) ** 12), Decimal(10) ** 12, places=4) | st.decimals(0, 20, places=2)
ORDERS = st.lists(
    st.builds(
        Order,
        customer_id=PEOPLE,
        ordered_at=TIMES | LATELY,
        amount=AMOUNTS,
        order_id=st.none() | st.sampled_from(["o1", "o2", "o3"]),
        status=st.sampled_from(["paid", "paid", "paid", "paid", "refunded", "cancelled"]),
    ),
    max_size=60,
)
ACTS = st.lists(st.tuples(PEOPLE, st.dates(date(2023, 6, 1), date(2024, 4, 5))), max_size=40)
SETTINGS = st.builds(
    Settings,
    cycle=st.sampled_from([None, 1, 7, 30]),
    look_back=st.sampled_from([None, None, 1, 40, 400]),
    high_from=st.sampled_from([None, None, 2, 5]),
    weight=st.sampled_from([1, 3]),
    periods=st.sampled_from([1, 12, 15]),
    activity=st.sampled_from([Activity(), Activity(new_days=3, returned_days=60, active_to=Decimal("0.25"), weight=1)]),
)


def request_of(chosen: Settings) -> Request:
    return Request(
        AS_OF,
        TAIPEI,
        chosen.cycle,
        chosen.look_back,
        Scoring(high_from=chosen.high_from),
        models="all",
        cycle_weight=chosen.weight,
        loyalty=Loyalty(chosen.periods),
        activity=chosen.activity,
    )


def table_of(orders: list[Order]) -> pa.Table:
    paid = [o for o in orders if o.status == "paid"]
    return pa.table(
        {
            "customer_id": pa.array([o.customer_id for o in paid], pa.string()),
            "order_id": pa.array([o.order_id for o in paid], pa.string()),
            "ordered_at": pa.array([o.ordered_at.astimezone(UTC) for o in paid], pa.timestamp("us", "UTC")),
            "amount": pa.array([int(o.amount * UNITS) for o in paid], pa.int64()),
        }
    )


def rows_of(connection: Any, found: Segmented) -> dict[str, dict[str, Any]]:
    rows = {row.pop("customer_id"): row for row in connection.to_pyarrow(found.table).to_pylist()}
    for row in rows.values():
        for name in ("monetary", "paid_total"):
            row[name] = None if row[name] is None else Decimal(row[name]) / UNITS
    return rows


@pytest.fixture(scope="module")
def engine() -> Any:
    with open_duckdb(TAIPEI) as connection:

        def run(
            orders: list[Order],
            chosen: Settings = Settings(),  # noqa: B008 - frozen
            acts: Acts | None = None,
            population: Population | None = None,
        ) -> tuple[dict[str, dict[str, Any]], Population]:
            did = None
            if acts is not None:
                times = [datetime(d.year, d.month, d.day, 23, 59, tzinfo=TAIPEI) for _, d in acts]
                columns = {"customer_id": pa.array([c for c, _ in acts], pa.string())}
                did = keep(
                    connection,
                    "acts",
                    pa.table({**columns, "occurred_at": pa.array(times, pa.timestamp("us", "UTC"))}),
                )
            found = compute(
                connection,
                keep(connection, "orders", table_of(orders)),
                request_of(chosen),
                lines=True,
                acts=did,
                population=population,
            )
            assert found.population is not None
            return rows_of(connection, found), found.population

        yield run


Run = Callable[..., tuple[dict[str, dict[str, Any]], Population]]
QUICK = settings(max_examples=25, deadline=None)


@QUICK
@given(orders=ORDERS, chosen=SETTINGS, acts=st.none() | ACTS)
def test_random_customers_come_out_as_the_plain_reference_says(
    engine: Run, orders: list[Order], chosen: Settings, acts: Acts | None
) -> None:
    found, _ = engine(orders, chosen, acts)
    assert found == segment_all(orders, AS_OF, TAIPEI, chosen, acts)


@QUICK
@given(orders=ORDERS, chosen=SETTINGS, acts=st.none() | ACTS)
def test_a_few_measured_by_a_stored_population_come_out_as_with_everyone(
    engine: Run, orders: list[Order], chosen: Settings, acts: Acts | None
) -> None:
    everyone, population = engine(orders, chosen, acts)
    stored = Population.from_dict(population.as_dict())
    assert stored == population
    for few in ({"x"}, {"1", "y"}):
        mine = [o for o in orders if o.customer_id in few]
        did = None if acts is None else [act for act in acts if act[0] in few]
        if stored.cuts is not None:
            assert engine(mine, chosen, did, stored)[0] == {c: row for c, row in everyone.items() if c in few}


@QUICK
@given(orders=ORDERS, shuffler=st.randoms(use_true_random=False), at=st.integers(0, 60))
def test_shuffling_splitting_and_rows_that_do_not_count_change_nothing(
    engine: Run, orders: list[Order], shuffler: random.Random, at: int
) -> None:
    before, _ = engine(orders)
    assert engine(orders[at:] + orders[:at])[0] == before  # two parts of a file, joined the other way round
    ahead = datetime(2024, 3, 31, tzinfo=TAIPEI)
    more = [replace(o, status="refunded") for o in orders] + [replace(o, ordered_at=ahead) for o in orders]
    shuffled = [*orders, *more]
    shuffler.shuffle(shuffled)
    assert engine(shuffled)[0] == before


def orders_of(who: str, *days_before: int, amount: Decimal = Decimal(10)) -> list[Order]:
    noon = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=TAIPEI)
    return [Order(who, noon - timedelta(days=days), amount) for days in days_before]


def test_a_large_population_agrees_with_the_reference(engine: Run) -> None:
    dice = random.Random(5)
    orders = [
        order
        for number in range(1500)
        for order in orders_of(
            f"c{number}",
            *(dice.randrange(-5, 800) for _ in range(1 + int(dice.expovariate(0.2)))),
            amount=Decimal(dice.randrange(-100, 9999)) / 100,
        )
    ]
    chosen = Settings(cycle=None)
    assert engine(orders, chosen)[0] == segment_all(orders, AS_OF, TAIPEI, chosen)


def test_customers_of_all_equal_values_have_one_answer_and_percentile_nought(engine: Run) -> None:
    for count in (1, 4, 23):
        rows = engine([o for i in range(count) for o in orders_of(str(i), 5, 12)])[0]
        assert len({tuple(row.values()) for row in rows.values()}) == 1
        assert rows["0"]["loyalty_percentile"] == 0


def test_amounts_of_a_million_million_add_up_exactly_over_all_history(engine: Run) -> None:
    orders = orders_of("a", *range(1, 91), amount=Decimal("999999999999.9999"))
    row = engine(orders, Settings(look_back=10))[0]["a"]
    assert row["paid_total"] == 90 * Decimal("999999999999.9999")
    assert row["monetary"] == 10 * Decimal("999999999999.9999")


def test_whoever_bought_before_the_look_back_window_is_no_stranger_and_no_newcomer(engine: Run) -> None:
    orders = orders_of("lost", 400, 380) + orders_of("once", 400) + orders_of("away", 40, 39)
    orders += orders_of("back", 500, 3, amount=Decimal(900)) + orders_of("new", 3, amount=Decimal(900))
    orders += [order for place in range(9) for order in orders_of(f"other{place}", 20, 10)]
    rows = engine(orders, Settings(look_back=30))[0]
    assert [rows[c]["nesl"] for c in ("lost", "once", "away", "back", "new")] == ["L", "L", "S1", "E", "N"]
    assert [rows[c]["nes_personal"] for c in ("lost", "once", "away", "back", "new")] == ["S", "S", "S", "E", "N"]
    assert [rows[c]["rfm3"] for c in ("lost", "back", "new")] == [None, "other", "new_high_value"]
    assert [rows[c]["frequency"] for c in ("lost", "back", "new")] == [None, 1, 1]
    assert rows["lost"]["cycle_days"] == 30, "gaps before the window are no habit"


def test_loyalty_of_ten_purchases_in_six_of_twelve_months_is_five_and_in_one_month_less(engine: Run) -> None:
    starts = [(AS_OF - start).days for start in period_starts(AS_OF, 12)]
    spread = [*starts[:6], *starts[:4]]
    rows, _ = engine(orders_of("spread", *spread) + orders_of("once", *[1] * 10) + orders_of("old", 400))
    assert rows["spread"]["loyalty"] == 5
    assert rows["once"]["loyalty"] == pytest.approx(10 / 12)
    assert [rows[c]["loyalty_percentile"] for c in ("old", "once", "spread")] == [0, 50, 100]
    assert rows["old"]["loyalty"] == 0


def test_loyalty_counts_the_first_day_of_its_oldest_month_and_not_the_day_before(engine: Run) -> None:
    assert period_starts(AS_OF, 2) == [date(2024, 2, 29), date(2024, 1, 31)]
    assert [months_before(AS_OF, n).month for n in (0, 1, 12)] == [3, 2, 3]
    oldest = (AS_OF - date(2023, 3, 31)).days
    rows, _ = engine(orders_of("in", oldest) + orders_of("out", oldest + 1))
    assert rows["in"]["loyalty"] == pytest.approx(1 / 12)
    assert rows["out"]["loyalty"] == 0


@given(st.lists(st.integers(0, 8), min_size=2, max_size=250))
def test_percentile_points_give_the_share_of_the_others_below(values: list[int]) -> None:
    points = percentile_points((value, values.count(value)) for value in set(values))
    assert len(points) == 100
    for value in range(10):
        share = 100 * sum(v < value for v in values) // (len(values) - 1)
        assert sum(point < value for point in points) == min(100, share)


@pytest.mark.parametrize(
    ("days", "cycle", "state"),
    [
        ((1, 11, 21, 31), 20, "E"),  # three gaps of 10 count as much as the brand's 30
        ((20, 30, 40, 50), 20, "E"),
        ((21, 31, 41, 51), 20, "S1"),
        ((60, 70, 80, 90), 20, "S2"),
        ((61, 71, 81, 91), 20, "L"),
        ((30,), 30, "N"),
        ((31,), 30, "S1"),
        ((5, 5), 23, "E"),  # a gap of 0: 90 / 4 is 22.5, halves up
    ],
)
def test_the_personal_cycle_moves_the_states(engine: Run, days: tuple[int, ...], cycle: int, state: str) -> None:
    row = engine(orders_of("a", *days))[0]["a"]
    assert (row["cycle_days"], row["nesl_personal"]) == (cycle, state)


@pytest.mark.parametrize(
    ("ago", "state"),
    [
        (1, "active"),
        (18, "active"),  # nine gaps of 7 and three of 30 come to 13 days, rounded up from 12.75; 1.5 of them are 19.5
        (19, "active"),
        (20, "low"),
        (39, "low"),
        (40, "silent"),
        (78, "silent"),
        (79, "lost"),
    ],
)
def test_activity_is_measured_in_the_customers_own_gaps(engine: Run, ago: int, state: str) -> None:
    weekly = [("a", AS_OF - timedelta(days=ago + 7 * n)) for n in range(10)]
    crowd = [("b", AS_OF - timedelta(days=60 + 30 * n)) for n in range(30)]  # the population's usual gap is 30
    assert engine([], acts=weekly + crowd)[0]["a"]["activity"] == state


def test_who_acts_after_a_silence_has_returned_until_that_is_a_month_ago(engine: Run) -> None:
    for ago, state in ((1, "returned"), (30, "returned"), (31, "active")):
        back = [("a", AS_OF - timedelta(days=days)) for days in range(1, ago + 1, 1)]
        acts = back + [("a", AS_OF - timedelta(days=ago + 40 + 7 * n)) for n in range(20)]
        assert engine([], acts=acts)[0]["a"]["activity"] == state
    assert engine([], acts=[("n", AS_OF - timedelta(days=30))])[0]["n"]["activity"] == "new"
    assert engine([], acts=[("n", AS_OF - timedelta(days=31))])[0]["n"]["activity"] != "new"


def test_the_five_groups_at_their_edges(engine: Run) -> None:
    crowd = [o for i in range(20) for o in orders_of(f"o{i}", 300 + i, amount=Decimal(1))]
    rich = Decimal(500)
    rows, _ = engine(
        crowd
        + orders_of("win", 61, 90)
        + orders_of("not yet", 60, 90)
        + orders_of("fell", 5, 61, 62, 120, amount=rich)
        + orders_of("half", 5, 61, 120, 121, amount=rich)
        + orders_of("third", 30, 40, 41)
        + orders_of("late", 31, 40, 41)
    )
    assert rows["win"]["win_back"]
    assert not rows["not yet"]["win_back"]
    assert rows["fell"]["at_risk_spender"]  # 1 after 3
    assert not rows["half"]["at_risk_spender"]  # 1 after 2 is half, not fewer
    assert rows["third"]["repeat_buyer"]
    assert not rows["late"]["repeat_buyer"]
    assert not any(row["champion"] for c, row in rows.items() if c.startswith("o"))


def test_settings_that_make_no_sense_are_refused() -> None:
    wrong: list[Callable[[], object]] = [
        lambda: Loyalty(0),
        lambda: Loyalty(61),
        lambda: Activity(active_to=Decimal(3)),
        lambda: Activity(active_to=Decimal("0.001")),
        lambda: Activity(silent_to=Decimal("inf")),
        lambda: Activity(new_days=-1),
        lambda: Activity(weight=0),
        lambda: Request(AS_OF, TAIPEI, cycle_weight=0),
    ]
    for make in wrong:
        with pytest.raises(BadInput):
            make()


def test_the_table_has_the_columns_that_it_says(engine: Run) -> None:
    row = engine(orders_of("a", 1))[0]["a"]
    assert ("customer_id", *row) == (*CORE_COLUMNS, *MORE_COLUMNS)


@pytest.mark.parametrize("with_acts", [False, True])
def test_customers_measured_in_parts_come_out_as_at_once(monkeypatch: pytest.MonkeyPatch, *, with_acts: bool) -> None:
    drawn = random.Random(7)
    day = datetime(2024, 1, 1)  # noqa: DTZ001 - wall time
    times = [day + timedelta(days=drawn.randrange(900)) for _ in range(400)]
    orders = pa.table(
        {"customer_id": [drawn.randrange(60) for _ in times], "ordered_at": times, "amount": [UNITS] * 400}
    )
    acts = pa.table({"customer_id": [drawn.randrange(40, 90) for _ in times], "occurred_at": times})

    def computed() -> tuple[list[str], Any]:
        with open_duckdb(TAIPEI) as duck:
            of_acts = {"acts": keep(duck, "acts", acts)} if with_acts else {}
            request = Request(date(2026, 9, 1), TAIPEI, None, models="all")
            found = compute(duck, keep(duck, "orders", orders), request, **of_acts)
            return sorted(map(repr, duck.to_pyarrow(found.table).to_pylist())), found.population

    at_once = computed()
    assert len(at_once[0]) > 55
    monkeypatch.setattr("segmentation.day_rows.ROWS_AT_ONCE", 50)
    assert computed() == at_once
