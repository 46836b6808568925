"""What exploring costs and brings: terms chosen message after message, by expected effect or by a posterior draw.

60 terms of which 20 were never used, 4 to a message, 150 messages of 1,500 recipients after a history of 30; the best
message is known, so what each choice lacks of it is its regret (log-odds). Fitted anew, by the product's ranking, after
every third message.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from benchmarks.figures import Figure
from keywords.effects.ranking import Fit, fit

Floats = NDArray[np.float64]
Choice = Callable[[Fit, np.random.Generator], Floats]

FIRST_SEED = 10_000
RUNS = {"quick": 6, "full": 40}
TERMS, NEW, PER_MESSAGE = 60, 20, 4
PAST, MESSAGES, RECIPIENTS, LATE = 30, 150, 1_500, 30
REFIT_EVERY = 3
BASE, ROW_SD, TERM_SD = -3.0, 0.15, 0.2
REGRET_GOAL, TRIED_GOAL = 0.60, 15


def expected(found: Fit, _rng: np.random.Generator) -> Floats:
    """Greedy: by the expected effect."""
    return found.effect


def drawn(found: Fit, rng: np.random.Generator) -> Floats:
    """Thompson: by one draw of all effects together."""
    return rng.multivariate_normal(found.effect, found.term_covariance, method="eigh")


def play(choose: Choice, seed: int) -> tuple[Floats, int]:
    """The regret of each message of one run, and how many of the new terms were tried."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, TERM_SD, TERMS)
    rows = np.zeros((PAST + MESSAGES, TERMS))
    for row in rows[:PAST]:
        row[NEW + rng.choice(TERMS - NEW, PER_MESSAGE, replace=False)] = 1.0
    best = np.sort(effects)[-PER_MESSAGE:].sum()
    logits = BASE + rng.normal(0, ROW_SD, len(rows))
    clicks = np.zeros(len(rows))
    clicks[:PAST] = rng.binomial(RECIPIENTS, expit(logits[:PAST] + rows[:PAST] @ effects))
    regret = np.zeros(MESSAGES)
    for message in range(MESSAGES):
        now = PAST + message
        if message % REFIT_EVERY == 0:
            found = _learned(clicks[:now], rows[:now])
        rows[now, np.argsort(-choose(found, rng))[:PER_MESSAGE]] = 1.0
        clicks[now] = rng.binomial(RECIPIENTS, expit(logits[now] + rows[now] @ effects))
        regret[message] = best - rows[now] @ effects
    return regret, int(rows[PAST:, :NEW].any(axis=0).sum())


def _learned(clicks: Floats, rows: Floats) -> Fit:
    counts = (clicks, np.full(len(clicks), float(RECIPIENTS)), sparse.csr_matrix(rows))
    return fit(*counts, campaign=np.arange(len(clicks)), context={})


def exploring(scale: str) -> list[Figure]:
    """Late regret against greedy's, and the new terms tried."""
    seeds = range(FIRST_SEED, FIRST_SEED + RUNS[scale])
    greedy, thompson = ([play(choose, seed) for seed in seeds] for choose in (expected, drawn))
    late = [float(np.mean([regret[-LATE:] for regret, _ in played])) for played in (greedy, thompson)]
    whole = [float(np.mean([regret for regret, _ in played])) for played in (greedy, thompson)]
    tried = [float(np.mean([count for _, count in played])) for played in (greedy, thompson)]
    name = f"keywords, Thompson over {len(seeds)} runs"
    return [
        Figure(
            f"{name}: regret of the last {LATE} messages",
            late[1],
            "log-odds",
            peer="greedy",
            peer_value=late[0],
            ratio=late[1] / late[0],
            goal=f"<= {REGRET_GOAL:.0%} of greedy's",
            met=late[1] <= REGRET_GOAL * late[0],
        ),
        Figure(
            f"{name}: regret of all messages",
            whole[1],
            "log-odds",
            peer="greedy",
            peer_value=whole[0],
            ratio=whole[1] / whole[0],
        ),
        Figure(
            f"{name}: new terms tried of {NEW}",
            tried[1],
            "",
            peer="greedy",
            peer_value=tried[0],
            goal=f">= {TRIED_GOAL}",
            met=tried[1] >= TRIED_GOAL,
        ),
    ]
