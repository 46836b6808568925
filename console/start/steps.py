"""The first steps of a brand, and which of them are done: by what the database holds, never by a tick that somebody
set."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select
from sqlmodel import Session

from console.start.own_line import own_lines
from store.asked import SAMPLE_LOAD, SAMPLE_REMOVE, request_for
from store.engine import table_of
from store.models import Campaign, CampaignDraft, Channel, ConsoleLine, CustomerSegment, SalesOrder, SampleRow

campaign, order, marked = table_of(Campaign), table_of(SalesOrder), table_of(SampleRow)
draft, channel, scored = table_of(CampaignDraft), table_of(Channel), table_of(CustomerSegment)

# in the order in which each makes the next possible
STEPS = ("account", "token", "webhook", "own_line", "orders", "segments", "campaign", "test")


@dataclass(frozen=True)
class Step:
    """One step. The first that is not done is `is_next`."""

    name: str
    is_done: bool
    is_next: bool


@dataclass(frozen=True)
class First:
    """All steps, and what they are told with."""

    steps: list[Step]
    channels: list[Channel]
    own: dict[int, ConsoleLine]
    open_draft_id: int | None

    @property
    def is_over(self) -> bool:
        return all(step.is_done for step in self.steps)


@dataclass(frozen=True)
class Sample:
    """Whether the sample data is in, and whether the worker is at it. `problem`: why the newest asking failed."""

    is_loaded: bool
    is_waiting: bool
    problem: str | None


def sample_state(session: Session) -> Sample:
    """How the sample data stands. Reads only."""
    asked = [one for work in (SAMPLE_LOAD, SAMPLE_REMOVE) if (one := request_for(session, work)) is not None]
    newest = max(asked, key=lambda one: one.asked_at, default=None)
    return Sample(
        is_loaded=session.scalar(select(marked.c.row_id).limit(1)) is not None,
        is_waiting=any(one.done_at is None for one in asked),
        problem=newest.problem if newest is not None and newest.done_at is not None else None,
    )


def first_steps(session: Session, user_id: int) -> First:
    """How far the brand, and `user_id` with their own LINE, have come. Reads only; asks for no more than whether there
    is a row."""
    channels = list(session.scalars(select(Channel).where(_is_ours(channel)).order_by(channel.c.id)))
    own = own_lines(session, user_id)
    open_draft = select(draft.c.id).where(draft.c.done_at.is_(None)).order_by(draft.c.id.desc()).limit(1)
    open_draft_id = session.scalar(open_draft)
    done = {
        "account": True,  # of whoever looks at the page
        "token": any(one.token_checked_at or one.quota_read_at for one in channels),
        "webhook": any(one.destination for one in channels),
        "own_line": any(one.line_account_id for one in own.values()),
        "orders": bool(session.scalar(select(exists().where(_is_somebodys_own(order))))),
        # the worker computes at night as well, when nobody has bought anything yet
        "segments": bool(session.scalar(select(exists().where(scored.c.rf11.is_not(None), _is_somebodys_own(scored))))),
        "campaign": open_draft_id is not None or bool(session.scalar(select(exists().where(_is_ours(campaign))))),
        "test": any(one.tested_at for one in own.values()),
    }
    following = next((name for name in STEPS if not done[name]), None)
    steps = [Step(name, done[name], name == following) for name in STEPS]
    return First(steps, channels, own, open_draft_id)


def _marked(table_name: str) -> Any:
    """SQL: ids of the sample's rows of a table."""
    return select(marked.c.row_id).where(marked.c.table_name == table_name)


def _is_somebodys_own(table: Any) -> Any:
    """SQL: this row is of a customer of the brand, not of the sample's."""
    return table.c.customer_id.not_in(_marked("customer"))


def _is_ours(table: Any) -> Any:
    """SQL: this row is the brand's own, not the sample's."""
    return table.c.id.not_in(_marked(table.name))
