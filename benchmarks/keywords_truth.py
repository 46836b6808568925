"""Made-up messages whose true word effects are known: what the ranking is judged against.

logit(click rate) = base + segment + hour + weekday + theme + campaign + the words' effects + noise of the row. Words
follow Zipf's law, keep to their themes, and are steered to segments and hours as marketers do, so that raw averages
mislead. Nothing here is used by the product.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

SEGMENTS, HOURS, WEEKDAYS, THEMES = 8, 24, 7, 8
BASE_LOGIT = -3.0


@dataclass(frozen=True)
class Scenario:
    """How a set of messages is made. Standard deviations are on the log-odds scale."""

    messages: int
    terms: int = 60
    row_sd: float = 0.25
    campaign_sd: float = 0.15
    theme_sd: float = 0.15
    steering: float = 0.6  # how strongly promotion words follow good segments and hours
    experiment_share: float = 0.3  # campaigns with 2-4 variants


SCENARIOS = {
    "2,000 messages": Scenario(2_000),
    "500 messages": Scenario(500),
    "5,000 messages, 100 terms": Scenario(5_000, terms=100),
    "no over-dispersion": Scenario(2_000, row_sd=0.0, campaign_sd=0.0, theme_sd=0.0),
    "strong over-dispersion": Scenario(2_000, row_sd=0.6, campaign_sd=0.3),
    "strong confounding": Scenario(2_000, steering=1.6),
    "no A/B": Scenario(2_000, experiment_share=0.0),
}


@dataclass(frozen=True)
class Truth:
    """Messages, one element or row each, and the effects that made their clicks."""

    clicks: NDArray[np.float64]
    recipients: NDArray[np.float64]
    campaign: NDArray[np.int64]
    segment: NDArray[np.int64]
    hour: NDArray[np.int64]
    weekday: NDArray[np.int64]
    theme: NDArray[np.int64]
    terms: sparse.csr_matrix[Any]  # messages x terms, 1 where the message has the term
    effects: NDArray[np.float64]  # of the terms, log-odds
    logit: NDArray[np.float64]  # true log-odds of a click of each message, the noise of its campaign and row included


def _campaigns(scenario: Scenario, rng: np.random.Generator) -> NDArray[np.int64]:
    """The campaign of each message: 0, 1, … in order."""
    variants = np.where(
        rng.random(scenario.messages) < scenario.experiment_share, rng.integers(2, 5, scenario.messages), 1
    )
    campaign = np.repeat(np.arange(scenario.messages), variants)
    return campaign[: scenario.messages]


def _draw_words(log_weights: NDArray[np.float64], counts: NDArray[np.int64], rng: np.random.Generator) -> Any:
    """A 0/1 matrix: `counts` words per row, drawn without replacement by exp(log_weights) (Gumbel top-k)."""
    keys = log_weights + rng.gumbel(size=log_weights.shape)
    order = np.argsort(-keys, axis=1)
    rows = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = log_weights.shape
    return sparse.csr_matrix((np.ones(len(rows)), (rows, order[rows, places])), shape=shape)


def _words(
    scenario: Scenario,
    attraction: NDArray[np.float64],
    theme: NDArray[np.int64],
    campaign: NDArray[np.int64],
    rng: np.random.Generator,
) -> Any:
    """Which words each message has. `attraction` says how good its segment and hour are (standardised)."""
    terms = scenario.terms
    popularity = -np.log(rng.permutation(terms) + 2.0)
    home = np.where(rng.random(terms) < 0.6, rng.integers(0, THEMES, terms), -1)
    promotion = rng.normal(size=terms)
    drawn = []
    for start in range(0, scenario.messages, 20_000):  # in pieces: the key matrix is messages x terms
        part = slice(start, start + 20_000)
        weights = popularity + 2.0 * (home == theme[part, None]) - 1.0 * ((home >= 0) & (home != theme[part, None]))
        weights = weights + scenario.steering * attraction[part, None] * promotion
        counts = rng.integers(3, 9, len(weights))
        drawn.append(_draw_words(weights, counts, rng))
    return sparse.vstack(drawn, format="csr")


def make_truth(scenario: Scenario, seed: int) -> Truth:
    """A set of messages by `scenario`; the same seed always makes the same set."""
    rng = np.random.default_rng(seed)
    n = scenario.messages
    campaign = _campaigns(scenario, rng)
    of_campaign = [rng.integers(0, levels, n)[campaign] for levels in (SEGMENTS, HOURS, WEEKDAYS, THEMES)]
    segment, hour, weekday, theme = of_campaign
    segment_effect, hour_effect = rng.normal(0, 0.6, SEGMENTS), rng.normal(0, 0.3, HOURS)
    weekday_effect, theme_effect = rng.normal(0, 0.12, WEEKDAYS), rng.normal(0, scenario.theme_sd, THEMES)
    context = segment_effect[segment] + hour_effect[hour]
    attraction = (context - context.mean()) / context.std()
    terms = _words(scenario, attraction, theme, campaign, rng)
    near_nil = rng.random(scenario.terms) < 0.3
    effects = rng.normal(0, np.where(near_nil, 0.02, 0.2))
    logit = (
        BASE_LOGIT
        + context
        + weekday_effect[weekday]
        + theme_effect[theme]
        + rng.normal(0, scenario.campaign_sd, n)[campaign]
        + terms @ effects
        + rng.normal(0, scenario.row_sd, n)
    )
    recipients = np.exp(rng.uniform(np.log(50), np.log(100_000), n)).astype(np.int64)
    clicks = rng.binomial(recipients, expit(logit))
    return Truth(
        clicks.astype(np.float64),
        recipients.astype(np.float64),
        campaign,
        segment,
        hour,
        weekday,
        theme,
        terms,
        effects,
        logit,
    )
