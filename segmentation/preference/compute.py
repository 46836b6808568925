"""Preferences of all customers, or of a few, from their facts: the one entry for tags."""

from collections.abc import Iterable
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
) -> Table:
    """Every preference that is on as of the day, or was and comes off: the shape PREFERENCES, one row per customer,
    dimension and value. The session's zone must be the brand's.

    `current` (CURRENT): what is on now, of the customers in `facts` and of no others: what nothing speaks for comes
    off. `falls_off_on`: the first day as of which it would be off if nothing more happened; null when off. Without
    `tokenize` words said are left out altogether, those that are on too.
    Keeps the temporary tables `preference…` on the connection; a second call replaces them.
    """
    now_on = keep(connection, "preference_current", current.select(CURRENT.names).cast(CURRENT.to_pyarrow()))
    if tokenize is None:
        now_on = now_on.filter(now_on.dimension != WORD)
    said = said_words(connection, facts, tokenize, lexicon)
    # A view: worked out twice by DuckDB, which costs less than keeping every signal, but written only once by Ibis.
    signals = _made(connection, "VIEW", "preference_signal", all_signals(facts, said, settings))
    scored = _made(connection, "TABLE", "preference_score", scores(signals, now_on, as_of, settings))
    told = with_evidence(decayed(signals, as_of, settings), scored, settings)
    return _made(connection, "TABLE", "preference", told.select(*PREFERENCES.names).cast(PREFERENCES))


def _made(connection: Any, kind: str, name: str, rows: Table) -> Table:
    """The expression as the temporary TABLE or VIEW `name`, in place of one that was there."""
    connection.con.execute(f"CREATE OR REPLACE TEMP {kind} {name} AS {connection.compile(rows)}")
    return connection.table(name)
