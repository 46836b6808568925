"""From a theme to terms and phrases that fit it, ranked by the clicks they promise.

What fits comes from the shipped category lexicon (so it works on the first day) and from the brand's own messages:
terms that keep company with the theme (normalised pointwise mutual information, Bouma 2009). What is promised comes
from the fit: "safe" ranks by the expected effect, "explore" by one draw from the joint posterior (Thompson 1933), in
which a term never tried has the whole population's spread, so that it gets its turn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from keywords.effects.learning import Learning
from keywords.text.lexicon import Category, categories
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Tokenizer
from keywords.text.vocabulary import is_class, terms_of

Mode = Literal["safe", "explore"]
Floats = NDArray[np.float64]

MIN_ASSOCIATION = 0.1  # NPMI, -1..1: below it a term is not said to fit
_GIVEN = frozenset({Kind.DISCOUNT, Kind.PRICE, Kind.COUNT, Kind.DATE})
_UNTRIED_SD = 0.2  # log-odds; the spread of effects taken while nothing at all has been learned
_PHRASES = 5
_Z = float(norm.ppf(0.95))  # of a 90 % interval


@dataclass(frozen=True)
class Suggestion:
    """A term or a phrase of several. `effect` is log-odds with its 90 % interval; `score` is what it was ranked by."""

    text: str
    effect: float
    low: float
    high: float
    score: float
    messages: int  # that have all its terms; 0: never tried
    is_proven: bool  # the interval lies above nil
    fits_by: str  # "lexicon" | "history" | "lexicon+history"


@dataclass(frozen=True)
class Suggestions:
    terms: list[Suggestion]
    phrases: list[Suggestion]
    mode: Mode


@dataclass(frozen=True)
class _Posterior:
    """Effects of the candidates' terms, learned and never tried, jointly; and one draw of all of them."""

    places: dict[str, int]
    mean: Floats
    covariance: Floats
    draw: Floats
    learning: Learning | None


def suggest(
    theme: str,
    learning: Learning | None,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    *,
    mode: Mode = "safe",
    count: int = 10,
) -> Suggestions:
    """Up to `count` terms for `theme` (free text) and a few phrases of an article and an offer, the best first.

    `learning` None: nothing has been sent yet, so every effect is nil with the prior's interval. Both lists are empty
    when neither the lexicon nor the history knows anything that fits. Same `rng` state, same answer.
    """
    words = terms_of(tokenizer.tokenize(theme))
    named = [category for category in categories() if _is_named(category, words, theme)]
    fitting = dict.fromkeys((term for category in named for term in category.terms), "lexicon")
    for term in _neighbours(theme, words, learning):
        if not _is_writable(term, tokenizer):
            continue
        fitting[term] = "lexicon+history" if term in fitting else "history"
    parts = {term: _parts(term, learning, tokenizer) for term in fitting}
    posterior = _posterior(learning, parts.values(), rng)
    # with nothing learned all scores are equal: then what belongs to most of the theme's categories comes first
    likely = sorted(fitting, key=lambda term: -sum(term in category.terms for category in named))
    found = [_weigh(term, parts[term], fitting[term], posterior, mode) for term in likely]
    ranked = sorted(found, key=lambda s: -s.score)
    offers = {term for category in categories() if category.name in _OFFERS for term in category.terms}
    return Suggestions(ranked[:count], _phrases(ranked, offers, parts, posterior, mode), mode)


_OFFERS = frozenset({"促銷", "雙11", "週年慶", "清倉"})  # categories whose terms are offers, not articles


def _parts(text: str, learning: Learning | None, tokenizer: Tokenizer) -> list[str]:
    """The terms whose effects add up to that of `text`; an offer's class only where it has an effect of its own."""
    terms = terms_of(tokenizer.tokenize(text)) or [text.lower()]
    known = learning.place if learning is not None else lambda _: None
    return [term for term in terms if not is_class(term) or known(term) is not None]


def _is_named(category: Category, words: Sequence[str], theme: str) -> bool:
    names = {name.lower() for name in (category.name, *category.aliases)}
    # the name may stand inside a longer word of the theme; one sign alone (茶, 狗) must be a word of its own
    return bool(names & set(words)) or any(len(name) > 1 and name in theme.lower() for name in names)


def _neighbours(theme: str, words: Sequence[str], learning: Learning | None) -> list[str]:
    """Learned terms that keep company with the theme: with messages filed under it, or with its words in the text."""
    if learning is None or not learning.terms:
        return []
    messages = learning.messages
    filed = np.zeros(len(messages), dtype=np.float64)
    if messages.theme is not None:
        alike = [bool(name) and (name in theme or theme in name) for name in messages.theme_names]
        filed = np.array(alike, dtype=np.float64)[messages.theme]
    places = [place for place in map(learning.place, words) if place is not None]
    seeds = [filed, *(learning.present[:, [place]].toarray().ravel() for place in places)]
    association = np.max([_association(learning, seed) for seed in seeds], axis=0)
    chosen = np.flatnonzero(association >= MIN_ASSOCIATION)
    return [learning.terms[i] for i in chosen[np.argsort(-association[chosen], kind="stable")]]


def _is_writable(term: str, tokenizer: Tokenizer) -> bool:
    """False for a class, and for another campaign's discount, price, count or date: only the marketer gives those."""
    return not is_class(term) and not any(token.kind in _GIVEN for token in tokenizer.tokenize(term))


def _association(learning: Learning, seed: Floats) -> Floats:
    """NPMI of each term with the messages where `seed` is 1: 1 always together, 0 by chance, -1 never."""
    total = len(seed)
    together = np.asarray(learning.present.T @ seed)
    alone = np.asarray(learning.present.sum(axis=0)).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(together * total / (alone * seed.sum()))
        value = information / -np.log(together / total)
    # together nowhere: never; together everywhere: 0/0, which says nothing
    return np.where(together == 0, -1.0, np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=-1.0))


def _posterior(learning: Learning | None, parts: Iterable[Sequence[str]], rng: np.random.Generator) -> _Posterior:
    needed = list(dict.fromkeys(term for terms in parts for term in terms))
    places = {term: place for place, term in enumerate(needed)}
    mean = np.zeros(len(needed))
    covariance = np.eye(len(needed)) * (learning.fit.term_variance if learning is not None else _UNTRIED_SD**2)
    if learning is not None:
        found = [(here, place) for here, term in enumerate(needed) if (place := learning.place(term)) is not None]
        here, there = np.array(found, dtype=np.int64).reshape(-1, 2).T
        mean[here] = learning.fit.effect[there]
        covariance[np.ix_(here, here)] = learning.fit.term_covariance[np.ix_(there, there)]
    draw = rng.multivariate_normal(mean, covariance, method="eigh") if needed else mean
    return _Posterior(places, mean, covariance, draw, learning)


def _weigh(text: str, terms: Sequence[str], fits_by: str, posterior: _Posterior, mode: Mode) -> Suggestion:
    """The suggestion `text` made of `terms`: their effects added, the interval from their joint covariance."""
    at = [posterior.places[term] for term in terms]
    effect = float(posterior.mean[at].sum())
    reach = _Z * float(np.sqrt(posterior.covariance[np.ix_(at, at)].sum()))
    return Suggestion(
        text=text,
        effect=effect,
        low=effect - reach,
        high=effect + reach,
        score=effect if mode == "safe" else float(posterior.draw[at].sum()),
        messages=_uses(terms, posterior.learning),
        is_proven=effect - reach > 0,
        fits_by=fits_by,
    )


def _uses(terms: Sequence[str], learning: Learning | None) -> int:
    places = [learning.place(term) for term in terms] if learning is not None else [None]
    if learning is None or None in places:
        return 0
    has_all = np.asarray(learning.present[:, places].sum(axis=1)).ravel() == len(places)
    return len(np.unique(learning.messages.message[has_all]))


def _phrases(
    ranked: Sequence[Suggestion],
    offers: set[str],
    parts: dict[str, list[str]],
    posterior: _Posterior,
    mode: Mode,
) -> list[Suggestion]:
    """The best pairs 「article offer」 of the ranked terms; a pair that shares a term is left out."""
    articles = [s for s in ranked if s.text not in offers][:_PHRASES]
    deals = [s for s in ranked if s.text in offers][:_PHRASES]
    pairs = []
    # by the sum of their ranks, so that among equals no one article takes every place
    for i, j in sorted(np.ndindex(len(articles), len(deals)), key=lambda pair: (sum(pair), abs(pair[0] - pair[1]))):
        article, deal = articles[i], deals[j]
        terms = [*parts[article.text], *parts[deal.text]]
        if len(set(terms)) == len(terms):
            fits_by = "+".join(sorted({*article.fits_by.split("+"), *deal.fits_by.split("+")}, reverse=True))
            pairs.append(_weigh(f"{article.text} {deal.text}", terms, fits_by, posterior, mode))
    return sorted(pairs, key=lambda s: -s.score)[:_PHRASES]
