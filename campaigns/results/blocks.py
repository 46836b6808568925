"""The brake: a run that makes more people block the account than the brand allows is paused, with the reason."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session

from campaigns.planning.schedule import pause_for
from campaigns.results.alarm import is_above
from campaigns.results.tally import tallies
from campaigns.settings import read_settings
from store.engine import table_of
from store.models import AuditEntry, CampaignRun, RunResponse

ACTION = "pause run for blocks"
FEWEST = 3  # blocks, below which nothing is concluded

run, response, audit = table_of(CampaignRun), table_of(RunResponse), table_of(AuditEntry)


def runs_to_brake(session: Session) -> dict[int, tuple[int, int]]:
    """Run being sent -> (people who blocked, of so many accepted), where that is above the brand's limit, surely. After
    a run was braked and resumed, only those sent to since then are judged. Reads only."""
    percent = read_settings(session).block_limit_percent
    if percent is None:
        return {}
    counted = _blocked(session)
    accepted = _accepted(session, list(counted))
    limit = float(percent) / 100
    above = {key: (n, accepted[key]) for key, n in counted.items() if is_above(n, accepted[key], limit)}
    if not above:
        return {}
    judged = _judged_before(session)
    return {
        key: (blocked, people)
        for key, (blocked, people) in above.items()
        if is_above(blocked - judged.get(key, (0, 0))[0], people - judged.get(key, (0, 0))[1], limit)
    }


def brake(session: Session, run_id: int, blocked: int, people: int, *, now: datetime) -> None:
    """Pause the campaign of a run that `runs_to_brake` named, and note what it was judged by."""
    percent = read_settings(session).block_limit_percent
    pause_for(
        session,
        run_id,
        f"{blocked:,} of {people:,} people ({blocked / people:.1%}) blocked the account "
        f"after this message, above the limit of {percent:g} %; resume to send to the rest all the same",
    )
    detail = {"run_id": run_id, "blocked": blocked, "people": people}
    session.add(AuditEntry(at=now, actor="worker", action=ACTION, detail=detail))


def _blocked(session: Session) -> dict[int, int]:
    """Run being sent -> people of those accepted who blocked, where enough for a conclusion."""
    rows = session.execute(
        select(response.c.run_id, func.count())
        .join(run, run.c.id == response.c.run_id)
        .where(run.c.state.in_(("planned", "sending")), response.c.has_blocked, response.c.state == "accepted")
        .group_by(response.c.run_id)
        .having(func.count() >= FEWEST)
    )
    return {run_id: people for run_id, people in rows}  # noqa: C416 rows are not pairs to the type checker


def _accepted(session: Session, run_ids: Sequence[int]) -> dict[int, int]:
    accepted = dict.fromkeys(run_ids, 0)
    for one in tallies(session, run_ids) if run_ids else []:
        if one.state == "accepted":
            accepted[one.run_id] += one.people
    return accepted


def _judged_before(session: Session) -> dict[int, tuple[int, int]]:
    """Run -> (blocked, people) when it was last braked."""
    rows = session.scalars(select(audit.c.detail).where(audit.c.action == ACTION).order_by(audit.c.id))
    return {detail["run_id"]: (detail["blocked"], detail["people"]) for detail in rows}
