"""All runs of a campaign added up, however many: a year of weekly letters, or the tens of thousands of small runs of an
automation, whose kept sums the database adds up. Reads only.

A lift is that of all their people pooled, since a campaign holds out the same share in each; who is in many runs widens
its interval (campaigns/results/again.py). Of a letter to the same people every week it so stays as wide as that of one;
where others enter each day it narrows as they become more.

The lift of a single run is that of its whole window. Where windows overlap (a letter every day, steps some days apart)
an order is in several, and their gains added up would be several times what came in: so the lift of all runs together,
and with it the money, counts each order once (campaigns/results/attribution.py). Tables of variants, segments and
steps, which nobody adds up, keep whole windows.

Of several steps only the first has a lift: who gets a later one hangs on what they did. Those held out never tap, so
all of them stay for a step "to those who didn't tap", beside the idle part of those sent to. The lift of the whole
compares people as chance told them apart at the first step, with all that they bought up to where the last one's window
ends.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, select
from sqlmodel import Session

from campaigns.results.again import times_of
from campaigns.results.line_figures import LineFigures, line_figures
from campaigns.results.runs import Beside, Group, RunResults, cells_of, fetches, results_of
from campaigns.results.sums import Sums, summed
from campaigns.results.tally import summed_over, tallies
from campaigns.sending.units import month_of
from store.engine import table_of
from store.models import CampaignRun, Click, RunResponse

run, response, click = table_of(CampaignRun), table_of(RunResponse), table_of(Click)

IS_SMALL = and_(run.c.by_enrolment, run.c.tallied_at.is_not(None), run.c.response_sums.is_(None))
# Small runs that are over are looked at by step, and apart by whether they are compared (odd); all others one by one.
_step = -2 * run.c.step_number + case((run.c.compared_again > 0, 1), else_=0)
GROUP = case((IS_SMALL, _step), else_=run.c.id).label("of_group")


def campaign_results(session: Session, campaign_id: int) -> RunResults:
    """Results of all runs of a campaign together; all zeros before the first."""
    return results_and_steps(session, campaign_id)[0]


def results_and_steps(session: Session, campaign_id: int) -> tuple[RunResults, dict[int, RunResults]]:
    """The same, and step number -> results of its runs together; none unless there were runs of several steps."""
    going_on = session.scalars(
        select(run.c.id).where(run.c.campaign_id == campaign_id, run.c.tallied_at.is_(None))
    ).all()
    groups = _groups(session, campaign_id, going_on)
    people = {
        key: sum((part.sent + part.held_out).people for part in group.cells.values())
        for key, group in groups.items()
        if key in going_on and group.is_compared
    }
    times = times_of(session, [campaign_id], people).get(campaign_id, 1.0)
    clicks, mine = click.join(run, run.c.id == click.c.run_id), run.c.campaign_id == campaign_id
    kinds, unnamed = fetches(session, clicks, run.c.campaign_id, mine).get(campaign_id, ({}, 0))
    beside = Beside(kinds, unnamed, _line(session, campaign_id))
    whole = results_of(list(groups.values()), beside, times=times, adds_up=True)
    numbers = sorted({group.step_number for group in groups.values()})
    steps = {
        number: results_of([g for g in groups.values() if g.step_number == number], Beside(), times=times)
        for number in (numbers if len(numbers) > 1 else ())
    }
    return whole, steps


def telling_runs(session: Session, campaign_id: int) -> list[int]:
    """The runs of a campaign that have LINE's figures of all, the newest first: each one, but of a step that people
    enter one by one only the last in each of LINE's months, for all runs of a month have one figure."""
    found: dict[tuple[Any, ...], int] = {}
    columns = (run.c.id, run.c.step_number, run.c.by_enrolment, run.c.fired_at)
    rows = session.execute(select(*columns).where(run.c.campaign_id == campaign_id).order_by(run.c.fired_at, run.c.id))
    for run_id, step_number, by_enrolment, fired_at in rows:
        found[(step_number, month_of(fired_at)) if by_enrolment else (run_id,)] = run_id
    return sorted(found.values(), reverse=True)


def _line(session: Session, campaign_id: int) -> list[LineFigures]:
    run_ids = telling_runs(session, campaign_id)
    figures = line_figures(session, run_ids)
    return [one for run_id in run_ids for one in figures.get(run_id, [])]


def _groups(session: Session, campaign_id: int, going_on: Sequence[int]) -> dict[int, Group]:
    """The runs of a campaign by what GROUP calls them; those that are `going_on` are counted one by one."""
    mine = run.c.campaign_id == campaign_id
    people = summed_over(session, GROUP, mine) + tallies(session, going_on)
    kept = select(run.c.response_sums).where(mine, run.c.response_sums.is_not(None))
    acted = [Sums(*cell) for cells in session.scalars(kept) for cell in cells]
    responses = run.join(response, response.c.run_id == run.c.id)
    acted += summed(session, GROUP, responses, and_(mine, run.c.response_sums.is_(None)))
    cells = cells_of(people, acted)
    singles = select(run.c.id, run.c.step_number).where(run.c.id.in_([key for key in cells if key > 0]))
    steps: dict[int, int] = {row[0]: row[1] for row in session.execute(singles)}
    return {
        key: Group.of(steps[key], found) if key > 0 else Group(-(key // 2), key % 2 == 1, found)
        for key, found in cells.items()
    }
