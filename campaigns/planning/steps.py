"""One tick of everything that goes person by person: triggers are read, due steps fire, people go on or leave.

Any number of workers may tick at once: each transaction is short, locks the campaign whose people it moves, and looks
again whether they still stand where they stood. A crash loses nothing: what was not committed is found once more.
"""

from collections.abc import Callable, Sequence
from functools import partial
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select
from sqlmodel import Session

from campaigns.audience.target import Audience, Target, matches, read_targets
from campaigns.planning import enrolments, schedule
from campaigns.planning.conditions import is_rule, since_entering, who_fits
from campaigns.planning.enrolments import SLICE, Due
from campaigns.planning.feeds import entries_of
from campaigns.planning.schedule import campaign_by_id
from segmentation.rules.types import to_builtins
from store.clock import Clock
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import Campaign, CampaignStep, Customer

campaign, step, customer = table_of(Campaign), table_of(CampaignStep), table_of(Customer)


def move_people(engine: Engine, *, zone: ZoneInfo, clock: Clock) -> list[int]:
    """Do all that is to be done now; returns the ids of the runs made. A campaign whose trigger, condition or goal
    can't be read any more (a saved rule was deleted) is paused, saying why; any other error is raised when all
    campaigns have had their turn, as an ExceptionGroup."""
    now = clock()
    with reading(engine) as session:
        live = campaign.c.state.in_(("scheduled", "sending"))
        listening = select(campaign.c.id).where(live, campaign.c.trigger.is_not(None), campaign.c.trigger_since <= now)
        with_goal = select(campaign.c.id).where(live, campaign.c.goal.is_not(None))
        listening_ids = session.scalars(listening.order_by(campaign.c.id)).all()
        goal_ids = session.scalars(with_goal.order_by(campaign.c.id)).all()
        run_ids = enrolments.runs_to_leave(session, now=now)
    for run_id in run_ids:
        _in_slices(engine, partial(enrolments.go_on, run_id=run_id, now=now))
    problems = _each(listening_ids, engine, partial(read_trigger_of, engine, zone=zone, clock=clock))
    problems += _each(goal_ids, engine, partial(_end_by_goal, engine))
    with reading(engine) as session:
        overtaken = enrolments.overtaken_steps(session, now=now)
    for campaign_id, step_number in overtaken:
        late = partial(enrolments.pass_overtaken, campaign_id=campaign_id, step_number=step_number, now=now)
        _in_slices(engine, late)
    with reading(engine) as session:
        due = enrolments.due_steps(session, now=now)
    made: list[int] = []
    for campaign_id, step_number in due:
        fire = partial(fire_step_of, engine, step_number=step_number, made=made, zone=zone, clock=clock)
        problems += _each([campaign_id], engine, fire)
    _in_slices(engine, enrolments.end_those_of_closed_campaigns)
    if problems:
        raise ExceptionGroup("campaigns whose people could not be moved", problems)
    return made


def read_trigger_of(engine: Engine, campaign_id: int, *, zone: ZoneInfo, clock: Clock) -> int:
    """Let everybody enter whom the campaign's trigger names now; returns how many did."""
    entered, is_all = 0, False
    while not is_all:
        with reading(engine) as session:
            answer = entries_of(session, campaign_by_id(session, campaign_id), zone=zone, now=clock())
        is_all = answer.is_all
        if answer.entries or answer.has_moved:
            with transaction(engine) as session:
                entered += schedule.has_read(session, campaign_id, answer)
                is_all = is_all or campaign_by_id(session, campaign_id).state not in ("scheduled", "sending")
    return entered


def fire_step_of(
    engine: Engine, campaign_id: int, step_number: int, made: list[int], *, zone: ZoneInfo, clock: Clock
) -> None:
    """Make the runs of a step for all who are due, and add their ids to `made`: those for whom it isn't go past it,
    those who have reached the goal or can't be written to leave."""
    is_more = True
    while is_more:
        due, fitting = _looked_at(engine, campaign_id, step_number, zone=zone, clock=clock)
        with transaction(engine) as session:
            if campaign_by_id(session, campaign_id, for_update=True).state not in ("scheduled", "sending"):
                return
            enrolments.end(session, due.ends)
            enrolments.pass_over(session, due, due.rest.keys() - fitting, now=clock())
            run_id = schedule.fire_step(session, due, fitting, zone=zone, now=clock()) if fitting else None
        made += [] if run_id is None else [run_id]
        is_more = len(due.ends) + len(due.rest) == SLICE and (run_id is not None or not fitting)


def _looked_at(
    engine: Engine, campaign_id: int, step_number: int, *, zone: ZoneInfo, clock: Clock
) -> tuple[Due, set[int]]:
    """Who is due, and for which enrolments of them the step is. Rules are asked outside the database."""
    with reading(engine) as session:
        found = campaign_by_id(session, campaign_id)
        goal = found.goal
        condition = session.scalar(
            select(step.c.condition).where(step.c.campaign_id == campaign_id, step.c.step_number == step_number)
        )
        plain_goal = since_entering(goal) if goal is not None and not is_rule(goal) else None
        due = enrolments.due_people(session, found, step_number, plain_goal, now=clock())
        fitting = set(due.rest)
        if condition is not None and not is_rule(condition):
            fitting = enrolments.who_of(session, fitting, since_entering(condition))
    if found.trigger is not None and step_number == enrolments.FIRST_STEP:
        inside = _inside(engine, found, set(due.rest.values()), zone=zone, clock=clock)
        due.ends.update({key: "not_in_audience" for key, who in due.rest.items() if who not in inside})
        fitting -= due.ends.keys()
    if goal is not None and is_rule(goal):
        there = who_fits(engine, goal, list(due.rest.values()), zone=zone, clock=clock)
        due.ends.update({key: "goal" for key, who in due.rest.items() if who in there})
        fitting -= due.ends.keys()
    if condition is not None and is_rule(condition):
        them = who_fits(engine, condition, [due.rest[key] for key in fitting], zone=zone, clock=clock)
        fitting = {key for key in fitting if due.rest[key] in them}
    rest = {key: who for key, who in due.rest.items() if key not in due.ends}
    return Due(campaign_id, step_number, due.ends, rest), fitting


def _inside(engine: Engine, found: Campaign, people: set[int], *, zone: ZoneInfo, clock: Clock) -> set[int]:
    """Those of `people` (customer ids) whom a campaign's audience means now."""
    audience = Audience.from_json(found.audience)
    if (list(audience.any_of), list(audience.none_of)) == (["all"], []):
        return people
    with reading(engine) as session:
        targets = read_targets(session, audience)

    def of(target: Target) -> set[int]:
        if target.rule is not None:
            return who_fits(engine, to_builtins(target.rule), list(people), zone=zone, clock=clock)
        with reading(engine) as session:
            return set(session.scalars(select(customer.c.id).where(customer.c.id.in_(people), matches(target, 0))))

    wanted, unwanted = (set().union(*map(of, part)) for part in (targets.wanted, targets.unwanted))
    return wanted - unwanted


def _end_by_goal(engine: Engine, campaign_id: int) -> None:
    """Whoever has clicked or bought, if that is the goal, leaves now: a message under way to them is not sent. A goal
    that is a rule is asked when the next step is due."""
    with reading(engine) as session:
        goal = campaign_by_id(session, campaign_id).goal
    if goal is None or is_rule(goal):
        return
    _in_slices(engine, partial(enrolments.end_by_goal, campaign_id=campaign_id, goal=since_entering(goal)))


def _in_slices(engine: Engine, work: Callable[[Session], int]) -> None:
    """Call `work`, each time in a transaction of its own, until it has less than a slice to do."""
    is_more = True
    while is_more:
        with transaction(engine) as session:
            is_more = work(session) >= SLICE


def _each(campaign_ids: Sequence[int], engine: Engine, work: Callable[[int], object]) -> list[Exception]:
    """Do `work` for each campaign; returns the errors of those that have broken."""
    broken: list[Exception] = []
    for campaign_id in campaign_ids:
        try:
            work(campaign_id)
        except BadInput as error:
            with transaction(engine) as session:
                if campaign_by_id(session, campaign_id, for_update=True).state in ("scheduled", "sending"):
                    schedule.pause(session, campaign_id, problem=str(error))
        except Exception as error:
            broken.append(error)
    return broken
