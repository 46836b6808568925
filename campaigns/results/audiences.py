"""From a result to an audience: those who tapped, who didn't, who bought … as a list that campaigns can be sent to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, and_, exists, func, not_, or_, select
from sqlmodel import Session

from campaigns.audience.lists import make_list
from campaigns.results.newest import run_of
from campaigns.results.tally import effective_state, with_batch
from segmentation.models import MODELS
from store.clock import Clock
from store.engine import reading, table_of
from store.errors import BadInput, NotFound
from store.models import CampaignRun, Delivery, RunResponse, Variant

SLICE = 4_000  # people read at once
NO_SEGMENT = "none"  # as tally.py sums those who were in none

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


@dataclass(frozen=True)
class Asked:
    """Whom a list is to hold: those of one run (None: of all), who were given one variant, who were in one segment of
    `rfm8` when the audience was frozen ("none": in none)."""

    who: str
    run_id: int | None = None
    variant_id: int | None = None
    segment: str | None = None


def list_of_result(engine: Engine, campaign_id: int, asked: Asked, *, name: str, actor: str, clock: Clock) -> int:
    """Make a list `name` of those in a campaign's runs who are asked for; returns how many. Who did something in any of
    the runs did it; the list doesn't move afterwards.

    Raises BadInput for a `who` or segment that there isn't and as make_list does, NotFound.
    """
    if asked.who not in WHO:
        raise BadInput(f"{asked.who!r} is none of {', '.join(WHO)}")
    segments = [*(segment.name for segment in MODELS["rfm8"]), NO_SEGMENT]
    if asked.segment not in (None, *segments):
        raise BadInput(f"{asked.segment!r} is none of {', '.join(segments)}")
    with reading(engine) as session:
        run_ids = _runs(session, campaign_id, asked)
    # asked of the database: of many runs the ids are more than a statement takes
    among = select(run.c.id).where(run.c.campaign_id == campaign_id) if asked.run_id is None else [asked.run_id]
    origin = {"campaign_id": campaign_id, "run_ids": run_ids, "who": asked.who}
    origin |= {key: value for key in ("variant_id", "segment") if (value := getattr(asked, key)) is not None}
    people = (found for one in run_ids for found in _people(engine, one, among, asked))
    return make_list(engine, name, people, origin=origin, actor=actor, clock=clock)


def _runs(session: Session, campaign_id: int, asked: Asked) -> list[int]:
    if asked.variant_id is not None:
        variant = session.get(Variant, asked.variant_id)
        if variant is None or variant.campaign_id != campaign_id:
            raise NotFound(f"campaign {campaign_id} has no variant {asked.variant_id}")
    if asked.run_id is not None:
        return [run_of(session, campaign_id, asked.run_id).id or 0]
    found = session.scalars(select(run.c.id).where(run.c.campaign_id == campaign_id).order_by(run.c.id.desc())).all()
    if not found:
        raise BadInput(f"campaign {campaign_id} has had no run yet")
    return list(found)


def _people(engine: Engine, run_id: int, among: Any, asked: Asked) -> Iterator[int]:
    """The ids of those in one run who are asked for, with what they did in all the runs `among` (ids, or SQL for them),
    ascending."""
    state, did, did_not = WHO[asked.who]
    theirs = and_(response.c.customer_id == delivery.c.customer_id, response.c.run_id.in_(among))
    wanted = [delivery.c.run_id == run_id, effective_state() == state]
    if asked.variant_id is not None:
        wanted.append(delivery.c.variant_id == asked.variant_id)
    if asked.segment is not None:
        wanted.append(func.coalesce(delivery.c.segment, NO_SEGMENT) == asked.segment)
    if did is not None:
        wanted.append(exists().where(theirs, did))
    if did_not is not None:
        wanted.append(not_(exists().where(theirs, did_not)))
    found = with_batch(select(delivery.c.customer_id)).where(*wanted).order_by(delivery.c.customer_id)
    of_run = select(delivery.c.customer_id).where(delivery.c.run_id == run_id).order_by(delivery.c.customer_id)
    after = 0
    while True:
        with reading(engine) as session:
            # Between bounds of the key: of a limit alone PostgreSQL, not knowing how large a run is, may read
            # all that is left of it for each page.
            rest = delivery.c.customer_id > after
            high = session.scalar(of_run.where(rest).offset(SLICE - 1).limit(1))
            page = found.where(rest) if high is None else found.where(rest, delivery.c.customer_id <= high)
            ids = session.scalars(page).all()
        yield from ids
        if high is None:
            return
        after = high
