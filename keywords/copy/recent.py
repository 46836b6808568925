"""What the same people got lately: terms that are worn by repetition, and texts that a new one nearly repeats."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keywords.text.normal import normalise
from keywords.text.tokenizer import Tokenizer
from keywords.text.vocabulary import terms_of

ALIKE = 0.8  # Dice's coefficient of letter pairs, 0..1, from which a text nearly repeats another


class Sent(Protocol):
    """A message that was sent, as whoever sends them tells it (campaigns/results/lately.py)."""

    @property
    def text(self) -> str: ...
    @property
    def sent_at(self) -> datetime: ...
    @property
    def segments(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class SentText:
    """A message that was sent, with its terms."""

    text: str
    sent_at: datetime
    terms: frozenset[str]
    pairs: frozenset[str]  # of letters that follow each other
    segments: frozenset[str]  # to whom


def sent_texts(sent: Iterable[Sent], tokenizer: Tokenizer, *, segment: str | None = None) -> list[SentText]:
    """Those that went to `segment`, or to anybody, in the same order."""
    return [
        SentText(one.text, one.sent_at, _terms(one.text, tokenizer), letter_pairs(one.text), one.segments)
        for one in sent
        if segment is None or segment in one.segments
    ]


def worn_terms(terms: Collection[str], recent: Sequence[SentText], messages: int) -> dict[str, int]:
    """Those of `terms` that the same people got with at least `messages` of `recent`, with how many: people are told
    apart by segment, and what one segment got wears out nothing for another."""
    counts = Counter((term, name) for sent in recent for name in sent.segments for term in sent.terms)
    most: dict[str, int] = {}
    for (term, _), count in counts.items():
        most[term] = max(most.get(term, 0), count)
    return {term: most[term] for term in terms if most.get(term, 0) >= messages}


def _terms(text: str, tokenizer: Tokenizer) -> frozenset[str]:
    return frozenset(terms_of(tokenizer.tokenize(text)))


def nearly_repeated(text: str, recent: Sequence[SentText]) -> SentText | None:
    """The sent text most like `text`, if it is alike enough to be the same to a reader; the newest of equals."""
    alike = likenesses([text], recent)[0]
    return recent[int(np.argmax(alike))] if alike.max(initial=0.0) >= ALIKE else None


def likenesses(texts: Sequence[str], recent: Sequence[SentText]) -> NDArray[np.float64]:
    """How alike each text is to each of `recent`: Dice's coefficient of their letter pairs, texts x recent, 0..1."""
    ours, theirs = [letter_pairs(text) for text in texts], [sent.pairs for sent in recent]
    names = {pair: place for place, pair in enumerate(set().union(*ours, *theirs))}
    one, other = _as_rows(ours, names), _as_rows(theirs, names)
    sizes = np.add.outer(np.asarray(one.sum(axis=1)).ravel(), np.asarray(other.sum(axis=1)).ravel())
    return np.asarray(2 * (one @ other.T).toarray() / np.maximum(sizes, 1))


def letter_pairs(text: str) -> frozenset[str]:
    """The pairs of letters and digits that follow each other, whatever stands between them; one alone is a pair."""
    letters = [sign for sign in normalise(text).text.lower() if sign.isalnum()]
    return frozenset(a + b for a, b in pairwise(letters)) or frozenset(letters)


def _as_rows(sets: Sequence[frozenset[str]], names: Mapping[str, int]) -> Any:
    columns = [names[pair] for pairs in sets for pair in pairs]
    ends = np.cumsum([0, *(len(pairs) for pairs in sets)])
    return sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(sets), len(names)))
