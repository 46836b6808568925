"""Which terms there are to learn about, and which message has which."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.messages import Messages
from keywords.text.lexicon import stop_words
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Token, Tokenizer

# The vocabulary: terms of at least so many messages, the most used first, up to so many.
MIN_MESSAGES = 3
MAX_TERMS = 1000
_NOT_TERMS = frozenset({Kind.FIELD, Kind.URL, Kind.NUMBER, Kind.MARK})
_WORD_PARTS = frozenset({Kind.WORD, Kind.LATIN, Kind.NUMBER})
# Texts already cut into words by spaces: nearly all pieces look like words, and they come again and again.
_SPACED_SHARE = 0.98
_SPACED_REPEATS = 2.0
_SPACED_LENGTH = 6.0  # characters of a piece that the tokenizer would cut, on average


def terms_of(tokens: Iterable[Token]) -> list[str]:
    """The distinct terms of a line, in order: words, offers, prices, counts, dates, emoji, and the offers' classes.

    Stop words, fields, links, bare numbers and punctuation are left out.
    """
    stops = stop_words()
    found: dict[str, None] = {}
    for token in tokens:
        term = token.term
        if token.kind in _NOT_TERMS or term in stops:
            continue
        found[term] = None
        if token.group is not None:
            found[token.group] = None
    return list(found)


def is_class(term: str) -> bool:
    """True for a class that pools offers, such as 折扣:60-79%."""
    return term.startswith(("折扣:", "優惠:"))


def vocabulary(messages: Messages, tokenizer: Tokenizer) -> tuple[list[str], Any]:
    """The terms, most used first, and which message has which. Each distinct text is cut once."""
    places: dict[str, int] = {}
    columns: list[int] = []
    ends = [0]
    for terms in _terms_of_texts(messages.texts, tokenizer):
        columns += [places.setdefault(term, len(places)) for term in terms]
        ends.append(len(columns))
    shape = (len(messages.texts), len(places))
    of_text = sparse.csr_matrix((np.ones(len(columns)), np.array(columns, dtype=np.int64), ends), shape=shape)
    present = of_text[messages.text]
    counts = distinct_count(present, messages.message)
    names = list(places)
    order = np.lexsort((np.array(names, dtype=np.str_), -counts))  # ties by name: the result is the same every time
    chosen = order[counts[order] >= MIN_MESSAGES][:MAX_TERMS]
    chosen = chosen[~_twins(present[:, chosen], [names[place] for place in chosen])]
    return [names[place] for place in chosen], sparse.csr_matrix(present[:, chosen])


def _twins(present: Any, names: list[str]) -> NDArray[np.bool_]:
    """True for an offer's class with a single literal in use: the two would only halve one effect between them."""
    columns = sparse.csc_matrix(present)
    columns.sort_indices()
    rows = [columns.indices[a:b].tobytes() for a, b in pairwise(columns.indptr)]
    literals = {row for row, name in zip(rows, names, strict=True) if not is_class(name)}
    return np.array([is_class(name) and row in literals for row, name in zip(rows, names, strict=True)], dtype=np.bool_)


def membership(codes: NDArray[np.int64]) -> Any:
    """A csr matrix, codes x rows, 1 where the row has the code."""
    rows = np.arange(len(codes))
    return sparse.csr_matrix((np.ones(len(codes)), (codes, rows)), shape=(int(codes.max(initial=-1)) + 1, len(codes)))


def distinct_count(present: Any, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each term, how many distinct codes its rows have."""
    return np.asarray((membership(codes) @ present > 0).sum(axis=0)).ravel().astype(np.int64)


def _terms_of_texts(texts: Sequence[str], tokenizer: Tokenizer) -> Iterable[list[str]]:
    """The terms of each text. Where the texts are words between spaces, in any language, those are the terms."""
    pieces = Counter(piece for text in texts if not text.isascii() for piece in text.split())
    tokens = {piece: tokenizer.tokenize(piece) for piece in pieces}
    if not _is_spaced(pieces, tokens):
        return (terms_of(tokenizer.tokenize(text)) for text in texts)
    whole = {piece: _terms_of_piece(piece, cut) for piece, cut in tokens.items()}
    return (
        terms_of(tokenizer.tokenize(text))
        if text.isascii()
        else list(dict.fromkeys(term for piece in text.split() for term in whole[piece]))
        for text in texts
    )


def _is_word(cut: Sequence[Token]) -> bool:
    return len(cut) == 1 or all(token.kind in _WORD_PARTS for token in cut)


def _is_spaced(pieces: Counter[str], tokens: dict[str, list[Token]]) -> bool:
    total = pieces.total()
    words = sum(count for piece, count in pieces.items() if _is_word(tokens[piece]))
    lengths = [len(piece) for piece in pieces if len(tokens[piece]) > 1]
    return (
        total >= _SPACED_REPEATS * len(pieces) > 0
        and words >= _SPACED_SHARE * total
        and sum(lengths) <= _SPACED_LENGTH * len(lengths)
    )


def _terms_of_piece(piece: str, cut: Sequence[Token]) -> list[str]:
    if len(cut) > 1 and _is_word(cut):
        term = "".join(token.text for token in cut).lower()
        return [] if term in stop_words() else [term]
    return terms_of(cut)
