"""What texts were cut into, in arrays: the terms of each in order, what stands next to what, and what comes first.

Kept in the database by keywords/effects/stored.py, so that no text is cut twice with the same words.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keywords.text.lexicon import stop_words
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Token, Tokenizer
from keywords.text.vocabulary import NOT_TERMS, terms_of

Ints = NDArray[np.int64]

BREAK = ""  # stands where two terms do not touch
OPENING_CHARACTERS = 15  # about what the list of chats shows of a message before it is opened

_WORD_PARTS = frozenset({Kind.WORD, Kind.LATIN, Kind.NUMBER})
# Texts already cut into words by spaces: nearly all pieces look like words, and they come again and again.
_SPACED_SHARE = 0.98
_SPACED_REPEATS = 2.0
_SPACED_LENGTH = 6.0  # characters of a piece that the tokenizer would cut, on average


class Cut(NamedTuple):
    """One text cut: its terms in order, stop words among them, BREAK between those that don't touch. An offer's class
    follows its literal. The first `opening` entries begin within the first OPENING_CHARACTERS."""

    terms: list[str]
    opening: int


@dataclass(frozen=True)
class Cuts:
    """Many texts cut, in the order in which they were given. Entry i of `codes` is names[codes[i]]; text t has the
    entries from ends[t] to ends[t + 1], of which the first opening[t] are in its opening."""

    names: list[str]
    codes: Ints
    ends: Ints
    opening: Ints

    def __len__(self) -> int:
        return len(self.opening)

    def text_of_entry(self) -> Ints:
        """The text that each entry is of."""
        return np.repeat(np.arange(len(self)), np.diff(self.ends))

    def in_opening(self) -> NDArray[np.bool_]:
        """Whether each entry is in its text's opening."""
        place = np.arange(len(self.codes)) - np.repeat(self.ends[:-1], np.diff(self.ends))
        return np.asarray(place < np.repeat(self.opening, np.diff(self.ends)))

    def chosen(self, texts: Ints) -> "Cuts":
        """The cuts of these texts, in their order."""
        sizes = np.diff(self.ends)[texts]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        entries = np.repeat(self.ends[:-1][texts] - ends[:-1], sizes) + np.arange(ends[-1])
        return Cuts(self.names, self.codes[entries], ends, self.opening[texts])

    def joined(self, more: "Cuts") -> "Cuts":
        """These texts, then those of `more`."""
        place = {name: code for code, name in enumerate(self.names)}
        codes = np.array([place.setdefault(name, len(place)) for name in more.names], dtype=np.int64)
        return Cuts(
            list(place),
            np.concatenate([self.codes, codes[more.codes]]),
            np.concatenate([self.ends, self.ends[-1] + more.ends[1:]]),
            np.concatenate([self.opening, more.opening]),
        )


def gathered(cuts: Iterable[Cut]) -> Cuts:
    """The cuts in arrays."""
    place: dict[str, int] = {}
    codes: list[int] = []
    ends, opening = [0], []
    for cut in cuts:
        codes += [place.setdefault(term, len(place)) for term in cut.terms]
        ends.append(len(codes))
        opening.append(cut.opening)
    as_ints = [np.array(values, dtype=np.int64) for values in (codes, ends, opening)]
    return Cuts(list(place), *as_ints)


def cut_text(tokens: Sequence[Token]) -> Cut:
    """A line's tokens as they are kept. Fields, links, bare numbers and signs are no terms: they break."""
    terms: list[str] = []
    opening, end = 0, 0
    for token in tokens:
        if terms and terms[-1] != BREAK and (token.start > end or token.kind in NOT_TERMS):
            terms.append(BREAK)
        end = token.end
        if token.kind in NOT_TERMS:
            continue
        terms.append(token.term)
        if token.group is not None:
            terms.append(token.group)
        if token.start < OPENING_CHARACTERS:
            opening = len(terms)
    return Cut(terms, opening)


def cut_texts(texts: Sequence[str], tokenizer: Tokenizer) -> Cuts:
    """All texts cut. Where they are words between spaces, in any language, those words are the terms."""
    pieces = Counter(piece for text in texts if not text.isascii() for piece in text.split())
    tokens = {piece: tokenizer.tokenize(piece) for piece in pieces}
    if not _is_spaced(pieces, tokens):
        return gathered(cut_text(tokenizer.tokenize(text)) for text in texts)
    whole = {piece: _terms_of_piece(piece, cut) for piece, cut in tokens.items()}
    return gathered(
        cut_text(tokenizer.tokenize(text)) if text.isascii() else _cut_spaced(text.split(), whole) for text in texts
    )


def _cut_spaced(pieces: Sequence[str], whole: dict[str, list[str]]) -> Cut:
    terms: list[str] = []
    opening, at = 0, 0
    for piece in pieces:
        terms += [*whole[piece], BREAK]  # parted by whoever wrote them: never a phrase
        if at < OPENING_CHARACTERS:
            opening = len(terms)
        at += len(piece) + 1
    return Cut(terms, opening)


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
