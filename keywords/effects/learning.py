"""From messages to what each term adds: the fit, and the counts beside it. Nothing is read or written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.deviations import Deviations, deviations
from keywords.effects.experiments import Experiments, within_experiments
from keywords.effects.messages import Messages
from keywords.effects.ranking import Design, Fit, Start, fit_design, make_design
from keywords.effects.topics import topic_shares
from keywords.effects.vocabulary import distinct_count, membership, opening_terms, vocabulary
from keywords.text.cuts import Cuts, cut_texts
from keywords.text.phrases import Words
from keywords.text.tokenizer import Tokenizer
from keywords.text.vocabulary import is_class
from store.errors import BadInput


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
    experiment_count: NDArray[np.int64]  # sendings in which one segment got variants with and without it
    phrases: Mapping[str, Words] = field(default_factory=dict)  # the last of `terms`: each with its words
    opening: NDArray[np.float64] | None = None  # of each message, see opening_terms
    experiments: Experiments | None = None  # what variants alone say
    deviations: Deviations | None = None  # by segment, over time

    def place(self, term: str) -> int | None:
        """Where `term` stands in `terms`; None for one never used often enough."""
        return self._places.get(term)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {term: place for place, term in enumerate(self.terms)}


def learn(messages: Messages, tokenizer: Tokenizer) -> Learning:
    """The effects of the terms of `messages`, whose texts are cut for it. Raises NothingToLearn when there are none."""
    return learn_from_cuts(messages, cut_texts(messages.texts, tokenizer))


def learn_from_cuts(messages: Messages, cuts: Cuts, start: Start | None = None) -> Learning:
    """The same of texts that are cut already: `cuts` are those of `messages.texts`. `start`: where to begin, as a fit
    to nearly the same messages left it. Raises NothingToLearn."""
    if not len(messages):
        raise NothingToLearn("no message has both recipients and known clicks, so nothing can be learned yet")
    found = vocabulary(messages, cuts)
    terms, present, opening = found.terms, found.present, opening_terms(messages, cuts, found)
    design = design_of(messages, terms, present, opening, found.phrases)
    counts = messages.clicks, messages.recipients
    fit = fit_design(*counts, design, campaign=messages.campaign, start=start)
    sending = messages.experiment
    _, cell = np.unique(sending * (messages.segment.max() + 1) + messages.segment, return_inverse=True)
    cell = cell.ravel().astype(np.int64)
    experiment_count = _experiments(cell, sending, present)
    return Learning(
        messages=messages,
        terms=terms,
        present=present,
        fit=fit,
        message_count=distinct_count(present, messages.message),
        recipient_count=np.asarray(present.T @ messages.recipients).astype(np.int64),
        click_count=np.asarray(present.T @ messages.clicks).astype(np.int64),
        experiment_count=experiment_count,
        phrases=found.phrases,
        opening=opening,
        experiments=within_experiments(fit, *counts, present, cell=cell, tried=experiment_count > 0),
        deviations=deviations(messages, present, design, fit),
    )


def design_of(
    messages: Messages,
    terms: Sequence[str],
    present: Any,
    opening: NDArray[np.float64] | None,
    phrases: Mapping[str, Words],
) -> Design:
    """What the effects are adjusted for, beside the terms themselves: to whom, when, where, in which format, by whose
    count, about what, and how many terms come first in the text. Offers' classes (their depth) are shrunk apart from
    words, and so is what phrases add to theirs."""
    blocks = ("segment", "hour", "weekday", "channel", "format", "counted_by")
    context = {name: getattr(messages, name) for name in blocks}
    loadings = {}
    if opening is not None:
        loadings["opening"] = opening[:, None]
    if messages.theme is None:
        loadings["topic"] = topic_shares(present)
    else:
        context["theme"] = messages.theme
    offers = np.array([is_class(term) for term in terms], dtype=np.bool_)
    words = set(terms)
    adds = np.array([not words.isdisjoint(phrases.get(term, ())) for term in terms], dtype=np.bool_)
    return make_design(present, context, loadings, {"offer": offers, "phrase": adds})


def _experiments(cell: NDArray[np.int64], sending: NDArray[np.int64], present: Any) -> NDArray[np.int64]:
    """In how many sendings (Messages.experiment) some cell, which is one of a segment, had rows with the term and rows
    without."""
    sizes = np.bincount(cell)
    several = np.flatnonzero(sizes[cell] > 1)
    if not len(several):
        return np.zeros(present.shape[1], dtype=np.int64)
    kept, codes = np.unique(cell[several], return_inverse=True)
    with_term = sparse.csr_matrix(membership(codes.ravel().astype(np.int64)) @ present[several])
    rows = np.repeat(np.arange(with_term.shape[0]), np.diff(with_term.indptr))
    with_term.data = (with_term.data < sizes[kept][rows]).astype(np.float64)
    with_term.eliminate_zeros()
    of_cell = np.zeros(len(sizes), dtype=np.int64)
    of_cell[cell] = sending
    return distinct_count(with_term, np.unique(of_cell[kept], return_inverse=True)[1].ravel().astype(np.int64))
