"""What was sent, tapped and brought: batches, deliveries, clicks, orders credited, results kept."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, Text, text
from sqlmodel import Field

from store.models.base import Row, key, ref
from store.types import BigId, Decimal4, UTCDateTime


class SendBatch(Row, table=True):
    """The unit of claiming: up to 500 recipients of a run. For multicast it is also one call with one retry key."""

    __table_args__ = (Index(None, "state", "run_id", "batch_number"),)

    run_id: int = ref("campaign_run.id", primary_key=True)
    batch_number: int = Field(primary_key=True)
    recipient_count: int
    variant_id: int | None = Field(default=None, sa_type=BigId)  # null: several, or not chosen yet
    language: str | None = None  # multicast: whose version the body is; null: the plain one
    wave: int = 0  # 0 goes at once; later ones wait for what the first teaches (state waiting)
    state: str = "due"  # waiting due claimed done | multicast also: accepted failed unknown split
    retry_key: str | None = None  # multicast only; a push has its own on the delivery
    claimed_by: str | None = None  # null unless claimed, like the next
    lease_until: datetime | None = Field(default=None, sa_type=UTCDateTime)
    not_before: datetime | None = Field(default=None, sa_type=UTCDateTime)  # back-off; null: at once
    attempts: int = 0
    first_attempt_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # set while a call may be in doubt
    begun_up_to: int | None = Field(default=None, sa_type=BigId)  # push: in doubt are customers up to this id only
    sent_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # multicast: when it was accepted
    request_id: str | None = None  # LINE's, of the accepted call
    problem: str | None = Field(default=None, sa_type=Text)
    is_tallied: bool = False  # its deliveries stand in run_tally; whoever changes one of them takes this back


class Delivery(Row, table=True):
    """One recipient of one run. State `chosen` of a multicast follows its batch (see campaigns/results/tally.py).

    Run and customer are no foreign keys: checking them is half of what a million rows cost on PostgreSQL. In their
    place, whoever makes deliveries or merges customers holds one lock (store/locks.py)."""

    __table_args__ = (Index(None, "run_id", "batch_number"), Index(None, "customer_id", "run_id"))

    run_id: int = Field(primary_key=True, sa_type=BigId)
    customer_id: int = Field(primary_key=True, sa_type=BigId)
    line_user_id: str | None = None  # null: skipped for want of an account, or they are erased
    variant_id: int | None = Field(default=None, sa_type=BigId)  # null: skipped, or not chosen yet (a later wave)
    segment: str | None = None  # the person's rfm8 segment when the audience was frozen; null: none then
    state: str  # chosen held_out skipped accepted failed unknown
    reason: str | None = None  # why skipped, failed or unknown
    batch_number: int | None = None  # null: held out or skipped
    retry_key: str | None = None  # push only, made before the first attempt
    by_reply: bool = False  # it went, or is going, with a free reply
    first_attempt_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # set when an attempt is in doubt
    sent_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    request_id: str | None = None


class Click(Row, table=True):
    """One fetch of a tracked link, stored raw; people told from robots by `kind`."""

    __table_args__ = (
        Index(None, "run_id", "kind", "customer_id", "tapped_by_id"),
        Index(
            None,
            "tapped_by_id",
            sqlite_where=text("tapped_by_id IS NOT NULL"),
            postgresql_where=text("tapped_by_id IS NOT NULL"),
        ),
        Index(
            "ix_click_without_event",
            "id",
            sqlite_where=text("NOT has_event"),
            postgresql_where=text("NOT has_event"),
        ),
    )

    id: int | None = key()
    link_id: int = ref("tracked_link.id")
    run_id: int | None = ref("campaign_run.id", nullable=True)  # null: a shop's code
    customer_id: int | None = ref("customer.id", nullable=True)  # for whom the link was made; null: for everyone
    tapped_by_id: int | None = ref("customer.id", nullable=True)  # who tapped, proven by LIFF; null: not proven
    clicked_at: datetime = Field(sa_type=UTCDateTime)
    kind: str  # person | forward (a person, but not the one it was made for) | preview | robot
    user_agent: str = Field(sa_type=Text)
    has_event: bool = False  # a behaviour event was made of it, or none is due (robots, links without a person)


class MessageResult(Row, table=True):
    """What one message brought from one segment: the unit that keyword effects are learned from. Rebuildable.

    Written by campaigns/results/learning.py, read by keywords/effects/results.py.
    """

    __table_args__ = (Index(None, "changed_at", "recipients", "clicks"),)  # "did anything change" reads only this

    run_id: int = ref("campaign_run.id", primary_key=True)
    variant_id: int = ref("variant.id", primary_key=True)
    segment: str = Field(primary_key=True)  # the recipients' rfm8 when the audience was frozen; "none" without one
    theme: str | None = None
    channel: str
    format: str = Field(default="", sa_column_kwargs={"server_default": ""})  # its messages' types: "text+flex"
    # us: links of their own tell who tapped; line: LINE's sum of a multicast or narrowcast
    counted_by: str = Field(default="us", sa_column_kwargs={"server_default": "us"})
    message_text: str = Field(sa_type=Text)  # the words as written, fields not yet filled in
    sent_at: datetime = Field(sa_type=UTCDateTime)
    recipients: int  # accepted by LINE
    clicks: int  # unique people among them who tapped
    changed_at: datetime = Field(sa_type=UTCDateTime)  # when a figure of it last became another


class RunTally(Row, table=True):
    """How many deliveries of a run are in a state: kept sums, so that no page counts a million rows. Rebuildable.

    One row per batch while the run is being sent; 0 for those without a batch, and for all of them once it is over.
    """

    run_id: int = ref("campaign_run.id", primary_key=True)
    batch_number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    variant_id: int = Field(primary_key=True, sa_type=BigId, sa_column_kwargs={"autoincrement": False})  # 0: none
    segment: str = Field(primary_key=True)  # "none" for none
    state: str = Field(primary_key=True)  # of the delivery itself; over, it is what became of the batch
    reason: str = Field(primary_key=True)  # "" for none
    by_reply: bool = Field(primary_key=True)
    people: int


class RunResponse(Row, table=True):
    """What somebody in a run did after it: one row for each person who did anything. Rebuildable, like OrderCredit.

    Orders and revenue are those inside the run's window, for reached and held out alike: what lift is counted from.
    Those credited (each order to one run, over all campaigns) stand in order_credit and are summed here.
    """

    run_id: int = ref("campaign_run.id", primary_key=True)
    customer_id: int = ref("customer.id", primary_key=True, index=True)
    variant_id: int | None = Field(default=None, sa_type=BigId)  # null: as in the delivery, whose next two are too
    segment: str  # "none" for none
    state: str
    has_clicked: bool = False
    has_blocked: bool = False
    orders: int = 0
    revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4)
    # Of these, what counts where several runs of the campaign are added up: each order in the last run before it
    own_orders: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    own_revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4, sa_column_kwargs={"server_default": "0"})
    tap_orders: int = 0  # credited by the last tap
    tap_revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4)
    delivery_orders: int = 0  # credited by the last delivery
    delivery_revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4)


class OrderCredit(Row, table=True):
    """Which one message an order is credited to, over all campaigns: by the last tap, or by the last delivery."""

    __table_args__ = (Index(None, "run_id", "basis"),)

    sales_order_id: int = ref("sales_order.id", primary_key=True)
    basis: str = Field(primary_key=True)  # tap | delivery
    run_id: int = ref("campaign_run.id")
    customer_id: int = ref("customer.id", index=True)
    variant_id: int | None = ref("variant.id", nullable=True)  # null: the delivery had none
    amount: Decimal = Field(sa_type=Decimal4)
    since: datetime = Field(sa_type=UTCDateTime)  # of the tap or the delivery
    ordered_at: datetime = Field(sa_type=UTCDateTime)


class ResponseDue(Row, table=True):
    """Somebody in a run who tapped, bought or left: what they did after it is to be worked out anew. Written in the
    transaction of the fact, as CustomerChange is; see store/changes.py."""

    __table_args__ = {"sqlite_autoincrement": True}  # an id that was seen must never be given again

    id: int | None = key()
    customer_id: int = ref("customer.id")
    after_run_id: int | None = Field(default=None, sa_type=BigId)  # not before its audience is frozen; null: at once


class SendPace(Row, table=True):
    """The shared pacer: when the next call of this kind may go out, for all workers together."""

    channel_id: int = ref("channel.id", primary_key=True)
    endpoint: str = Field(primary_key=True)
    free_at_us: int = Field(default=0, sa_type=BigId)  # microseconds since 1970


class Heartbeat(Row, table=True):
    """When each job last ran to its end, so that a stuck one is seen."""

    job: str = Field(primary_key=True)
    finished_at: datetime = Field(sa_type=UTCDateTime)
    problem: str | None = Field(default=None, sa_type=Text)
