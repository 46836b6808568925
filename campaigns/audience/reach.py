"""Whom a campaign would reach, were it sent now: its audience through the gate that freezing uses. Writes nothing."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, func, select

from campaigns.audience.asked import ask_audience
from campaigns.audience.slices import judged_now
from campaigns.audience.target import Audience
from campaigns.money.gain import NO_SEGMENT
from campaigns.planning.schedule import campaign_by_id
from store.clock import Clock
from store.engine import reading


@dataclass(frozen=True)
class Reach:
    """People of an audience, each in one of: `chosen`, by segment (rfm8, or "none"), who would be sent to; held out;
    skipped, by the gate's reason."""

    chosen: dict[str, int]
    held_out: int
    skipped: dict[str, int]

    @property
    def messages(self) -> int:
        """Messages needed: one for each who would be sent to."""
        return sum(self.chosen.values())

    @property
    def audience(self) -> int:
        """All whom the audience means."""
        return self.messages + self.held_out + sum(self.skipped.values())


def reach_now(engine: Engine, campaign_id: int, *, zone: ZoneInfo, clock: Clock) -> Reach:
    """The reach of a campaign's audience at this moment: refusals, blocks, priority, caps and both holdouts as a run of
    it would find them. A short quota leaves nobody out here: what is needed comes first. With learned targeting as many
    are reached, but others.

    Raises NotFound, and UnknownTarget and RuleError as freezing would.
    """
    with reading(engine) as session:
        audience = Audience.from_json(campaign_by_id(session, campaign_id).audience)
    asked = ask_audience(engine, audience, zone=zone, clock=clock)
    with reading(engine) as session:
        campaign = campaign_by_id(session, campaign_id)
        person = judged_now(session, campaign, asked.condition(), zone=zone, now=clock()).subquery()
        kinds = (person.c.state, person.c.reason, func.coalesce(person.c.segment, NO_SEGMENT))
        rows = session.execute(select(*kinds, func.count()).group_by(*kinds).order_by(*kinds)).all()
    chosen: dict[str, int] = {}
    skipped: dict[str, int] = {}
    for state, reason, segment, people in rows:
        if state == "chosen":
            chosen[segment] = people
        elif state == "skipped":
            skipped[reason] = skipped.get(reason, 0) + people
    return Reach(chosen, sum(people for state, *_, people in rows if state == "held_out"), skipped)
