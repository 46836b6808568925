"""The click rate that a text may expect from a segment at a time, with an interval from the whole posterior of the fit.

Effects that were learned together err together, so intervals come from their joint covariance, the intercept's and the
context's included; never from variances added up. For a chosen segment the effects are those that it shows, where its
messages carry them (keywords/effects/deviations.py). Nothing is read or written.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from scipy.stats import norm

from keywords.effects.learning import Learning, design_of
from keywords.effects.ranking import INTERVAL, Design, Fit, leftover

Floats = NDArray[np.float64]

Z = float(norm.ppf(0.5 + INTERVAL / 2))
UNTRIED_SD = 0.2  # log-odds; the spread of effects taken while nothing at all has been learned
UNSEEN_VARIANCE = 0.1  # of a segment, hour, … where all messages had the same, so that nothing says how much they vary
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


@dataclass(frozen=True)
class Situation:
    """To whom and when a text goes. None: not chosen, so the average over what was sent."""

    segment: str | None = None
    theme: str | None = None  # a stored theme, or a text that names one
    hour: int | None = None  # 0..23 in the brand's zone
    weekday: int | None = None  # 0 is Monday
    channel: str | None = None

    @staticmethod
    def at(
        moment: datetime | None, zone: ZoneInfo, *, segment: str | None = None, theme: str | None = None
    ) -> "Situation":
        """The situation at `moment`, which is in `zone` unless it says otherwise; None: at any time."""
        if moment is None:
            return Situation(segment, theme)
        local = moment if moment.tzinfo is None else moment.astimezone(zone)
        return Situation(segment, theme, local.hour, local.weekday())


@dataclass(frozen=True)
class Prediction:
    """The click rate (0..1) of one send. `low` and `high` bound 90 %: what is unknown of the words and the situation,
    and what varies from send to send whatever the words."""

    rate: float  # expected
    low: float
    high: float
    logit: float  # the median's log-odds
    deviation: float  # its standard deviation, that of the send included


@dataclass(frozen=True)
class Joint:
    """The joint posterior of a base (the situation, intercept included) and some terms' effects, all log-odds.

    Place 0 of the arrays is the base, then come `terms` in order. Terms never learned: mean 0, the spread of all.
    """

    terms: tuple[str, ...]
    mean: Floats
    covariance: Floats
    known: frozenset[str]  # of `terms`, those that were learned
    unseen: tuple[str, ...]  # what of the situation nothing was ever sent to: "segment", "hour", …
    send_variance: float  # of a send around what its words and situation say
    is_learned: bool  # otherwise there is no rate to predict, only effects to compare

    def weights(self, texts: Sequence[Collection[str]]) -> Floats:
        """A row for each text (its terms, all among `terms`): 1 for the base and for each of its terms."""
        place = {term: i for i, term in enumerate(self.terms, start=1)}
        rows = np.zeros((len(texts), len(self.mean)))
        rows[:, 0] = 1.0
        for row, terms in zip(rows, texts, strict=True):
            row[[place[term] for term in terms]] = 1.0
        return rows

    def difference(self, weights: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each row of `weights` over the base and the terms."""
        mean = weights @ self.mean
        variance = np.einsum("ij,ij->i", weights @ self.covariance, weights)
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def effect(self, terms: Collection[str], *, less: Collection[str] = ()) -> tuple[float, float, float]:
        """What `terms` together add to the log-odds, or add more than `less` do, with its 90 % interval."""
        weights = self.weights([terms]) - self.weights([less])
        mean, deviation = (float(value[0]) for value in self.difference(weights))
        return mean, mean - Z * deviation, mean + Z * deviation

    def predict(self, texts: Sequence[Collection[str]]) -> list[Prediction]:
        """The click rate of each text, given by its terms. Raises ValueError where nothing was learned."""
        if not self.is_learned:
            raise ValueError("nothing was learned, so there is no rate")
        mean, deviation = self.difference(self.weights(texts))
        deviation = np.sqrt(deviation**2 + self.send_variance)
        nodes = mean[:, None] + deviation[:, None] * _NODES
        rate = expit(nodes) @ (_WEIGHTS / _WEIGHTS.sum())
        low, high = expit(mean - Z * deviation), expit(mean + Z * deviation)
        return [Prediction(*map(float, row)) for row in zip(rate, low, high, mean, deviation, strict=True)]

    def draws(self, rng: np.random.Generator, count: int) -> Floats:
        """`count` draws of the base and all effects together: count x (1 + terms)."""
        return rng.multivariate_normal(self.mean, self.covariance, size=count, method="eigh")


@dataclass(frozen=True)
class Ground:
    """What predictions stand on: the fit, and which column of its coefficients is what."""

    fit: Fit
    term_columns: Mapping[str, int]
    levels: Mapping[str, Mapping[str | int, int]]  # block -> its levels' columns; a block of one level has none
    only: Mapping[str, str | int]  # blocks of one level: which
    typical: Floats  # the design's row of the average recipient, without terms
    apart: Mapping[str, "Apart"]  # segment -> how effects differ there; those for which nothing is known are not in it


@dataclass(frozen=True)
class Apart:
    """How terms' effects differ in one segment from their common ones, all in the order of the learned terms.

    The segment's own level stays that of its average message: a term differs from how often it is used there.
    """

    mean: Floats  # 0 where too little data carries it
    variance: Floats
    share: Floats  # of the segment's messages that have the term, 0..1, weighted as in the fit


def ground_of(learning: Learning) -> Ground:
    """What predictions from `learning` stand on."""
    fit, messages = learning.fit, learning.messages
    named: dict[str, tuple[NDArray[np.int64], Sequence[str] | None]] = {
        "segment": (messages.segment, messages.segment_names),
        "channel": (messages.channel, messages.channel_names),
        "format": (messages.format, messages.format_names),
        "counted_by": (messages.counted_by, messages.counted_by_names),
        "hour": (messages.hour, None),
        "weekday": (messages.weekday, None),
    }
    if messages.theme is not None:
        named["theme"] = (messages.theme, messages.theme_names)
    # the average recipient of what was sent, by every block that there is: those that no situation names among them
    design = design_of(messages, learning.terms, learning.present, learning.opening, learning.phrases)
    typical = np.asarray(design.matrix.T @ (messages.recipients / messages.recipients.sum()))
    typical[fit.columns["terms"]] = 0.0
    levels: dict[str, dict[str | int, int]] = {}
    only: dict[str, str | int] = {}
    for block, (codes, names) in named.items():
        called: list[str | int] = [int(code) if names is None else names[code] for code in np.unique(codes)]
        if block not in fit.columns:
            only[block] = called[0]
            continue
        first = fit.columns[block].start
        levels[block] = {name: first + i for i, name in enumerate(called)}
    first = fit.columns["terms"].start
    places = {term: first + i for i, term in enumerate(learning.terms)}
    return Ground(fit, places, levels, only, typical, _apart(learning, design))


def _apart(learning: Learning, design: Design) -> dict[str, Apart]:
    if learning.deviations is None:
        return {}
    fit, messages, found = learning.fit, learning.messages, learning.deviations.by_segment
    _, weights = leftover(fit, design, messages.clicks, messages.recipients, messages.campaign)
    totals = np.bincount(messages.segment, weights, len(messages.segment_names))
    by_segment = sparse.csr_matrix(
        (weights, (messages.segment, np.arange(len(messages)))), shape=(len(totals), len(messages))
    )
    shares = np.asarray((by_segment @ learning.present).toarray()) / np.maximum(totals, 1e-12)[:, None]
    # by_segment's interval is of both together, see deviations.py
    mean = np.nan_to_num(found.effect - fit.effect)
    both = ((found.high - found.low) / 2 / Z) ** 2
    variance = np.maximum(np.nan_to_num(both - np.diag(fit.term_covariance)), 0.0)
    return {
        name: Apart(mean[place], variance[place], shares[place])
        for place, name in enumerate(messages.segment_names)
        if not np.isnan(found.effect[place]).all()
    }


def joint_of(ground: Ground | None, terms: Collection[str], situation: Situation | None = None) -> Joint:
    """The joint posterior of `situation` and `terms`. None for `ground`: nothing was learned yet."""
    wanted = tuple(dict.fromkeys(terms))
    if ground is None:
        covariance = np.diag([0.0, *[UNTRIED_SD**2] * len(wanted)])
        return Joint(wanted, np.zeros(1 + len(wanted)), covariance, frozenset(), (), 0.0, is_learned=False)
    fit = ground.fit
    base, base_variance, unseen = _base(ground, situation or Situation())
    rows = np.zeros((1 + len(wanted), len(fit.coefficients)))
    rows[0] = base
    extra = np.zeros(1 + len(wanted))
    extra[0] = base_variance
    for place, term in enumerate(wanted, start=1):
        column = ground.term_columns.get(term)
        if column is None:
            extra[place] = fit.term_variance
        else:
            rows[place, column] = 1.0
    mean, covariance = rows @ fit.coefficients, rows @ fit.covariance @ rows.T + np.diag(extra)
    apart = ground.apart.get(situation.segment) if situation is not None and situation.segment is not None else None
    if apart is not None:
        turn = _turn(ground, apart, wanted)
        mean = mean + turn @ apart.mean
        covariance = covariance + (turn * apart.variance) @ turn.T
    return Joint(
        terms=wanted,
        mean=mean,
        covariance=covariance,
        known=frozenset(term for term in wanted if term in ground.term_columns),
        unseen=unseen,
        send_variance=fit.row_variance + fit.campaign_variance,
        is_learned=True,
    )


def _turn(ground: Ground, apart: Apart, terms: Sequence[str]) -> Floats:
    """What the base and each of `terms` take of the segment's deviations: (1 + terms) x learned terms."""
    rows = np.zeros((1 + len(terms), len(apart.mean)))
    rows[0] = -apart.share
    first = ground.fit.columns["terms"].start
    for place, term in enumerate(terms, start=1):
        if term in ground.term_columns:
            rows[place, ground.term_columns[term] - first] = 1.0
    return rows


def _base(ground: Ground, situation: Situation) -> tuple[Floats, float, tuple[str, ...]]:
    """The design's row of `situation`, the variance of what of it was never seen, and the names of those blocks."""
    row, variance, unseen = ground.typical.copy(), 0.0, []
    for block in ("segment", "theme", "hour", "weekday", "channel"):
        wanted = getattr(situation, block)
        if wanted is None or (block == "theme" and block not in {*ground.levels, *ground.only}):
            continue
        levels = ground.levels.get(block)
        if levels is None:
            if not _fits(block, wanted, ground.only[block]):
                variance += UNSEEN_VARIANCE
                unseen.append(block)
            continue
        row[ground.fit.columns[block]] = 0.0
        fitting = [column for name, column in levels.items() if _fits(block, wanted, name)]
        exact = [levels[wanted]] if wanted in levels else fitting
        if exact:
            row[exact] = 1 / len(exact)
        else:
            variance += ground.fit.block_variance[block]
            unseen.append(block)
    return row, variance, tuple(unseen)


def _fits(block: str, wanted: str | int, name: str | int) -> bool:
    if block == "theme":
        return theme_is_like(str(wanted), str(name))
    return wanted == name


def theme_is_like(text: str, theme: str) -> bool:
    """True where a stored theme is named by `text`, or the other way about: 冬季服飾促銷 and 冬季服飾."""
    return bool(theme) and bool(text) and (theme in text or text in theme)
