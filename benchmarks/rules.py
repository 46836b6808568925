"""Rules at scale: twenty rules in one pass against one, and the count of a rule before it is saved.

The facts lie as Parquet in the order of a snapshot (events by kind and time). Both clocks are told: that of the
processor, of all threads together, says how much work it is; the wall clock, how long somebody waits on the machine as
it is.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from benchmarks.figures import Figure
from segmentation.engine import open_duckdb
from segmentation.facts import Facts, facts_of
from segmentation.rules.preview import count_each, count_matching
from segmentation.rules.reading import read_rule
from segmentation.rules.types import Rule
from segmentation.snapshot import FORMAT

SCALES = {"quick": (100_000, 2_000_000), "full": (1_000_000, 20_000_000)}  # customers, events
FOLDER = Path("bench-data")
AS_OF = date(2026, 1, 1)
FIRST_DAY = date(2024, 1, 1)
ZONE = ZoneInfo("Asia/Taipei")
KINDS = ("product_view", "page_view", "click", "message", "postback", "coupon_redeemed")
DAYS = (7, 14, 30, 60, 90, 180, 365, 700)
REPEATS = 3
MANY_GOAL, PREVIEW_GOAL = 2.0, 1.0


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" or "full"."""
    folder = make_facts(scale)
    rules, everything = twenty_rules(), {"all": whole_history()}
    one, many, alone = (
        _best(folder, everything),
        _best(folder, rules),
        [_best(folder, {k: r}) for k, r in rules.items()],
    )
    is_full = scale == "full"
    ratio, separately = many[1] / one[1], sum(wall for _, wall in alone)
    work, preview = _best_of(
        folder, lambda connection, facts: count_matching(connection, facts, previewed(), AS_OF, ZONE)
    )
    return [
        Figure(
            "20 rules in one pass, wall clock",
            *(many[1], "s", "one rule over every event", one[1], ratio),
            goal="ratio at most 2",
            met=ratio <= MANY_GOAL if is_full else None,
        ),
        Figure("the same 20", many[1], "s", "one after the other", separately, many[1] / separately),
        Figure("20 rules in one pass, processor", many[0], "s", "one rule over every event", one[0], many[0] / one[0]),
        Figure("count preview of a rule, wall clock", preview, "s", goal="below 1 s", met=preview < PREVIEW_GOAL),
        Figure("the same, processor", work, "s"),
    ]


def twenty_rules() -> dict[str, Rule]:
    """Counts of every kind in rolling and in absolute windows."""
    found = {}
    for number in range(20):
        start = FIRST_DAY + timedelta(days=30 * number)
        fixed = {"from": str(start), "until": str(start + timedelta(days=90))}
        window = {"last_days": DAYS[number % len(DAYS)]} if number % 2 else fixed
        asked = {"type": "events", "kinds": [KINDS[number % len(KINDS)]], "window": window, "more_than": number % 4}
        found[f"rule_{number}"] = read_rule(asked)
    return found


def whole_history() -> Rule:
    """One rule that no window and no kind makes cheaper."""
    return read_rule({"type": "events", "kinds": list(KINDS), "more_than": 4})


def previewed() -> Rule:
    """What a marketer might try: who, what they looked at lately, and what they did not do."""
    return read_rule(
        {
            "type": "all",
            "of": [
                {"type": "attribute", "name": "city", "is": "台中市"},
                {"type": "age", "at_least": 35, "at_most": 50},
                {"type": "events", "kinds": ["product_view"], "window": {"last_days": 90}, "at_least": 2},
                {"type": "orders", "measure": "sum", "window": {"last_days": 365}, "at_least": 1000},
                {"type": "clicks", "window": {"last_days": 30}, "at_most": 0},
            ],
        }
    )


def make_facts(scale: str) -> Path:
    """Synthetic customers, events and orders of two years in a snapshot's order, made once."""
    customers, events = SCALES[scale]
    folder = FOLDER / f"rules-{scale}"
    if folder.exists():
        return folder
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(exist_ok=True)
    with duckdb.connect(config={"preserve_insertion_order": False}) as connection:
        connection.execute(f"SET TimeZone = '{ZONE.key}'")
        for name, query in _tables(customers, events).items():
            connection.execute(f"COPY ({query}) TO '{unfinished / name}.parquet' ({FORMAT})")
    return unfinished.rename(folder)


def _tables(customers: int, events: int) -> dict[str, str]:
    who = f"(pow(hash(i) % 1000000 / 1e6, 2) * {customers})::BIGINT + 1"
    when = f"TIMESTAMPTZ '{FIRST_DAY} 00:00:00+08' + to_seconds((hash(i * 7 + 1) % 63072000)::BIGINT)"
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    return {
        "customers": f"""
            SELECT i + 1 AS customer_id, 'm' || i AS member_id, NULL AS name, NULL AS gender,
                   DATE '1950-01-01' + (hash(i * 3) % 20000)::INT AS birthday,
                   (['台北市', '台中市', '高雄市', '台南市', '新竹市'])[(1 + hash(i * 5) % 5)::INT] AS city,
                   'zh-TW' AS language, '{{}}' AS attributes, false AS is_refused, true AS is_following,
                   TIMESTAMPTZ '2023-01-01 00:00:00+08' AS created_at
            FROM range({customers}) AS numbers (i) ORDER BY customer_id""",
        "events": f"""
            SELECT {who} AS customer_id, ([{kinds}])[(1 + (hash(i * 3 + 2) % 100 / 17)::INT) % 6 + 1] AS kind,
                   {when} AS occurred_at, 'sku' || (hash(i * 5) % 2000) AS sku, NULL::VARCHAR AS topic,
                   NULL::BIGINT AS campaign_id
            FROM range({events}) AS numbers (i) ORDER BY kind, occurred_at""",
        "orders": f"""
            SELECT i AS order_id, {who} AS customer_id, {when} AS ordered_at,
                   (hash(i * 3 + 2) % 10000000)::BIGINT AS amount, NULL::VARCHAR AS coupon
            FROM range({events // 2}) AS numbers (i) ORDER BY ordered_at""",
    }


def _best(folder: Path, rules: Mapping[str, Rule]) -> tuple[float, float]:
    """The least processor and wall seconds of REPEATS counts, compiling included."""
    return _best_of(folder, lambda connection, facts: count_each(connection, facts, rules, AS_OF, ZONE))


def _best_of(folder: Path, count: Callable[[Any, Facts], object]) -> tuple[float, float]:
    found = []
    for _ in range(REPEATS):
        with open_duckdb(ZONE) as connection:
            facts = _facts(connection, folder)
            processor, wall = time.process_time(), time.perf_counter()
            count(connection, facts)
            found.append((time.process_time() - processor, time.perf_counter() - wall))
    return min(cpu for cpu, _ in found), min(seconds for _, seconds in found)


def _facts(connection: Any, folder: Path) -> Facts:
    tables = {name: connection.read_parquet(folder / f"{name}.parquet") for name in ("customers", "events", "orders")}
    return replace(facts_of(connection), **tables)
