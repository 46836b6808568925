"""Several runs of a campaign added up: a month of weekly letters, or the thousands of small runs of an automation.

A lift is that of all their people pooled, since a campaign holds out the same share in each. But one person may be in
many runs, and then tells less of their own than as many people would: the interval is as wide as if each told nothing
new after their first time (Kish 1965, "Survey Sampling", §8.2: the design effect of clusters, here with all that is in
one wholly alike, so it is never too narrow). Of a letter to the same people every week it so stays as wide as that of
one; where others enter each day it narrows as they become more.

The lift of a single run is that of its whole window. Where windows overlap (a letter every day, steps some days apart)
an order is in several, and their gains added up would be several times what came in: so the lift of all runs together,
and with it the money, counts each order in the last run before it only. Tables of variants, segments and steps, which
nobody adds up, keep whole windows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select, true
from sqlmodel import Session

from campaigns.results.lift import Arm
from campaigns.results.runs import Part, RunResults, added, lifts_of, results_by_run, runs_of
from store.engine import is_sqlite, table_of
from store.models import CampaignRun, Delivery


def campaign_results(session: Session, campaign_id: int) -> RunResults:
    """Results of all runs of a campaign together; all zeros before the first."""
    run_ids = [run.id or 0 for run in runs_of(session, campaign_id)]
    times = times_each(session, run_ids).get(campaign_id)
    return together(list(results_by_run(session, run_ids).values()), times=times)


def together(results: Sequence[RunResults], *, times: float | None = None, is_whole: bool = True) -> RunResults:
    """Results of several runs of one campaign added up: people are counted once in each run, orders once in all. Runs
    that were broken off are left out of the lifts. `times`: how often each person is in them, as `times_each` counts
    it; None: as if the same people were in all of them. `is_whole` off: a part of the campaign, such as one step, whose
    lift is that of whole windows."""
    fetches: dict[str, int] = {}
    for one in results:
        fetches = added(fetches, one.fetches)
    pooled = [one for one in results if one.total.is_by_chance]
    times = max(1.0, len(pooled) if times is None else min(times, len(pooled)))
    total, segments = _sum(one.total for one in pooled), _merged(one.segments for one in pooled)
    variants = {key for one in pooled for key in one.variants if key is not None}
    sides = (total.own_sent, total.own_held_out) if len(pooled) > 1 and is_whole else (total.sent, total.held_out)
    return RunResults(
        total=_sum(one.total for one in results),
        variants=_merged(one.variants for one in results),
        segments=_merged(one.segments for one in results),
        fetches=fetches,
        unnamed_taps=sum(one.unnamed_taps for one in results),
        line=[figures for one in results for figures in one.line],
        lift=lifts_of({"all": sides}, times=times).get("all"),
        variant_lifts=lifts_of({key: _sides_of(key, pooled) for key in sorted(variants)}, times=times),
        segment_lifts=lifts_of({key: (p.sent, p.held_out) for key, p in segments.items()}, times=times),
    )


def by_step(session: Session, runs: Sequence[CampaignRun], found: Mapping[int, RunResults]) -> dict[int, RunResults]:
    """Step number -> the results of its runs together, of one campaign's `runs`, whose results are `found` by run id;
    empty unless they are of several steps."""
    numbers = sorted({run.step_number for run in runs})
    steps = {}
    for number in numbers if len(numbers) > 1 else ():
        ids = [run.id or 0 for run in runs if run.step_number == number]
        times = times_each(session, ids).get(runs[0].campaign_id)
        steps[number] = together([found[run_id] for run_id in ids], times=times, is_whole=False)
    return steps


def times_each(session: Session, run_ids: Sequence[int]) -> dict[int, float]:
    """Campaign id -> in how many of these runs of it each person is, as far as it widens an interval: the mean over
    deliveries, so that whoever is in many counts more. Of runs for a whole audience as if everybody were in all of
    them: they may have millions of people, and mostly the same ones. Reads only."""
    run, delivery = table_of(CampaignRun), table_of(Delivery)
    runs = session.execute(select(run.c.id, run.c.campaign_id, run.c.by_enrolment).where(run.c.id.in_(run_ids))).all()
    times = Counter[int](one.campaign_id for one in runs if not one.by_enrolment)
    found = {campaign_id: float(count) for campaign_id, count in times.items()}
    entered = [one.id for one in runs if one.by_enrolment]
    if not entered:  # then no look at deliveries, which may be millions
        return found
    side = or_(delivery.c.state != "skipped", delivery.c.variant_id.is_not(None))
    if is_sqlite(session):
        joined, customer_id = run.join(delivery, and_(delivery.c.run_id == run.c.id, side)), delivery.c.customer_id
    else:  # run by run ("offset 0" keeps it so): not knowing how large a run is, it would read everybody's deliveries
        of_run = select(delivery.c.customer_id).where(delivery.c.run_id == run.c.id, side)
        theirs = of_run.offset(0).lateral()
        joined, customer_id = run.join(theirs, true()), theirs.c.customer_id
    each = select(run.c.campaign_id, func.count().label("runs")).select_from(joined).where(run.c.id.in_(entered))
    people = each.group_by(run.c.campaign_id, customer_id).subquery()
    sums = select(people.c.campaign_id, func.sum(people.c.runs * people.c.runs), func.sum(people.c.runs))
    for campaign_id, squares, count in session.execute(sums.group_by(people.c.campaign_id)):
        found[campaign_id] = found.get(campaign_id, 0.0) + float(squares) / float(count)
    return found


def _sides_of(variant_id: int, pooled: Sequence[RunResults]) -> tuple[Arm, Arm]:
    """Those of a variant, and who was held out of the runs that had it."""
    had_it = [one for one in pooled if variant_id in one.variants]
    return _sum(one.variants[variant_id] for one in had_it).sent, _sum(one.total for one in had_it).held_out


def _sum(parts: Iterable[Part]) -> Part:
    return sum(parts, Part())


def _merged(many: Iterable[dict[Any, Part]]) -> dict[Any, Part]:
    merged: dict[Any, Part] = {}
    for parts in many:
        for key, part in parts.items():
            merged[key] = merged.get(key, Part()) + part
    return merged
