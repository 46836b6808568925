"""Which of the brand's words people said in chat. Sentences are cut and forgotten: only the brand's words come out."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import Facts, keep

Table = Any
# Texts in, the terms of each out, in lower case and NFKC: keywords' tokenizer, given by whoever joins the rooms.
Tokenize = Callable[[Sequence[str]], Sequence[Sequence[str]]]

_BATCH = 50_000
_PATTERN_WORDS = 500  # alternatives of one pattern, well inside what RE2 takes


def said_words(connection: Any, facts: Facts, tokenize: Tokenize | None, lexicon: Iterable[str] = ()) -> Table:
    """Rows customer_id, occurred_at, value: somebody wrote a word of the brand's, which are the labels and categories
    of its products and `lexicon`. No rows without `tokenize`. Writes the temporary table
    `preference_word` of the connection."""
    words = brand_words(connection, facts.products, lexicon) if tokenize else {}
    texts = facts.words.select("text").distinct()
    found: dict[str, list[str]] = {"text": [], "value": []}
    if tokenize and words:
        # ibis 12 asks DuckDB 2 for batches by a name that it no longer has
        for batch in connection.con.sql(connection.compile(texts)).to_arrow_reader(_BATCH):
            for text, value in _spoken(batch.column("text"), words, tokenize):
                found["text"].append(text)
                found["value"].append(value)
    schema = pa.schema({"text": pa.string(), "value": pa.string()})
    pairs = keep(connection, "preference_word", pa.table(found, schema=schema))
    return facts.words.inner_join(pairs, "text").select("customer_id", "occurred_at", "value")


def brand_words(connection: Any, products: Table, lexicon: Iterable[str] = ()) -> dict[str, str]:
    """The brand's words by their normal form (NFKC, lower case), each as the brand spells it; labels before categories
    before the lexicon where they differ in spelling only."""
    found: dict[str, str] = {}
    for column in (products.labels, products.categories):
        names = connection.to_pyarrow(products.select(word=column.unnest()).distinct().order_by("word"))
        found = {**{normal(word): word for word in names.column("word").to_pylist() if word}, **found}
    return {**{normal(word): word for word in lexicon}, **found}


def normal(word: str) -> str:
    """A word as it is compared: NFKC, lower case, without spaces around."""
    return unicodedata.normalize("NFKC", word).lower().strip()


def _spoken(texts: Any, words: dict[str, str], tokenize: Tokenize) -> Iterator[tuple[str, str]]:
    """(text, word) for each word of the brand's in each text. Cutting is slow, so texts in which none of the words
    stands as a part are left out first."""
    plain = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    listed = sorted(words)
    hit = pa.array([False] * len(texts))
    for first in range(0, len(listed), _PATTERN_WORDS):
        pattern = "|".join(re.escape(word) for word in listed[first : first + _PATTERN_WORDS])
        hit = pc.or_(hit, pc.match_substring_regex(plain, pattern))
    likely = texts.filter(hit).to_pylist()
    for text, terms in zip(likely, tokenize(likely), strict=True):
        yield from ((text, words[term]) for term in dict.fromkeys(terms) if term in words)
