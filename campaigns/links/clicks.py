"""Taps: a durable record of each, and what follows from it: forwards told, behaviour events made, topic tags put on."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import func, select, tuple_, update
from sqlmodel import Session, SQLModel

from campaigns.links.kinds import ClickKind, are_forwards
from campaigns.links.tokens import Tap
from segmentation.tags.hand import TopicTap, put_on_by_taps
from store.changes import note_changes, note_responses
from store.engine import insert_for, table_of
from store.models import BehaviourEvent, Campaign, Click, TrackedLink

MAX_USER_AGENT = 300  # stored


class Append(Protocol):
    """The part of store.journal.Journal used here."""

    def append(self, model: type[SQLModel], row: Mapping[str, object], *more: Mapping[str, object]) -> None:
        """Return when the rows are durable; raise JournalFailed if they are not."""


def who_tapped() -> Any:
    """SQL for the customer who tapped, as far as known: proven by LIFF, else the one whom a person's link was made for.
    NULL for a shop's code or one body for everyone without LIFF, and for a forward to somebody unknown."""
    click = table_of(Click)
    return func.coalesce(click.c.tapped_by_id, click.c.customer_id)


def record_tap(
    journal: Append, tap: Tap, *, kind: ClickKind, user_agent: str, now: datetime, tapped_by_id: int | None = None
) -> None:
    """Make a tap durable; returns after the commit. Raises JournalFailed when it could not be stored."""
    journal.append(
        Click,
        {
            "link_id": tap.link_id,
            "run_id": tap.run_id,
            "customer_id": tap.customer_id,
            "tapped_by_id": tapped_by_id,
            "clicked_at": now,
            "kind": kind,
            "user_agent": user_agent[:MAX_USER_AGENT],
            "has_event": False,
        },
    )


def make_click_events(session: Session, *, now: datetime, limit: int = 2_000) -> int:
    """Look at up to `limit` new clicks: tell forwards, turn those of known people into behaviour events, and put the
    tags of their links' topics on; returns how many were looked at.

    Repeatable: the event's key is the click's id, so twice is once.
    """
    click, campaign, link = table_of(Click), table_of(Campaign), table_of(TrackedLink)
    rows = session.execute(
        select(click, campaign.c.channel_id, link.c.campaign_id, link.c.topic)
        .join(link, link.c.id == click.c.link_id)
        .outerjoin(campaign, campaign.c.id == link.c.campaign_id)
        .where(~click.c.has_event)
        .order_by(click.c.id)
        .limit(limit)
        .with_for_update(of=click, skip_locked=True)
    ).all()
    forwards = _mark_forwards(session, rows)
    taps = [(row, who) for row in rows if (who := _who(row, forwards)) is not None]
    events = [
        {
            "event_key": f"click:{row.id}",
            "source": "link",
            "kind": "click",
            "channel_id": row.channel_id,
            "customer_id": who,
            "topic": row.topic,
            "campaign_id": row.campaign_id,
            "occurred_at": row.clicked_at,
            "received_at": now,
            "payload": {"link_id": row.link_id, "run_id": row.run_id},
        }
        for row, who in taps
    ]
    if events:
        session.connection().execute(
            insert_for(session, BehaviourEvent).on_conflict_do_nothing(index_elements=["event_key"]), events
        )
    topics = [TopicTap(who, row.topic, row.link_id, row.campaign_id, row.clicked_at) for row, who in taps if row.topic]
    put_on_by_taps(session, topics, now)
    note_changes(session, {who for _, who in taps}, now)
    note_responses(session, {who for _, who in taps} | {row.customer_id for row in rows if row.id in forwards})
    session.execute(update(click).where(click.c.id.in_([row.id for row in rows])).values(has_event=True))
    return len(rows)


def _who(row: Any, forwards: set[int]) -> int | None:
    """Whose behaviour a click is; None: nobody's that we know. A forward is its tapper's, where LIFF has told."""
    if row.kind not in ("person", "forward"):
        return None
    if row.tapped_by_id is not None:
        found: int = row.tapped_by_id
        return found
    return None if row.kind == "forward" or row.id in forwards else row.customer_id


def _mark_forwards(session: Session, rows: Any) -> set[int]:
    """The ids of those new taps on people's own links that came from other devices; their kind is changed."""
    click = table_of(Click)
    new = {row.id for row in rows if row.kind == "person" and row.run_id and row.customer_id and not row.tapped_by_id}
    whose = {(row.run_id, row.customer_id) for row in rows if row.id in new}
    if not whose:
        return set()
    all_taps = session.execute(
        select(click.c.id, click.c.run_id, click.c.customer_id, click.c.tapped_by_id, click.c.user_agent)
        .where(tuple_(click.c.run_id, click.c.customer_id).in_(whose), click.c.kind == "person")
        # What LIFF has proven to be the person's own device tells more than who came first.
        .order_by(click.c.tapped_by_id.is_(None), click.c.clicked_at, click.c.id)
    ).all()
    of_person = defaultdict(list)
    for tap in all_taps:
        of_person[(tap.run_id, tap.customer_id)].append(tap)
    forwards = set()
    for taps in of_person.values():
        flags = are_forwards([tap.user_agent for tap in taps])
        forwards |= {tap.id for tap, is_forward in zip(taps, flags, strict=True) if is_forward and tap.id in new}
    session.execute(update(click).where(click.c.id.in_(forwards)).values(kind="forward"))
    return forwards
