"""Which terms there are to learn about, and which message has which."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.messages import Messages
from keywords.text.cuts import BREAK, Cuts
from keywords.text.lexicon import stop_words
from keywords.text.vocabulary import is_class

# The vocabulary: terms of at least so many messages, the most used first, up to so many.
MIN_MESSAGES = 3
MAX_TERMS = 1000


def vocabulary(messages: Messages, cuts: Cuts) -> tuple[list[str], Any]:
    """The terms, most used first, and which message has which. `cuts` are those of `messages.texts`, in their order."""
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


def presence(messages: Messages, cuts: Cuts, terms: Sequence[str]) -> Any:
    """Which message has which of `terms`, that a vocabulary of theirs once gave."""
    return sparse.csr_matrix(_of_text(cuts)[:, _columns(cuts, terms)][messages.text])


def opening_terms(messages: Messages, cuts: Cuts, present: Any, terms: Sequence[str]) -> NDArray[np.float64]:
    """How many more of its terms each message has in its opening than those terms have on average. A term that always
    stands there, or never, counts for nothing: its place can't be told from the word."""
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
