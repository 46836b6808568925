"""Phrases: words that stand together far oftener than by chance, with anything around them (限時下殺, 加碼回饋).

Mined from the brand's own texts as they were cut. A phrase is two or three terms that touch, by two measures: their
normalised pointwise mutual information (Bouma 2009), and the entropy of what stands on either side (Jin and
Tanaka-Ishii 2006), without which 下殺開跑 would be a phrase where 限時下殺開跑 is one. Arrays in, arrays out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keywords.text.cuts import BREAK, Cuts
from keywords.text.lexicon import stop_words
from keywords.text.vocabulary import is_class

Ints = NDArray[np.int64]
Words = tuple[str, ...]

MIN_TEXTS = 10  # distinct texts that have it
MIN_INFORMATION = 0.6  # NPMI, -1..1
MIN_ENTROPY = 1.5  # bits, of what stands before it and of what stands after it
LONGEST = 3  # terms


@dataclass(frozen=True)
class Runs:
    """The terms of many texts one after the other, without offers' classes: entry i is the term codes[i] of text
    text[i], -1 where two do not touch."""

    codes: Ints
    text: Ints


def mine_phrases(cuts: Cuts) -> dict[str, Words]:
    """The phrases of `cuts` (each text once), each by its name with its words; where one stands in another that is
    no rarer, only the longer. Longest first, then by name."""
    runs = _runs(cuts)
    words = _may_stand_in_phrase(cuts.names)
    found: dict[Words, int] = {}
    for length in range(LONGEST, 1, -1):
        for phrase, count in _of_length(runs, words, cuts.names, length).items():
            if not any(_holds(longer, phrase) and count <= known for longer, known in found.items()):
                found[phrase] = count
    names = {"".join(phrase): phrase for phrase in sorted(found, key=lambda phrase: (-len(phrase), phrase))}
    return {name: phrase for name, phrase in names.items() if name not in set(cuts.names)}


def texts_with(cuts: Cuts, phrases: Iterable[Words]) -> list[Ints]:
    """For each phrase, the texts (in order, each once) where its words touch in that order."""
    runs = _runs(cuts)
    place = {name: code for code, name in enumerate(cuts.names)}
    found = []
    for phrase in phrases:
        if any(word not in place for word in phrase):
            found.append(np.zeros(0, dtype=np.int64))
            continue
        starts = np.ones(max(len(runs.codes) - len(phrase) + 1, 0), dtype=np.bool_)
        for shift, word in enumerate(phrase):
            starts &= runs.codes[shift : shift + len(starts)] == place[word]
        found.append(np.unique(runs.text[: len(starts)][starts]))
    return found


def phrases_in(terms: Sequence[str], phrases: Mapping[str, Words]) -> list[str]:
    """The names of those of `phrases` that stand in one text, given by its cut (keywords/text/cuts.py), in order."""
    row = [term for term in terms if not is_class(term)]
    by_first: dict[str, list[str]] = {}
    for name, words in phrases.items():
        by_first.setdefault(words[0], []).append(name)
    found = [
        name
        for place, term in enumerate(row)
        for name in by_first.get(term, ())
        if tuple(row[place : place + len(phrases[name])]) == phrases[name]
    ]
    return list(dict.fromkeys(found))


def _runs(cuts: Cuts) -> Runs:
    kept = ~np.array([is_class(name) for name in cuts.names], dtype=np.bool_)[cuts.codes]
    is_break = np.array([name == BREAK for name in cuts.names], dtype=np.bool_)
    codes, text = cuts.codes[kept], cuts.text_of_entry()[kept]
    codes = np.where(is_break[codes], -1, codes)
    ends = np.flatnonzero(np.diff(text)) + 1  # no phrase reaches from one text into the next
    return Runs(np.insert(codes, ends, -1), np.insert(text, ends, text[ends - 1]))


def _may_stand_in_phrase(names: Sequence[str]) -> NDArray[np.bool_]:
    stops = stop_words()
    return np.array([name != BREAK and name not in stops and not is_class(name) for name in names], dtype=np.bool_)


def _of_length(runs: Runs, words: NDArray[np.bool_], names: Sequence[str], length: int) -> dict[Words, int]:
    """The phrases of `length` terms, and how many texts have each."""
    starts = len(runs.codes) - length + 1
    if starts <= 0:
        return {}
    windows = np.lib.stride_tricks.sliding_window_view(runs.codes, length)
    whole = np.flatnonzero((windows >= 0).all(axis=1) & words[windows].all(axis=1))
    which, code, uses = np.unique(windows[whole], axis=0, return_inverse=True, return_counts=True)
    code = code.ravel()
    texts = np.unique(np.stack([code, runs.text[whole]]), axis=1)[0]
    text_count = np.bincount(texts, minlength=len(which))
    alone = np.bincount(runs.codes[runs.codes >= 0], minlength=len(names))
    likely = np.flatnonzero((text_count >= MIN_TEXTS) & (_information(which, uses, alone) > MIN_INFORMATION))
    before, after = _neighbour(runs.codes, whole - 1), _neighbour(runs.codes, whole + length)
    found = {}
    for one in likely:
        mine = code == one
        if min(_entropy(before[mine]), _entropy(after[mine])) > MIN_ENTROPY:
            found[tuple(names[term] for term in which[one])] = int(text_count[one])
    return found


def _information(which: Ints, uses: Ints, alone: Ints) -> NDArray[np.float64]:
    """NPMI of each row of `which`: 1 where its terms stand nowhere else, 0 by chance."""
    total = float(alone.sum())
    together, apart = np.log(uses / total), np.log(alone[which] / total).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (together - apart) / (-together * (which.shape[1] - 1))
    return np.asarray(np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0))


def _neighbour(codes: Ints, places: Ints) -> Ints:
    """The term at each place; where there is none, a neighbour of its own: an edge is as free as a new word."""
    inside = (places >= 0) & (places < len(codes))
    found = np.where(inside, codes[np.clip(places, 0, len(codes) - 1)], -1)
    return np.where(found >= 0, found, -2 - np.arange(len(found)))


def _entropy(values: Ints) -> float:
    """In bits."""
    _, counts = np.unique(values, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _holds(longer: Words, shorter: Words) -> bool:
    """True where `shorter`'s words stand in `longer` one after the other."""
    return len(shorter) < len(longer) and any(
        longer[at : at + len(shorter)] == shorter for at in range(len(longer) - len(shorter) + 1)
    )
