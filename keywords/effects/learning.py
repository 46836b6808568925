"""From messages to what each term adds: the fit, and the counts beside it. Nothing is read or written."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.effects.messages import Messages
from keywords.effects.ranking import Design, Fit, Start, fit_design, make_design
from keywords.effects.topics import topic_shares
from keywords.effects.vocabulary import distinct_count, membership, vocabulary
from keywords.text.cuts import Cuts, cut_texts
from keywords.text.tokenizer import Tokenizer
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
    experiment_count: NDArray[np.int64]  # campaigns that sent one segment variants with and without it

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
    terms, present = vocabulary(messages, cuts)
    design = design_of(messages, present)
    counts = messages.clicks, messages.recipients
    return Learning(
        messages=messages,
        terms=terms,
        present=present,
        fit=fit_design(*counts, design, campaign=messages.campaign, start=start),
        message_count=distinct_count(present, messages.message),
        recipient_count=np.asarray(present.T @ messages.recipients).astype(np.int64),
        click_count=np.asarray(present.T @ messages.clicks).astype(np.int64),
        experiment_count=_experiments(messages, present),
    )


def design_of(messages: Messages, present: Any) -> Design:
    """What the effects are adjusted for, beside the terms themselves."""
    context = {name: getattr(messages, name) for name in ("segment", "hour", "weekday", "channel")}
    loadings = {}
    if messages.theme is None:
        loadings["topic"] = topic_shares(present)
    else:
        context["theme"] = messages.theme
    return make_design(present, context, loadings)


def _experiments(messages: Messages, present: Any) -> NDArray[np.int64]:
    cells, cell = np.unique(np.stack([messages.campaign, messages.segment]), axis=1, return_inverse=True)
    cell = cell.ravel().astype(np.int64)
    with_term = sparse.csr_matrix(membership(cell) @ present)
    sizes = np.bincount(cell)
    rows = np.repeat(np.arange(with_term.shape[0]), np.diff(with_term.indptr))
    with_term.data = (with_term.data < sizes[rows]).astype(np.float64)
    with_term.eliminate_zeros()
    return distinct_count(with_term, cells[0].astype(np.int64))
