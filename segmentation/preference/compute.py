"""Preferences of all customers, or of a few, from their facts: the one entry for tags."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

import ibis
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import Facts, keep
from segmentation.preference.evidence import with_evidence
from segmentation.preference.scores import CURRENT, decayed, scores
from segmentation.preference.settings import WORD, PreferenceSettings
from segmentation.preference.signals import all_signals
from segmentation.preference.words import Tokenize, said_words

Table = Any

# What Facts must be filled with (see reading.py).
FACTS = ("orders", "lines", "products", "events", "words")

PART_ROWS = 500_000  # of facts, worked on at a time: see _parts

PREFERENCES = ibis.schema(
    {
        "customer_id": "int64",
        "dimension": "string",
        "value": "string",
        "score": "float64",
        "share": "float64",
        "was_on": "boolean",
        "is_on": "boolean",
        "falls_off_on": "date",
        "evidence": "string",  # a JSON object: see evidence.py
    }
)


def preferences(
    connection: Any,
    facts: Facts,
    *,
    as_of: date,
    settings: PreferenceSettings,
    current: pa.Table,
    tokenize: Tokenize | None,
    lexicon: Iterable[str] = (),
    part_rows: int = PART_ROWS,
) -> Table:
    """Every preference that is on as of the day, or was and comes off: the shape PREFERENCES, one row per customer,
    dimension and value. The session's zone must be the brand's.

    `current` (CURRENT): what is on now, of the customers in `facts` and of no others: what nothing speaks for comes
    off. `falls_off_on`: the first day as of which it would be off if nothing more happened; null when off. Without
    `tokenize` words said are left out altogether, those that are on too.
    Customers are worked on in parts of about `part_rows` facts. Keeps the temporary tables `preference…` on the
    connection; a second call replaces them.
    """
    now_on = keep(connection, "preference_current", current.select(CURRENT.names).cast(CURRENT.to_pyarrow()))
    if tokenize is None:
        now_on = now_on.filter(now_on.dimension != WORD)
    said = said_words(connection, facts, tokenize, lexicon)
    parts = _parts(connection, facts, part_rows)
    mine = replace(facts, **{name: _part(getattr(facts, name), parts) for name in ("orders", "lines", "events")})

    signals = _Filled(connection, "preference_signal", all_signals(mine, _part(said, parts), settings))
    scored = _Filled(connection, "preference_score", scores(signals.table, _part(now_on, parts), as_of, settings))
    judged = with_evidence(decayed(signals.table, as_of, settings), scored.table, as_of, settings)
    found = _Filled(connection, "preference", judged.select(*PREFERENCES.names).cast(PREFERENCES))
    people = scored.table.group_by("dimension").aggregate(people=scored.table.customer_id.nunique())
    known = _Filled(connection, "preference_known", people)
    for part in range(parts):
        connection.con.execute(f"SET VARIABLE preference_part = {part}")
        signals.fill(empty=True)
        scored.fill(empty=True)
        found.fill()
        known.fill()
    return found.table


class _Filled:
    """A temporary table that an expression is run into, part by part; Ibis writes the statement once."""

    def __init__(self, connection: Any, name: str, rows: Table) -> None:
        self.table = keep(connection, name, rows.schema().to_pyarrow().empty_table())
        self._duck = connection.con
        self._name = name
        self._query = connection.compile(rows)

    def fill(self, *, empty: bool = False) -> None:
        """Add the expression's rows; in place of those that are there with `empty`."""
        if empty:
            self._duck.execute(f"TRUNCATE {self._name}")
        self._duck.execute(f"INSERT INTO {self._name} BY NAME {self._query}")


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def getvariable(variable: str) -> int:  # type: ignore[empty-body]
    """DuckDB's own: a variable of the session, a constant to the statement."""


def _parts(connection: Any, facts: Facts, part_rows: int) -> int:
    """Into how many parts to divide the customers: nobody's preferences hang on anybody else's, so memory needs to
    hold only one part's signals."""
    counts = [getattr(facts, name).count().name("rows").as_table() for name in ("orders", "lines", "events")]
    rows = sum(connection.to_pyarrow(ibis.union(*counts)).column("rows").to_pylist())
    return 1 + int(rows) // part_rows


def _part(rows: Table, parts: int) -> Table:
    return rows.filter(rows.customer_id % parts == getvariable("preference_part")) if parts > 1 else rows
