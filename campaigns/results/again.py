"""How often the same people are in the runs of a campaign, as far as it widens an interval.

One person in many runs tells less of their own than as many people would: an interval is as wide as if each told
nothing new after their first time (Kish 1965, "Survey Sampling", §8.2: the design effect of clusters, here with all
that is in one wholly alike, so it is never too narrow). Somebody in n runs counts n of all people and n² of what
widens: each run knows what its people add to that (`CampaignRun.compared_again`), so that tens of thousands are added
up from an index.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, or_, select
from sqlmodel import Session

from campaigns.results.sides import FIRST_STEP
from store.engine import table_of
from store.models import CampaignRun, Delivery

run, delivery = table_of(CampaignRun), table_of(Delivery)


def again_in(session: Session, run_id: int, people: int) -> int:
    """What the `people` of a run of a first step, on both sides of its lift, add to the squares: for each 1, and 2 for
    every earlier run of the campaign that they are in. Of a run for a whole audience as if the smaller of two were all
    in the larger: they may have millions, and mostly the same people. Reads only."""
    this = session.get_one(CampaignRun, run_id)
    is_earlier = (
        run.c.campaign_id == this.campaign_id,
        run.c.step_number == FIRST_STEP,
        run.c.id < run_id,
    )
    if this.by_enrolment:
        return people + 2 * _met(session, run_id, is_earlier)
    sizes = session.scalars(select(run.c.compared_sent + run.c.compared_held).where(*is_earlier))
    return people + 2 * sum(people if size is None else min(people, size) for size in sizes)  # None: not over yet


def times_of(session: Session, campaign_ids: Sequence[int], going_on: Mapping[int, int]) -> dict[int, float]:
    """Campaign id -> in how many of its runs each person is: the mean over people of runs, so that whoever is in many
    counts more; only of campaigns with somebody to compare. `going_on`: people of those runs that are not over and
    compare some, by run id. Reads only."""
    mine = run.c.campaign_id.in_(campaign_ids)
    sums = (func.sum(run.c.compared_sent + run.c.compared_held), func.sum(run.c.compared_again))
    over = select(run.c.campaign_id, *sums).where(mine, run.c.compared_again > 0).group_by(run.c.campaign_id)
    found = {row[0]: (int(row[1]), int(row[2])) for row in session.execute(over)}
    for run_id, people in going_on.items():
        campaign_id = session.get_one(CampaignRun, run_id).campaign_id
        count, squares = found.get(campaign_id, (0, 0))
        found[campaign_id] = count + people, squares + again_in(session, run_id, people)
    return {key: squares / count for key, (count, squares) in found.items() if count}


def _met(session: Session, run_id: int, is_earlier: tuple[Any, ...]) -> int:
    """Pairs of somebody in the run and an earlier run that they are in."""
    other = delivery.alias()
    # Asked person by person, as a column: as a join, PostgreSQL, which knows nothing of how large a run is, may read
    # everybody's deliveries.
    met = select(func.count()).select_from(other.join(run, run.c.id == other.c.run_id))
    met = met.where(other.c.customer_id == delivery.c.customer_id, other.c.run_id < run_id, _on_a_side(other))
    each = met.where(*is_earlier).correlate(delivery).scalar_subquery()
    pairs = select(func.sum(each)).where(delivery.c.run_id == run_id, _on_a_side(delivery))
    return int(session.scalar(pairs) or 0)


def _on_a_side(of: Any) -> Any:
    """SQL: whether a delivery is on either side of a lift (see sides.py)."""
    return or_(of.c.state != "skipped", of.c.variant_id.is_not(None))
