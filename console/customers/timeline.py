"""What happened with one customer, the newest first: orders, events, messages, tags, segments and consent in one line,
paged by key. Reads that person's rows only, each kind by its own index.

A moment is told apart by its time, its kind's rank and its id, in this order; a page begins after the moment that its
address names, so that nothing is shown twice or left out while more happens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlmodel import Session

from campaigns.results.tally import effective_state, with_batch
from segmentation.models import MODELS
from store.engine import table_of
from store.models import (
    BehaviourEvent,
    Campaign,
    CampaignRun,
    ConsentChange,
    CustomerTag,
    Delivery,
    SalesOrder,
    SegmentChange,
    SendBatch,
    Tag,
)

KINDS = ("order", "event", "message", "tag", "segment", "consent")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

order, event, change = table_of(SalesOrder), table_of(BehaviourEvent), table_of(SegmentChange)
delivery, batch, run, campaign = table_of(Delivery), table_of(SendBatch), table_of(CampaignRun), table_of(Campaign)
held, tag, consent = table_of(CustomerTag), table_of(Tag), table_of(ConsentChange)


@dataclass(frozen=True)
class Place:
    """Where a moment stands in the line. Time in microseconds since 1970."""

    at_us: int
    rank: int
    id: int

    def __str__(self) -> str:
        """As an address says it."""
        return f"{self.at_us}.{self.rank}.{self.id}"

    @property
    def at(self) -> datetime:
        """Its time (aware UTC)."""
        return EPOCH + self.at_us * MICROSECOND

    @classmethod
    def read(cls, text: str | None) -> "Place | None":
        """What an address says; None for nothing, and for what is no place."""
        parts = (text or "").split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
            return None
        found = cls(*(int(part) for part in parts))
        return found if found.at_us < 253_370_764_800_000_000 else None  # of the year 9999


@dataclass(frozen=True)
class Moment:
    """One thing that happened: `kind` of KINDS, `what` tells those of a kind apart, `row` holds its columns."""

    at: datetime
    kind: str
    what: str
    place: Place
    row: Any


@dataclass(frozen=True)
class Source:
    """Where moments of a kind come from: rows with `at` and `id`, of one customer."""

    kind: str
    what: str
    rows: Callable[[int], Select[Any]]
    at: ColumnElement[Any]
    id: ColumnElement[int]


def moments(
    session: Session, customer_id: int, *, kind: str | None = None, after: Place | None = None, limit: int
) -> list[Moment]:
    """At most `limit` moments of the customer that are older than the place `after`, the newest first; of one kind, or
    of all. Reads only."""
    found = [
        _read(session, source, rank, customer_id, after, limit)
        for rank, source in enumerate(SOURCES)
        if kind in (None, source.kind)
    ]
    return list(islice(merge(*found, key=_newest_first), limit))


def _newest_first(moment: Moment) -> tuple[int, int, int]:
    return -moment.place.at_us, moment.place.rank, -moment.place.id


def _read(
    session: Session, source: Source, rank: int, customer_id: int, after: Place | None, limit: int
) -> list[Moment]:
    wanted = source.rows(customer_id).add_columns(source.at.label("at"), source.id.label("place_id"))
    if after is not None:
        wanted = wanted.where(_is_older(source, rank, after))
    rows = session.execute(wanted.order_by(source.at.desc(), source.id.desc()).limit(limit))
    return [
        Moment(row.at, source.kind, source.what, Place((row.at - EPOCH) // MICROSECOND, rank, row.place_id), row)
        for row in rows
    ]


def _is_older(source: Source, rank: int, after: Place) -> ColumnElement[bool]:
    if rank > after.rank:  # at the same moment kinds stand in the order of their ranks
        return source.at <= after.at
    if rank < after.rank:
        return source.at < after.at
    return or_(source.at < after.at, and_(source.at == after.at, source.id < after.id))


def _orders(customer_id: int) -> Select[Any]:
    columns = (order.c.order_id, order.c.total, order.c.currency, order.c.status, order.c.coupon)
    return select(*columns).where(order.c.customer_id == customer_id)


def _events(customer_id: int) -> Select[Any]:
    columns = [event.c[name] for name in ("kind", "source", "sku", "topic", "campaign_id", "payload")]
    found = select(*columns, campaign.c.name.label("campaign_name"))
    found = found.select_from(event.outerjoin(campaign, campaign.c.id == event.c.campaign_id))
    return found.where(event.c.customer_id == customer_id)


_SENT_AT = func.coalesce(delivery.c.sent_at, batch.c.sent_at, run.c.scheduled_for, type_=run.c.scheduled_for.type)


def _messages(customer_id: int) -> Select[Any]:
    columns = (campaign.c.id.label("campaign_id"), campaign.c.name, delivery.c.reason, effective_state().label("state"))
    found: Select[Any] = with_batch(select(*columns)).join(run, run.c.id == delivery.c.run_id)
    return found.join(campaign, campaign.c.id == run.c.campaign_id).where(delivery.c.customer_id == customer_id)


def _tags(customer_id: int) -> Select[Any]:
    names = ("source", "strength", "evidence", "off_evidence")
    found = select(*(held.c[name] for name in names), tag.c.id.label("tag_id"), tag.c.name)
    return found.join(tag, tag.c.id == held.c.tag_id).where(held.c.customer_id == customer_id)


def _taken_off(customer_id: int) -> Select[Any]:
    return _tags(customer_id).where(held.c.until.is_not(None))


def _segments(customer_id: int) -> Select[Any]:
    columns = [change.c[name] for model in MODELS for name in (f"old_{model}", model)]
    return select(change.c.is_relabelled, *columns).where(change.c.customer_id == customer_id)


def _consent(customer_id: int) -> Select[Any]:
    return select(consent.c.refuses, consent.c.actor).where(consent.c.customer_id == customer_id)


SOURCES = (
    Source("order", "order", _orders, order.c.ordered_at, order.c.id),
    Source("event", "event", _events, event.c.occurred_at, event.c.id),
    Source("message", "message", _messages, _SENT_AT, delivery.c.run_id),
    Source("tag", "on", _tags, held.c.since, held.c.id),
    Source("tag", "off", _taken_off, held.c.until, held.c.id),
    Source("segment", "moved", _segments, change.c.changed_at, change.c.id),
    Source("consent", "consent", _consent, consent.c.at, consent.c.id),
)


def moves_of(row: Any) -> list[tuple[str, str | None, str | None]]:
    """(model, segment before, segment after) of each model in which a `moved` row tells of a move."""
    values: Mapping[str, Any] = row._mapping
    pairs = [(model, values[f"old_{model}"], values[model]) for model in MODELS]
    return [pair for pair in pairs if pair[1] != pair[2]]


def words_in(payload: Mapping[str, Any]) -> str | None:
    """What a customer wrote, of a message event's payload; None for what holds no words."""
    message = payload.get("message")
    text = message.get("text") if isinstance(message, Mapping) else payload.get("text")
    return text if isinstance(text, str) and text else None
