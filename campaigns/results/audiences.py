"""From a result to an audience: those who tapped, who didn't, who bought … as a list that campaigns can be sent to."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, and_, exists, not_, or_, select
from sqlmodel import Session

from campaigns.audience.lists import make_list
from campaigns.results.newest import run_of
from campaigns.results.tally import effective_state, with_batch
from store.clock import Clock
from store.engine import reading, table_of
from store.errors import BadInput
from store.models import CampaignRun, Delivery, RunResponse

SLICE = 4_000  # people read at once

delivery, response, run = table_of(Delivery), table_of(RunResponse), table_of(CampaignRun)

_BOUGHT = or_(response.c.orders > 0, response.c.tap_orders > 0, response.c.delivery_orders > 0)
# Name -> (the delivery's state that is asked for, what they must have done, what they must not have done)
WHO: dict[str, tuple[str, Any, Any]] = {
    "sent": ("accepted", None, None),
    "clicked": ("accepted", response.c.has_clicked, None),
    "not_clicked": ("accepted", None, response.c.has_clicked),
    "bought": ("accepted", _BOUGHT, None),
    "not_bought": ("accepted", None, _BOUGHT),
    "clicked_not_bought": ("accepted", response.c.has_clicked, _BOUGHT),
    "blocked": ("accepted", response.c.has_blocked, None),
    "held_out": ("held_out", None, None),
    "failed": ("failed", None, None),
    "unknown": ("unknown", None, None),
    "skipped": ("skipped", None, None),
}


def list_of_result(
    engine: Engine, campaign_id: int, *, who: str, name: str, actor: str, clock: Clock, run_id: int | None = None
) -> int:
    """Make a list `name` of those whom `who` means, in all runs of a campaign or in one of them; returns how many. Who
    did something in any of the runs did it; the list doesn't move afterwards.

    Raises BadInput for an unknown `who` and as make_list does, NotFound.
    """
    if who not in WHO:
        raise BadInput(f"{who!r} is none of {', '.join(WHO)}")
    with reading(engine) as session:
        run_ids = _runs(session, campaign_id, run_id)
    # asked of the database: of many runs the ids are more than a statement takes
    among = select(run.c.id).where(run.c.campaign_id == campaign_id) if run_id is None else [run_id]
    origin = {"campaign_id": campaign_id, "run_ids": run_ids, "who": who}
    people = (found for one in run_ids for found in _people(engine, one, among, who))
    return make_list(engine, name, people, origin=origin, actor=actor, clock=clock)


def _runs(session: Session, campaign_id: int, run_id: int | None) -> list[int]:
    if run_id is not None:
        return [run_of(session, campaign_id, run_id).id or 0]
    found = session.scalars(select(run.c.id).where(run.c.campaign_id == campaign_id).order_by(run.c.id.desc())).all()
    if not found:
        raise BadInput(f"campaign {campaign_id} has had no run yet")
    return list(found)


def _people(engine: Engine, run_id: int, among: Any, who: str) -> Iterator[int]:
    """The ids of those in one run whom `who` means by all the runs `among` (ids, or SQL for them), ascending."""
    state, did, did_not = WHO[who]
    theirs = and_(response.c.customer_id == delivery.c.customer_id, response.c.run_id.in_(among))
    wanted = [delivery.c.run_id == run_id, effective_state() == state]
    if did is not None:
        wanted.append(exists().where(theirs, did))
    if did_not is not None:
        wanted.append(not_(exists().where(theirs, did_not)))
    found = with_batch(select(delivery.c.customer_id)).where(*wanted).order_by(delivery.c.customer_id).limit(SLICE)
    after = 0
    while True:
        with reading(engine) as session:
            ids = session.scalars(found.where(delivery.c.customer_id > after)).all()
        yield from ids
        if len(ids) < SLICE:
            return
        after = ids[-1]
