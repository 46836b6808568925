"""What all runs of each of many campaigns brought, however many: kept sums that the database adds up, of people from an
index alone. By variant, segment and step: campaigns/results/together.py. Reads only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlmodel import Session

from campaigns.results.again import times_of
from campaigns.results.lift import Arm
from campaigns.results.runs import Group, Lifts, Part, cells_of, lifts_of
from campaigns.results.sums import Sums, summed, unnamed_taps
from campaigns.results.tally import tallies
from store.engine import table_of
from store.models import CampaignRun, RunResponse

run, response = table_of(CampaignRun), table_of(RunResponse)


@dataclass(frozen=True)
class Whole:
    """Of so many `runs`: people reached (once in each), messages that LINE counts, taps by people, buyers after a tap
    and their money, those who blocked, and what sending added (None: it can't be told)."""

    runs: int
    accepted: int
    messages: int
    clicks: int
    conversions: int
    revenue: Decimal
    blocked: int
    lift: Lifts | None


def wholes(session: Session, campaign_ids: Sequence[int]) -> dict[int, Whole]:
    """Campaign id -> all its runs as of now, for each of `campaign_ids`."""
    mine = run.c.campaign_id.in_(campaign_ids)
    people = _kept(session, mine)
    comparing = _add_going_on(session, mine, people)
    times = times_of(session, campaign_ids, comparing)
    acted, unnamed = _acted(session, mine, comparing), unnamed_taps(session, mine)
    found = {}
    for key in campaign_ids:
        runs, accepted, messages, sent, held = people.get(key, [0] * 5)
        compared, others = acted.get(2 * key + 1, Part()), acted.get(2 * key, Part())
        did = compared + others
        sides = Arm(sent) + compared.own_sent, Arm(held) + compared.own_held_out
        found[key] = Whole(
            runs,
            accepted,
            messages,
            did.clicked + unnamed.get(key, 0),
            did.after_tap.buyers,
            did.after_tap.revenue,
            did.blocked,
            lifts_of({"all": sides}, times=times.get(key, 1.0)).get("all"),
        )
    return found


def _kept(session: Session, mine: Any) -> dict[int, list[int]]:
    """Campaign id -> how many runs, and by kept sums people reached, messages, and people compared on either side."""
    counts = ("reached_count", "message_count", "compared_sent", "compared_held")
    sums = [func.coalesce(func.sum(run.c[name]), 0) for name in counts]
    over = session.execute(select(run.c.campaign_id, func.count(), *sums).where(mine).group_by(run.c.campaign_id))
    return {row[0]: [int(count) for count in row[1:]] for row in over}


def _add_going_on(session: Session, mine: Any, people: dict[int, list[int]]) -> dict[int, int]:
    """Count the runs that are not over one by one, and add them to `people`, campaign by campaign. Returns people to
    compare of those of these runs that do, by run id."""
    going_on = select(run.c.id, run.c.campaign_id, run.c.step_number).where(mine, run.c.reached_count.is_(None))
    runs = session.execute(going_on).all()
    cells = cells_of(tallies(session, [row.id for row in runs]), [])
    comparing = {}
    for run_id, campaign_id, step_number in runs:
        group = Group.of(step_number, cells.get(run_id, {}))
        total = sum(group.cells.values(), Part())
        sent, held = (total.sent.people, total.held_out.people) if group.is_compared else (0, 0)
        counts = (0, total.deliveries["accepted"], total.messages, sent, held)
        people[campaign_id] = [so_far + more for so_far, more in zip(people[campaign_id], counts, strict=True)]
        if sent + held:
            comparing[run_id] = sent + held
    return comparing


def _acted(session: Session, mine: Any, comparing: Collection[int]) -> dict[int, Part]:
    """What people did, without how many there were: twice the campaign's id -> after runs that compare none, and one
    more -> after those that do."""
    kept = select(run.c.id, run.c.campaign_id, run.c.compared_again, run.c.response_sums)
    large = session.execute(kept.where(mine, run.c.response_sums.is_not(None))).all()
    acted = [
        replace(Sums(*cell), run_id=2 * row.campaign_id + ((row.compared_again or 0) > 0 or row.id in comparing))
        for row in large
        for cell in row.response_sums
    ]
    is_compared = or_(run.c.compared_again > 0, run.c.id.in_(comparing))
    key = (2 * run.c.campaign_id + case((is_compared, 1), else_=0)).label("of_campaign")
    # by their ids, few: whether sums are kept stands in the run's wide row
    small = and_(mine, run.c.id.not_in([row.id for row in large]))
    acted += summed(session, key, run.join(response, response.c.run_id == run.c.id), small)
    return {key: sum(cells.values(), Part()) for key, cells in cells_of([], acted).items()}
