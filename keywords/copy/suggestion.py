"""From a theme to terms and phrases that fit it, ranked by the clicks they promise.

What fits comes from the shipped category lexicon (so it works on the first day) and from the brand's own messages:
terms that keep company with the theme (normalised pointwise mutual information, Bouma 2009). What is promised comes
from the fit: "safe" ranks by the expected effect, "explore" by one draw from the joint posterior (Thompson 1933), in
which a term never tried has the whole population's spread, so that it gets its turn. Safe keeps one place in ROOM_OF
for such a draw among what is not yet proven, or nothing new would ever be learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keywords.effects.learning import Learning
from keywords.effects.prediction import Joint, Z, ground_of, joint_of, theme_is_like
from keywords.text.cuts import cut_text
from keywords.text.lexicon import Category, categories
from keywords.text.patterns import Kind
from keywords.text.phrases import phrases_in
from keywords.text.tokenizer import Tokenizer
from keywords.text.vocabulary import is_class, terms_of

Mode = Literal["safe", "explore"]
Floats = NDArray[np.float64]

MIN_ASSOCIATION = 0.1  # NPMI, -1..1: below it a term is not said to fit
GIVEN_KINDS = frozenset({Kind.DISCOUNT, Kind.PRICE, Kind.COUNT, Kind.DATE})  # only the marketer gives those
DRAWS = 1000  # that a propensity is counted on
ROOM_OF = 5  # one of so many places is safe's for what is not yet proven
_PHRASES = 5
_PAST = 3  # past messages shown behind a suggestion


@dataclass(frozen=True)
class PastMessage:
    """A text that was sent, with what it brought over all segments."""

    text: str  # of stored results its key, until keywords/copy/past.py has put the text itself there
    recipients: int
    clicks: int
    run_id: int = -1  # the newest run that sent it; -1 of files


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
    terms: tuple[str, ...]  # whose effects it adds
    propensity: float  # 0..1, above 0: the chance that this request showed it; 1 where nothing was drawn
    is_trial: bool  # shown in the room that safe keeps
    behind: tuple[PastMessage, ...]  # the newest texts with all its terms, the newest first


@dataclass(frozen=True)
class Suggestions:
    terms: list[Suggestion]
    phrases: list[Suggestion]
    mode: Mode


@dataclass(frozen=True)
class Fitting:
    """The terms that fit a theme, most likely first, and why; each with the terms of the model that it is made of."""

    fits_by: dict[str, str]
    parts: dict[str, list[str]]
    offers: list[str]  # of them, what is offered
    qualities: list[str]  # what is said of what is sold, and occasions

    @property
    def articles(self) -> list[str]:
        """What is sold: all else. Of a word that no category has nobody knows better."""
        return [text for text in self.fits_by if text not in {*self.offers, *self.qualities}]


def fitting_terms(theme: str, learning: Learning | None, tokenizer: Tokenizer) -> Fitting:
    """What fits `theme` (free text) by the lexicon and the history; empty when neither knows anything."""
    words = terms_of(tokenizer.tokenize(theme))
    named = [category for category in categories() if _is_named(category, words, theme)]
    fits_by = dict.fromkeys((term for category in named for term in category.terms), "lexicon")
    for term in _neighbours(theme, words, learning):
        if _is_writable(term, tokenizer):
            fits_by[term] = "lexicon+history" if term in fits_by else "history"
    # with nothing learned all scores are equal: then what belongs to most of the theme's categories comes first
    likely = sorted(fits_by, key=lambda term: -sum(term in category.terms for category in named))
    offers = {term for category in categories() for term in category.offers}
    qualities = {term for category in categories() for term in category.qualities}
    return Fitting(
        {term: fits_by[term] for term in likely},
        {term: terms_within(term, learning, tokenizer) or [term.lower()] for term in likely},
        [term for term in likely if term in offers],
        [term for term in likely if term in qualities],
    )


def suggest(
    theme: str,
    learning: Learning | None,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    *,
    mode: Mode = "safe",
    count: int = 10,
) -> Suggestions:
    """Up to `count` terms for `theme` (free text) and a few phrases (羽絨外套 限時下殺, 保暖 毛衣), the best first, and
    last what safe has in its room.

    `learning` None: nothing has been sent yet, so every effect is nil with the prior's interval. Both lists are empty
    when neither the lexicon nor the history knows anything that fits. Same `rng` state, same answer.
    """
    found = fitting_terms(theme, learning, tokenizer)
    ground = ground_of(learning) if learning is not None else None
    joint = joint_of(ground, [term for terms in found.parts.values() for term in terms])
    draws = joint.draws(rng, 1 + DRAWS)
    parts, reasons = _pairs(found, joint, joint.mean if mode == "safe" else draws[0])
    texts = [(text, found.parts[text], found.fits_by[text]) for text in found.fits_by]
    pairs = [(" ".join(pair), parts[pair], reasons[pair]) for pair in parts]
    return Suggestions(
        _best(texts, joint, draws, mode, count, learning),
        _best(pairs, joint, draws, mode, _PHRASES, learning),
        mode,
    )


def room_of(count: int, mode: Mode) -> int:
    """How many of `count` places are drawn: all when exploring; else one in ROOM_OF, of two or more at least one."""
    return count if mode == "explore" else max(count // ROOM_OF, int(count > 1))


def terms_within(text: str, learning: Learning | None, tokenizer: Tokenizer) -> list[str]:
    """The terms whose effects add up to that of `text`, its phrases last: an offer's class only where it has an effect
    of its own, a word only known from a phrase not beside the phrase."""
    tokens = tokenizer.tokenize(text)
    terms = terms_of(tokens)
    if learning is None:
        return [term for term in terms if not is_class(term)]
    phrases = phrases_in(cut_text(tokens).terms, learning.phrases)
    inside = {word for name in phrases for word in learning.phrases[name]}
    own = [term for term in terms if learning.place(term) is not None or not (is_class(term) or term in inside)]
    return [*own, *phrases]


def past_messages(learning: Learning | None, terms: Sequence[str], count: int = _PAST) -> tuple[PastMessage, ...]:
    """The newest texts that have all of `terms`, the newest first, at most `count`."""
    places = [learning.place(term) for term in terms] if learning is not None else []
    if learning is None or not places or None in places:
        return ()
    rows = _rows_with_all(learning, [place for place in places if place is not None])
    messages = learning.messages
    rows = rows[np.lexsort((messages.hour[rows], messages.day[rows]))[::-1]]
    texts = messages.text[rows]
    return tuple(
        PastMessage(
            messages.texts[text],
            int(messages.recipients[rows[texts == text]].sum()),
            int(messages.clicks[rows[texts == text]].sum()),
            int(messages.run[rows[texts == text][0]]),
        )
        for text in list(dict.fromkeys(texts.tolist()))[:count]
    )


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
        alike = [theme_is_like(theme, name) for name in messages.theme_names]
        filed = np.array(alike, dtype=np.float64)[messages.theme]
    places = [place for place in map(learning.place, words) if place is not None]
    seeds = [filed, *(learning.present[:, [place]].toarray().ravel() for place in places)]
    association = np.max([_association(learning, seed) for seed in seeds], axis=0)
    chosen = np.flatnonzero(association >= MIN_ASSOCIATION)
    return [learning.terms[i] for i in chosen[np.argsort(-association[chosen], kind="stable")]]


def _is_writable(term: str, tokenizer: Tokenizer) -> bool:
    """False for a class, and for another campaign's discount, price, count or date: only the marketer gives those."""
    return not is_class(term) and not any(token.kind in GIVEN_KINDS for token in tokenizer.tokenize(term))


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


Pair = tuple[str, str]


def _pairs(found: Fitting, joint: Joint, score: Floats) -> tuple[dict[Pair, list[str]], dict[Pair, str]]:
    """All pairs 「article offer」 and 「quality article」 that share no term: their terms, and what they fit by. By the
    sum of their ranks, so that among equals no one article takes every place."""

    def ranked(texts: Sequence[str]) -> list[str]:
        return sorted(texts, key=lambda text: -float(joint.weights([found.parts[text]])[0, 1:] @ score[1:]))

    articles, deals, qualities = ranked(found.articles), ranked(found.offers), ranked(found.qualities)
    places = [(at, (articles[at[0]], deals[at[1]])) for at in np.ndindex(len(articles), len(deals))]
    places += [(at, (qualities[at[0]], articles[at[1]])) for at in np.ndindex(len(qualities), len(articles))]
    parts, fits_by = {}, {}
    for _, pair in sorted(places, key=lambda one: (sum(one[0]), abs(one[0][0] - one[0][1]))):
        terms = [term for text in pair for term in found.parts[text]]
        if len(set(terms)) == len(terms):
            parts[pair] = terms
            reasons = {reason for text in pair for reason in found.fits_by[text].split("+")}
            fits_by[pair] = "+".join(sorted(reasons, reverse=True))
    return parts, fits_by


def _best(
    texts: Sequence[tuple[str, Sequence[str], str]],
    joint: Joint,
    draws: Floats,
    mode: Mode,
    count: int,
    learning: Learning | None,
) -> list[Suggestion]:
    """The best `count` of (text, its terms, what it fits by): those that are expected to bring most, then those that
    the first of `draws` has on top; equals in the order given."""
    if not texts:
        return []
    weights = joint.weights([terms for _, terms, _ in texts])
    weights[:, 0] = 0.0  # the situation is the same for all
    expected, deviation = joint.difference(weights)
    drawn = draws @ weights.T
    firm, tried, shown = choose(expected, drawn, np.abs(expected) <= Z * deviation, count, room_of(count, mode))
    found = []
    for i in [*firm, *tried]:
        text, terms, fits_by = texts[i]
        effect, low, high = joint.effect(terms)
        found.append(
            Suggestion(
                text=text,
                effect=effect,
                low=low,
                high=high,
                score=float(drawn[0, i] if i in tried else expected[i]),
                messages=_uses(terms, learning),
                is_proven=low > 0,
                fits_by=fits_by,
                terms=tuple(terms),
                propensity=float(shown[i]),
                is_trial=mode == "safe" and i in tried,
                behind=past_messages(learning, terms),
            )
        )
    return found


def choose(
    expected: Floats, drawn: Floats, is_open: NDArray[np.bool_], count: int, room: int
) -> tuple[list[int], list[int], Floats]:
    """(Places of the best by what is `expected`, places of the best `room` by the first row of `drawn`, the propensity
    of each place). Drawn are, of those not among the former, the ones that are open, or all where the room is the
    whole; the others fill what room is left. A place's propensity is the share of the rows in which it is shown."""
    order = np.argsort(-expected, kind="stable")
    firm, rest = order[: count - room], order[count - room :]
    may = rest if room == count else rest[is_open[rest]]
    tried = may[np.argsort(-drawn[0, may], kind="stable")[:room]]
    if room > len(may):
        left = rest[~is_open[rest]][: room - len(may)]
        firm = np.concatenate([firm, left])
    shown = np.zeros(len(expected))
    shown[firm] = 1.0
    if len(may):
        shown[may] = shares_shown(drawn[:, may], room)
    return firm.tolist(), tried.tolist(), shown


def shares_shown(scores: Floats, count: int) -> Floats:
    """Of draws x candidates, the share of the draws in which each candidate is among the best `count`. The draw that
    the request made is one of them, so that what was shown never has a propensity of 0."""
    draws, candidates = scores.shape
    if count >= candidates:
        return np.ones(candidates)
    if count == 0:
        return np.zeros(candidates)
    best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return np.asarray(np.bincount(best.ravel(), minlength=candidates) / draws)


def _uses(terms: Sequence[str], learning: Learning | None) -> int:
    places = [learning.place(term) for term in terms] if learning is not None else [None]
    if learning is None or None in places:
        return 0
    rows = _rows_with_all(learning, [place for place in places if place is not None])
    return len(np.unique(learning.messages.message[rows]))


def _rows_with_all(learning: Learning, places: Sequence[int]) -> NDArray[np.int64]:
    has = np.asarray(learning.present[:, places].sum(axis=1)).ravel() == len(places)
    return np.flatnonzero(has).astype(np.int64)
