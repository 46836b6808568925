"""From messages to what each term adds: vocabulary, counts, fit. Pure: nothing is read or written."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.lexicon import stop_words
from keywords.messages import Messages
from keywords.patterns import Kind
from keywords.ranking import Fit, fit
from keywords.tokenizer import Token, Tokenizer
from keywords.topics import topic_shares
from store.errors import BadInput

# The vocabulary: terms of at least so many messages, the most used first, up to so many.
MIN_MESSAGES = 3
MAX_TERMS = 1000
_NOT_TERMS = frozenset({Kind.FIELD, Kind.URL, Kind.NUMBER, Kind.MARK})


class NothingToLearn(BadInput):
    """No message with recipients and known clicks."""


@dataclass(frozen=True)
class Learning:
    """What a set of messages teaches. Arrays and rows are in the order of `terms`."""

    messages: Messages
    terms: list[str]
    present: Any  # csr, messages x terms, 1 where the message has the term
    fit: Fit
    message_count: NDArray[np.int64]  # distinct messages with the term
    recipient_count: NDArray[np.int64]
    click_count: NDArray[np.int64]
    experiment_count: NDArray[np.int64]  # campaigns that sent one segment variants with and without it

    def place(self, term: str) -> int | None:
        """Where `term` stands in `terms`; None for one never used often enough."""
        return self._places.get(term)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {term: place for place, term in enumerate(self.terms)}


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


def learn(messages: Messages, tokenizer: Tokenizer) -> Learning:
    """The effects of the terms of `messages`. Raises NothingToLearn when there are none."""
    if not len(messages):
        raise NothingToLearn("no message has both recipients and known clicks, so nothing can be learned yet")
    terms, present = _vocabulary(messages, tokenizer)
    context = {name: getattr(messages, name) for name in ("segment", "hour", "weekday", "channel")}
    loadings = {}
    if messages.theme is None:
        loadings["topic"] = topic_shares(present)
    else:
        context["theme"] = messages.theme
    learned = fit(
        messages.clicks, messages.recipients, present, campaign=messages.campaign, context=context, loadings=loadings
    )
    return Learning(
        messages=messages,
        terms=terms,
        present=present,
        fit=learned,
        message_count=_distinct(present, messages.message),
        recipient_count=np.asarray(present.T @ messages.recipients).astype(np.int64),
        click_count=np.asarray(present.T @ messages.clicks).astype(np.int64),
        experiment_count=_experiments(messages, present),
    )


def _vocabulary(messages: Messages, tokenizer: Tokenizer) -> tuple[list[str], Any]:
    """The terms, most used first, and which message has which. Each distinct text is cut once."""
    places: dict[str, int] = {}
    columns: list[int] = []
    ends = [0]
    for text in messages.texts:
        columns += [places.setdefault(term, len(places)) for term in terms_of(tokenizer.tokenize(text))]
        ends.append(len(columns))
    shape = (len(messages.texts), len(places))
    of_text = sparse.csr_matrix((np.ones(len(columns)), np.array(columns, dtype=np.int64), ends), shape=shape)
    present = of_text[messages.text]
    counts = _distinct(present, messages.message)
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


def _membership(codes: NDArray[np.int64]) -> Any:
    """A csr matrix, codes x rows, 1 where the row has the code."""
    rows = np.arange(len(codes))
    return sparse.csr_matrix((np.ones(len(codes)), (codes, rows)), shape=(int(codes.max(initial=-1)) + 1, len(codes)))


def _distinct(present: Any, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each term, how many distinct codes its rows have."""
    return np.asarray((_membership(codes) @ present > 0).sum(axis=0)).ravel().astype(np.int64)


def _experiments(messages: Messages, present: Any) -> NDArray[np.int64]:
    cells, cell = np.unique(np.stack([messages.campaign, messages.segment]), axis=1, return_inverse=True)
    cell = cell.ravel().astype(np.int64)
    with_term = sparse.csr_matrix(_membership(cell) @ present)
    sizes = np.bincount(cell)
    rows = np.repeat(np.arange(with_term.shape[0]), np.diff(with_term.indptr))
    with_term.data = (with_term.data < sizes[rows]).astype(np.float64)
    with_term.eliminate_zeros()
    return _distinct(with_term, cells[0].astype(np.int64))
