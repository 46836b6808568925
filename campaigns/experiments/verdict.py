"""How an experiment stands, at whatever time one asks."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlmodel import Session

from campaigns.experiments.choice import chance_to_be_best
from campaigns.experiments.design import Experiment, experiment_of
from campaigns.experiments.stopping import Interval, Pair, interval_of, winner_of
from campaigns.experiments.waves import Counts, counts_of
from store.models import Campaign, CampaignRun


@dataclass(frozen=True)
class Standing:
    """One variant: people whose outcome is known, who of them tapped (or ordered), the chance that it is the best, and
    its rate less that of the first variant, with an interval that holds at all looks (None for the first itself)."""

    name: str
    people: int
    successes: int
    chance_best: float
    difference: Interval | None


@dataclass(frozen=True)
class Verdict:
    """Of one run. `winner`: the variant that is better than every other for sure; None while that is open."""

    run_id: int
    outcome: str
    standings: list[Standing]
    winner: str | None
    open_people: int  # sent to, whose outcome is still to come

    def to_json(self) -> dict[str, Any]:
        """Plain values for programs."""
        return asdict(self)


def verdict(session: Session, run_id: int, *, now: datetime) -> Verdict:
    """How the variants of a run stand at `now`. Reads only."""
    run = session.get_one(CampaignRun, run_id)
    experiment = experiment_of(session.get_one(Campaign, run.campaign_id).experiment)
    counts = counts_of(session, run, experiment, now=now)
    names = [variant["name"] for variant in run.variants]
    chances = chance_to_be_best(counts.people.sum(axis=0), counts.successes.sum(axis=0))
    standings = [
        Standing(
            name,
            int(counts.people[:, place].sum()),
            int(counts.successes[:, place].sum()),
            float(chances[place]),
            _difference(counts, place, experiment, len(names)) if place else None,
        )
        for place, name in enumerate(names)
    ]
    best = winner_of(counts.people, counts.successes, counts.shares, alpha=experiment.alpha)
    winner = names[best] if best is not None and len(names) > 1 else None
    return Verdict(run_id, experiment.outcome, standings, winner, counts.open_people)


def _difference(counts: Counts, place: int, experiment: Experiment, variants: int) -> Interval | None:
    """The variant's rate less the first's; the pairs share the level, as in `winner_of`."""
    share = counts.shares
    learned = np.flatnonzero((share[:, 0] > 0) & (share[:, place] > 0))
    if not len(learned):
        return None
    pair = Pair(
        counts.people[learned, 0],
        counts.successes[learned, 0],
        counts.people[learned, place],
        counts.successes[learned, place],
        share[learned, place] / (share[learned, 0] + share[learned, place]),
    )
    return interval_of(pair, alpha=experiment.alpha / (variants * (variants - 1) / 2))
