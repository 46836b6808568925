"""What happened: webhook bodies, behaviour events, orders, products; and the logs kept beside them."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field

from store.models.base import Row, json_of, key, ref
from store.types import BigId, Decimal4, UTCDateTime


class WebhookBody(Row, table=True):
    """The inbox: one signed request body, exactly as it came. Deleted once its events are stored."""

    id: int | None = key()
    channel_id: int = ref("channel.id")
    received_at: datetime = Field(sa_type=UTCDateTime)
    body: bytes = Field(sa_type=LargeBinary)
    problem: str | None = Field(default=None, sa_type=Text)  # null: still to be read; else set aside, and why


class BehaviourEvent(Row, table=True):
    """One immutable fact about a customer at a time."""

    __table_args__ = (
        Index(None, "customer_id", "occurred_at"),
        Index(
            None,
            "message_id",
            sqlite_where=text("message_id IS NOT NULL"),
            postgresql_where=text("message_id IS NOT NULL"),
        ),
        Index(
            "ix_behaviour_event_cart",
            "occurred_at",
            sqlite_where=text("kind = 'add_to_cart'"),
            postgresql_where=text("kind = 'add_to_cart'"),
        ),
    )

    id: int | None = key()
    event_key: str = Field(unique=True)  # the sender's id (LINE's webhookEventId, "click:…"): twice is once
    source: str  # line | link | brand (its site or till)
    kind: str  # LINE's event type, known to us or not; "click"; of the brand: "product_view", "page_view", …
    channel_id: int | None = ref("channel.id", nullable=True)  # null: it did not come over a LINE channel
    customer_id: int | None = ref("customer.id", nullable=True)  # null: no user in it (group, failed link)
    sku: str | None = None  # the product it is about; null for none
    topic: str | None = None  # of the link tapped or the page read; null for none
    campaign_id: int | None = ref("campaign.id", nullable=True)  # whose link was tapped; null otherwise
    occurred_at: datetime = Field(sa_type=UTCDateTime)
    received_at: datetime = Field(sa_type=UTCDateTime)
    message_id: str | None = None  # LINE's, of a message or of its unsending; null for other kinds
    payload: dict[str, Any] = json_of(dict)  # raw; words are taken out on `unsend`


class Reply(Row, table=True):
    """An answer owed for one event, by its reply token. Replies have no retry key: tried once, never repeated."""

    id: int | None = key()
    event_id: int = Field(foreign_key="behaviour_event.id", sa_type=BigId, unique=True)
    channel_id: int = ref("channel.id")
    reply_token: str
    messages: list[dict[str, Any]] = json_of(list)
    expires_at: datetime = Field(sa_type=UTCDateTime)
    state: str = Field(default="due", index=True)  # due | sending | sent | expired | failed | unknown
    problem: str | None = Field(default=None, sa_type=Text)
    run_id: int | None = Field(default=None, sa_type=BigId)  # the campaign's run that rides along; null: none
    customer_id: int | None = Field(default=None, sa_type=BigId)  # whose delivery of that run; null with it


class SalesOrder(Row, table=True):
    """An order of a customer."""

    __table_args__ = (Index(None, "customer_id", "ordered_at"), Index(None, "ordered_at"))

    id: int | None = key()
    order_id: str = Field(unique=True)  # the brand's
    customer_id: int = ref("customer.id")
    ordered_at: datetime = Field(sa_type=UTCDateTime)
    currency: str = "TWD"
    total: Decimal = Field(sa_type=Decimal4)
    coupon: str | None = None
    status: str = "paid"  # paid | refunded | cancelled


class OrderLine(Row, table=True):
    """One line of an order."""

    __table_args__ = (UniqueConstraint("sales_order_id", "line_number"),)

    id: int | None = key()
    sales_order_id: int = ref("sales_order.id")
    line_number: int
    sku: str = Field(index=True)
    quantity: Decimal = Field(sa_type=Decimal4)
    unit_price: Decimal = Field(sa_type=Decimal4)
    discount: Decimal = Field(default=Decimal(0), sa_type=Decimal4)


class Product(Row, table=True):
    """An article of the brand's catalogue."""

    id: int | None = key()
    sku: str = Field(unique=True)
    name: str
    description: str | None = Field(default=None, sa_type=Text)
    categories: list[str] = json_of(list)
    labels: list[str] = json_of(list)
    price: Decimal | None = Field(default=None, sa_type=Decimal4)
    in_stock: bool | None = None
    url: str | None = Field(default=None, sa_type=Text)


class ProductLabel(Row, table=True):
    """A label proposed for a product from its words. An approved one stands in `Product.labels` too."""

    product_id: int = ref("product.id", primary_key=True)
    label: str = Field(primary_key=True)
    state: str = "proposed"  # proposed | approved | rejected: what a person rejected is never proposed again
    evidence: dict[str, Any] = json_of(dict)  # the words that it was proposed for, and its score
    proposed_at: datetime = Field(sa_type=UTCDateTime)
    decided_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: nobody has decided, like the next
    decided_by: str | None = None


class CustomerChange(Row, table=True):
    """The log of what is to be computed anew: somebody whose facts changed. Written in the transaction of the fact,
    only ever added to; whoever has computed the customer deletes the rows that it had seen. See store/changes.py."""

    __table_args__ = {"sqlite_autoincrement": True}  # an id that was seen must never be given again

    id: int | None = key()
    customer_id: int = ref("customer.id")
    noted_at: datetime = Field(sa_type=UTCDateTime)
    after_run_id: int | None = Field(default=None, sa_type=BigId)  # not before this SegmentRun is over; null: at once


class Lease(Row, table=True):
    """Who does what only one process may do at a time, and until when it may be thought alive."""

    name: str = Field(primary_key=True)
    holder: str
    taken_at: datetime = Field(sa_type=UTCDateTime)
    lease_until: datetime = Field(sa_type=UTCDateTime)


class AuditEntry(Row, table=True):
    """Who did what to people's data: imports, exports, erasures, refusals obeyed."""

    id: int | None = key()
    at: datetime = Field(sa_type=UTCDateTime)
    actor: str
    action: str
    detail: dict[str, Any] = json_of(dict)  # ids and counts only, never people's words
