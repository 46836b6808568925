"""Which terms there are to learn about, and which message has which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.messages import Messages
from keywords.text.cuts import BREAK, Cuts
from keywords.text.lexicon import stop_words
from keywords.text.phrases import Words, mine_phrases, texts_with
from keywords.text.vocabulary import is_class

# The vocabulary: terms of at least so many messages, the most used first, up to so many.
MIN_MESSAGES = 3
MAX_TERMS = 1000


@dataclass(frozen=True)
class Vocabulary:
    """`terms`: words, most used first, then `phrases`, each with its words. `present`: csr, messages x terms, 1 where
    the message has the term."""

    terms: list[str]
    present: Any
    phrases: dict[str, Words]


def vocabulary(messages: Messages, cuts: Cuts) -> Vocabulary:
    """The terms to learn about. `cuts` are those of `messages.texts`, in their order.

    A phrase stands beside its words, so that its effect is what it adds to theirs; a word that stands nowhere else
    goes, since nothing could tell the two apart.
    """
    terms, present = _words(messages, cuts)
    mined = mine_phrases(cuts)
    columns = _phrase_columns(messages, cuts, mined)
    counts = distinct_count(columns, messages.message)
    kept = np.flatnonzero(counts >= MIN_MESSAGES)[: max(MAX_TERMS - len(terms), 0)]
    names = list(mined)
    phrases = {names[place]: mined[names[place]] for place in kept}
    stays = np.flatnonzero(~_only_inside(present, terms, columns[:, kept], phrases))
    both = sparse.hstack([present[:, stays], columns[:, kept]], format="csr")
    return Vocabulary([*(terms[place] for place in stays), *phrases], both, phrases)


def _only_inside(present: Any, terms: Sequence[str], columns: Any, phrases: Mapping[str, Words]) -> NDArray[np.bool_]:
    """True for a word that no message has without one of the phrases, always the same."""
    uses, of_phrase = (np.asarray(matrix.sum(axis=0)).ravel() for matrix in (present, columns))
    place = {term: i for i, term in enumerate(terms)}
    found = np.zeros(len(terms), dtype=np.bool_)
    for words, count in zip(phrases.values(), of_phrase, strict=True):
        inside = [place[word] for word in words if word in place]
        found[inside] |= uses[inside] <= count
    return found


def _phrase_columns(messages: Messages, cuts: Cuts, phrases: Mapping[str, Words]) -> Any:
    texts = texts_with(cuts, phrases.values())
    where = (
        np.concatenate([np.zeros(0, dtype=np.int64), *texts]),
        np.repeat(np.arange(len(texts)), list(map(len, texts))),
    )
    found = sparse.csr_matrix((np.ones(len(where[0])), where), shape=(len(cuts), len(texts)))
    return found[messages.text]


def _words(messages: Messages, cuts: Cuts) -> tuple[list[str], Any]:
    """The terms that are no phrases, and which message has which."""
    no_term = stop_words() | {BREAK}
    is_term = np.array([name not in no_term for name in cuts.names], dtype=np.bool_)
    # only what enough rows have can be in enough messages
    of_text = _of_text(cuts)
    rows = np.asarray(of_text.T @ np.bincount(messages.text, minlength=len(cuts))).ravel()
    likely = np.flatnonzero(is_term & (rows >= MIN_MESSAGES))
    present = sparse.csr_matrix(of_text[:, likely][messages.text])
    counts = distinct_count(present, messages.message)
    names = [cuts.names[place] for place in likely]
    order = np.lexsort((np.array(names, dtype=np.str_), -counts))  # ties by name: the result is the same every time
    chosen = order[counts[order] >= MIN_MESSAGES][:MAX_TERMS]
    chosen = chosen[~_twins(present[:, chosen], [names[place] for place in chosen])]
    return [names[place] for place in chosen], sparse.csr_matrix(present[:, chosen])


def presence(messages: Messages, cuts: Cuts, terms: Sequence[str], phrases: Mapping[str, Words]) -> Any:
    """Which message has which of `terms`, that a vocabulary of theirs once gave, its `phrases` being the last."""
    words = _of_text(cuts)[:, _columns(cuts, terms[: len(terms) - len(phrases)])][messages.text]
    return sparse.hstack([words, _phrase_columns(messages, cuts, phrases)], format="csr")


def opening_terms(messages: Messages, cuts: Cuts, found: Vocabulary) -> NDArray[np.float64]:
    """How many more of its words each message has in its opening than those words have on average. One that always
    stands there, or never, counts for nothing: its place can't be told from the word."""
    terms = found.terms[: len(found.terms) - len(found.phrases)]
    present = found.present[:, : len(terms)]
    first = cuts.in_opening()
    entries = cuts.text_of_entry()[first], cuts.codes[first]
    of_text = sparse.csr_matrix((np.ones(len(entries[0])), entries), shape=(len(cuts), len(cuts.names)))
    of_text.data[:] = 1.0
    opening = sparse.csr_matrix(of_text[:, _columns(cuts, terms)][messages.text])
    uses = np.maximum(np.asarray(present.sum(axis=0)).ravel(), 1.0)
    share = np.asarray(opening.sum(axis=0)).ravel() / uses
    return np.asarray(np.asarray(opening.sum(axis=1)).ravel() - present @ share, dtype=np.float64)


def _columns(cuts: Cuts, terms: Sequence[str]) -> list[int]:
    place = {name: code for code, name in enumerate(cuts.names)}
    return [place[term] for term in terms]


def _of_text(cuts: Cuts) -> Any:
    """Which text has which name: a csr matrix of 0 and 1."""
    shape = len(cuts), len(cuts.names)
    found = sparse.csr_matrix((np.ones(len(cuts.codes)), (cuts.text_of_entry(), cuts.codes)), shape=shape)
    found.data[:] = 1.0  # a term said twice is one term
    return found


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
