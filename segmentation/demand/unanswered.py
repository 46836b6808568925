"""Words that people say and no product answers: in no name, description, label or category of the catalogue.

Sentences are cut and forgotten. A word is told only when several people said it: a name or a number of one person's
never leaves this module.
"""

import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import Facts, keep
from segmentation.preference.words import Tokenize

Table = Any
MIN_SAID_BY = 5  # distinct people
_BATCH = 50_000
_LONGEST = 20  # characters of a word; longer ones are addresses and laughter


def unanswered(connection: Any, facts: Facts, members: Table, since: Any, until: Any, tokenize: Tokenize) -> pa.Table:
    """`group, word, people` (members who said it in [since, until)), most people first within a group. `tokenize`
    leaves out what carries no meaning; conversation (thanks, delivery, invoices) is left out here. Keeps the table
    `demand_word`."""
    words = facts.words
    said = words.filter((words.occurred_at >= since) & (words.occurred_at < until) & words.text.notnull())
    texts = said.select("text").distinct()
    known, skipped = _catalogue_text(connection, facts.products), conversation()
    verdicts: dict[str, bool] = {}
    found: dict[str, list[str]] = {"text": [], "word": []}
    for batch in connection.con.sql(connection.compile(texts)).to_arrow_reader(_BATCH):
        lines = batch.column("text").to_pylist()
        for text, terms in zip(lines, tokenize(lines), strict=True):
            for word in dict.fromkeys(terms):
                if word not in verdicts:
                    verdicts[word] = _may_be_wanted(word) and word not in skipped and word not in known
                if verdicts[word]:
                    found["text"].append(text)
                    found["word"].append(word)
    pairs = keep(
        connection, "demand_word", pa.table(found, schema=pa.schema({"text": pa.string(), "word": pa.string()}))
    )
    spoken = said.inner_join(pairs, "text").select("customer_id", "word").distinct().inner_join(members, "customer_id")
    counted = spoken.group_by(["group", "word"]).aggregate(people=spoken.count())
    counted = counted.filter(counted.people >= MIN_SAID_BY)
    ordered = connection.to_pyarrow(counted).select(["group", "word", "people"])
    return ordered.sort_by([("group", "ascending"), ("people", "descending"), ("word", "ascending")])


@cache
def conversation() -> frozenset[str]:
    """Words of any conversation with a shop, which no product could answer."""
    text = files("segmentation.demand").joinpath("conversation.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() for word in line.split("#")[0].split())


def _may_be_wanted(word: str) -> bool:
    """Two signs and more, of letters only: no number, price, address or exclamation."""
    return 2 <= len(word) <= _LONGEST and all(unicodedata.category(sign).startswith("L") for sign in word)


def _catalogue_text(connection: Any, products: Table) -> str:
    """Everything that the catalogue says, in the tokens' normal form, as one text."""
    names = connection.to_pyarrow(products.select("name", "description", "labels", "categories")).to_pylist()
    parts = (
        part or ""
        for row in names
        for part in (row["name"], row["description"], *(row["labels"] or ()), *(row["categories"] or ()))
    )
    return unicodedata.normalize("NFKC", "\n".join(parts)).lower()
