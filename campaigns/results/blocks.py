"""The brake: a run that makes more people block the account than the brand allows goes slower, step by step; above a
second, higher limit it is paused, with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import and_, func, select
from sqlmodel import Session

from campaigns.planning.schedule import pause_for
from campaigns.results.alarm import is_above
from campaigns.results.tally import tallies
from campaigns.sending.slowing import SLOWEST, slow_down
from campaigns.settings import read_settings
from store.engine import table_of
from store.models import AuditEntry, CampaignRun, RunResponse

PAUSED, SLOWED = "pause run for blocks", "slow run for blocks"  # in the audit trail
FEWEST = 3  # blocks, below which nothing is concluded

run, response, audit = table_of(CampaignRun), table_of(RunResponse), table_of(AuditEntry)


@dataclass(frozen=True)
class Braking:
    """A run being sent after which too many blocked: `blocked` of `people` accepted; `action`: PAUSED or SLOWED, as
    that is above `percent`."""

    run_id: int
    blocked: int
    people: int
    action: str
    percent: Decimal


@dataclass(frozen=True)
class _Counts:
    blocked: int
    people: int

    def is_above(self, percent: Decimal | None, before: "_Counts") -> bool:
        """Whether the rate of those sent to since `before` surely is above `percent`; None: never."""
        if percent is None:
            return False
        return is_above(self.blocked - before.blocked, self.people - before.people, float(percent) / 100)


def runs_to_brake(session: Session) -> list[Braking]:
    """What is to be done with runs being sent whose rate of blocks is surely above a limit of the brand's. Reads only.

    Each limit has its own evidence: after a run was slowed, only those sent to since then can slow it further; after it
    was paused and resumed, only those sent to since then are judged at all.
    """
    settings = read_settings(session)
    found: list[Braking] = []
    counted = _counted(session)
    paused, slowed = _judged_before(session, counted, PAUSED), _judged_before(session, counted, SLOWED)
    for run_id, (may_be_slowed, now) in counted.items():
        since_pause = paused.get(run_id, _Counts(0, 0))
        since_slowed = max(since_pause, slowed.get(run_id, since_pause), key=lambda counts: counts.people)
        if now.is_above(settings.block_limit_percent, since_pause):
            action, percent = PAUSED, settings.block_limit_percent
        elif may_be_slowed and now.is_above(settings.block_slow_percent, since_slowed):
            action, percent = SLOWED, settings.block_slow_percent
        else:
            continue
        assert percent is not None
        found.append(Braking(run_id, now.blocked, now.people, action, percent))
    return found


def brake(session: Session, braking: Braking, *, now: datetime) -> None:
    """Slow a run that `runs_to_brake` named, or pause its campaign, and note what it was judged by."""
    detail = {"run_id": braking.run_id, "blocked": braking.blocked, "people": braking.people}
    if braking.action == SLOWED:
        detail["step"] = slow_down(session, braking.run_id, now=now)
    else:
        pause_for(
            session,
            braking.run_id,
            f"{braking.blocked:,} of {braking.people:,} people ({braking.blocked / braking.people:.1%}) blocked the "
            f"account after this message, above the limit of {braking.percent:g} %; "
            "resume to send to the rest all the same",
        )
    session.add(AuditEntry(at=now, actor="worker", action=braking.action, detail=detail))


def _counted(session: Session) -> dict[int, tuple[bool, _Counts]]:
    """Run being sent -> whether it can be slowed (not what LINE itself sends), and how many blocked of how many
    accepted; where enough for a conclusion did."""
    may_be_slowed = and_(run.c.slow_step < SLOWEST, run.c.way != "narrowcast")
    rows = session.execute(
        select(response.c.run_id, may_be_slowed, func.count())
        .join(run, run.c.id == response.c.run_id)
        .where(run.c.state.in_(("planned", "sending")), response.c.has_blocked, response.c.state == "accepted")
        .group_by(response.c.run_id, run.c.slow_step, run.c.way)
        .having(func.count() >= FEWEST)
    ).all()
    accepted = dict.fromkeys((row[0] for row in rows), 0)
    for one in tallies(session, list(accepted)) if accepted else []:
        if one.state == "accepted":
            accepted[one.run_id] += one.people
    return {run_id: (bool(slowable), _Counts(blocked, accepted[run_id])) for run_id, slowable, blocked in rows}


def _judged_before(session: Session, counted: Mapping[int, object], action: str) -> dict[int, _Counts]:
    """Run -> the counts by which it was last slowed or paused."""
    if not counted:
        return {}
    rows = session.scalars(select(audit.c.detail).where(audit.c.action == action).order_by(audit.c.id))
    return {detail["run_id"]: _Counts(detail["blocked"], detail["people"]) for detail in rows}
