"""Every table, on one page. Facts first (what happened), then what is worked out from them, then campaigns.

No behaviour lives here. Nullable columns say why they may be null. Names follow docs/glossary.md.
"""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, LargeBinary, MetaData, Text, UniqueConstraint, text
from sqlalchemy.orm import declared_attr
from sqlmodel import Field, SQLModel

from store.types import BigId, Decimal4, UTCDateTime

SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
).naming_convention


class Row(SQLModel):
    """Base of all tables: the table's name is the class's name in snake_case."""

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def _key() -> Any:
    return Field(default=None, primary_key=True, sa_type=BigId)


def _ref(target: str, *, index: bool = False, nullable: bool = False, primary_key: bool = False) -> Any:
    default: Any = None if nullable else ...
    return Field(default, foreign_key=target, sa_type=BigId, index=index, nullable=nullable, primary_key=primary_key)


def _json(default: Any) -> Any:
    return Field(default_factory=default, sa_type=JSON)


# --- who -------------------------------------------------------------------------------------------------------


class Channel(Row, table=True):
    """One LINE Official Account. Its secrets are settings, never rows."""

    id: int | None = _key()
    name: str = Field(unique=True)  # the <channel> of /webhook/<channel>
    destination: str | None = None  # the bot's user id; null until LINE has told us
    quota_limit: int | None = None  # LINE's messages a month; null: unlimited, or not read yet
    quota_used: int | None = None  # LINE's own approximate figure; null: not read yet, like the next
    quota_read_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    stopped_reason: str | None = None  # set when LINE refuses the token (401/403): nothing is sent until cleared
    units_of_others: int = 0  # names of aggregation units that LINE has counted in `units_month` beyond our own
    units_month: str | None = None  # 2026-11; null: LINE was never asked


class Customer(Row, table=True):
    """One person."""

    id: int | None = _key()
    member_id: str | None = Field(default=None, unique=True)  # the brand's own id; null until bound
    name: str | None = None  # given by the brand; null when unknown, like the next four
    gender: str | None = None
    birthday: date | None = None
    city: str | None = None
    language: str | None = None
    attributes: dict[str, Any] = _json(dict)
    marketing_refused_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # set: no marketing at all
    # LINE's time of the newest refusal or resumption: an older one that arrives late changes nothing
    refusal_changed_ms: int = Field(default=0, sa_type=BigId, sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(sa_type=UTCDateTime)


class LineAccount(Row, table=True):
    """A person's LINE identity on one channel."""

    __table_args__ = (UniqueConstraint("channel_id", "line_user_id"),)

    id: int | None = _key()
    channel_id: int = _ref("channel.id")
    line_user_id: str
    customer_id: int = _ref("customer.id", index=True)
    is_following: bool | None = None  # null: imported or seen only in a group, so not yet known
    follow_changed_ms: int = Field(default=0, sa_type=BigId)  # LINE's time of the newest follow or unfollow
    display_name: str | None = None  # null until the profile is fetched, like the next
    profile_language: str | None = None
    profile_due_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # null: nothing to fetch
    profile_tries: int = 0


# --- what happened ---------------------------------------------------------------------------------------------


class WebhookBody(Row, table=True):
    """The inbox: one signed request body, exactly as it came. Deleted once its events are stored."""

    id: int | None = _key()
    channel_id: int = _ref("channel.id")
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

    id: int | None = _key()
    event_key: str = Field(unique=True)  # the sender's id (LINE's webhookEventId, "click:…"): twice is once
    source: str  # line | link | brand (its site or till)
    kind: str  # LINE's event type, known to us or not; "click"; of the brand: "product_view", "page_view", …
    channel_id: int | None = _ref("channel.id", nullable=True)  # null: it did not come over a LINE channel
    customer_id: int | None = _ref("customer.id", nullable=True)  # null: no user in it (group, failed link)
    sku: str | None = None  # the product it is about; null for none
    topic: str | None = None  # of the link tapped or the page read; null for none
    campaign_id: int | None = _ref("campaign.id", nullable=True)  # whose link was tapped; null otherwise
    occurred_at: datetime = Field(sa_type=UTCDateTime)
    received_at: datetime = Field(sa_type=UTCDateTime)
    message_id: str | None = None  # LINE's, of a message or of its unsending; null for other kinds
    payload: dict[str, Any] = _json(dict)  # raw; words are taken out on `unsend`


class Reply(Row, table=True):
    """An answer owed for one event, by its reply token. Replies have no retry key: tried once, never repeated."""

    id: int | None = _key()
    event_id: int = Field(foreign_key="behaviour_event.id", sa_type=BigId, unique=True)
    channel_id: int = _ref("channel.id")
    reply_token: str
    messages: list[dict[str, Any]] = _json(list)
    expires_at: datetime = Field(sa_type=UTCDateTime)
    state: str = Field(default="due", index=True)  # due | sending | sent | expired | failed | unknown
    problem: str | None = Field(default=None, sa_type=Text)
    run_id: int | None = Field(default=None, sa_type=BigId)  # the campaign's run that rides along; null: none
    customer_id: int | None = Field(default=None, sa_type=BigId)  # whose delivery of that run; null with it


class SalesOrder(Row, table=True):
    """An order of a customer."""

    __table_args__ = (Index(None, "customer_id", "ordered_at"), Index(None, "ordered_at"))

    id: int | None = _key()
    order_id: str = Field(unique=True)  # the brand's
    customer_id: int = _ref("customer.id")
    ordered_at: datetime = Field(sa_type=UTCDateTime)
    currency: str = "TWD"
    total: Decimal = Field(sa_type=Decimal4)
    coupon: str | None = None
    status: str = "paid"  # paid | refunded | cancelled


class OrderLine(Row, table=True):
    """One line of an order."""

    __table_args__ = (UniqueConstraint("sales_order_id", "line_number"),)

    id: int | None = _key()
    sales_order_id: int = _ref("sales_order.id")
    line_number: int
    sku: str = Field(index=True)
    quantity: Decimal = Field(sa_type=Decimal4)
    unit_price: Decimal = Field(sa_type=Decimal4)
    discount: Decimal = Field(default=Decimal(0), sa_type=Decimal4)


class Product(Row, table=True):
    """An article of the brand's catalogue."""

    id: int | None = _key()
    sku: str = Field(unique=True)
    name: str
    description: str | None = Field(default=None, sa_type=Text)
    categories: list[str] = _json(list)
    labels: list[str] = _json(list)
    price: Decimal | None = Field(default=None, sa_type=Decimal4)
    in_stock: bool | None = None
    url: str | None = Field(default=None, sa_type=Text)


class ProductLabel(Row, table=True):
    """A label proposed for a product from its words. An approved one stands in `Product.labels` too."""

    product_id: int = _ref("product.id", primary_key=True)
    label: str = Field(primary_key=True)
    state: str = "proposed"  # proposed | approved | rejected: what a person rejected is never proposed again
    evidence: dict[str, Any] = _json(dict)  # the words that it was proposed for, and its score
    proposed_at: datetime = Field(sa_type=UTCDateTime)
    decided_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: nobody has decided, like the next
    decided_by: str | None = None


class CustomerChange(Row, table=True):
    """The log of what is to be computed anew: somebody whose facts changed. Written in the transaction of the fact,
    only ever added to; whoever has computed the customer deletes the rows that it had seen. See store/changes.py."""

    __table_args__ = {"sqlite_autoincrement": True}  # an id that was seen must never be given again

    id: int | None = _key()
    customer_id: int = _ref("customer.id")
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

    id: int | None = _key()
    at: datetime = Field(sa_type=UTCDateTime)
    actor: str
    action: str
    detail: dict[str, Any] = _json(dict)  # ids and counts only, never people's words


# --- what is worked out ----------------------------------------------------------------------------------------


class Rule(Row, table=True):
    """A saved condition on customers: an audience, the ground of a tag, or a part of other rules."""

    id: int | None = _key()
    name: str = Field(unique=True)
    definition: dict[str, Any] = _json(dict)  # see docs/rules.md
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)


class Tag(Row, table=True):
    """A label that people carry, and what puts it on and takes it off."""

    id: int | None = _key()
    name: str = Field(unique=True)
    kind: str = "fact"  # what it states: fact | model | predictive
    line: str = "static"  # how the line is drawn: static (absolute) | dynamic (relative to today's population)
    source: str = "hand"  # who puts it on: hand (people, imports, links) | group | rule | measure | preference
    definition: dict[str, Any] = _json(dict)  # what the source needs; empty for hand
    cut: float | None = None  # dynamic: where the line lay when it was last drawn; null: never yet, or static
    is_active: bool = True  # otherwise nothing is put on or taken off any more
    created_at: datetime = Field(sa_type=UTCDateTime)
    computed_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: never for the whole population
    problem: str | None = Field(default=None, sa_type=Text)  # why it can't be computed; null: it can


class CustomerTag(Row, table=True):
    """A tag on a customer, from `since` until `until`: history is kept."""

    __table_args__ = (
        Index(
            "uq_customer_tag_current",
            "tag_id",
            "customer_id",
            unique=True,
            sqlite_where=text("until IS NULL"),
            postgresql_where=text("until IS NULL"),
        ),
    )

    id: int | None = _key()
    tag_id: int = _ref("tag.id")
    customer_id: int = _ref("customer.id", index=True)
    since: datetime = Field(sa_type=UTCDateTime)
    until: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: it is on now
    strength: float = 1.0  # the decayed score of a preference, the chance of a prediction, 1 for others
    source: str = "hand"  # hand | import | link | group | rule | measure | preference: who put it on
    evidence: dict[str, Any] = _json(dict)  # why it was put on
    off_evidence: dict[str, Any] | None = Field(
        default=None, sa_type=JSON(none_as_null=True)
    )  # why it came off; null: it is on
    falls_off_on: date | None = None  # when it would come off if nothing more happens; null: never by itself


class TagCheck(Row, table=True):
    """A predictive tag held against what happened: of those who had it on a day, who did what it said."""

    tag_id: int = _ref("tag.id", primary_key=True)
    as_of: date = Field(primary_key=True)
    until: date  # the end of the horizon, exclusive
    people: int  # judged: everyone with a prediction on that day
    tagged: int
    happened: int  # among all judged
    hits: int  # tagged, and it happened
    computed_at: datetime = Field(sa_type=UTCDateTime)


class SegmentRun(Row, table=True):
    """One computation of all segments, as of the start of a day in the brand's time zone. One at a time, by the
    index: the running one holds a lease, so that a dead one can be taken over."""

    __table_args__ = (
        Index(
            "uq_segment_run_running",
            "state",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )

    id: int | None = _key()
    as_of: date
    state: str  # running finished failed
    settings: dict[str, Any] = _json(dict)  # cycle, scoring and cut points that made the result
    started_at: datetime = Field(sa_type=UTCDateTime)
    lease_until: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: running or failed
    customer_count: int = 0
    change_count: int = 0  # customers whose segment changed in some model
    last_change_id: int = Field(default=0, sa_type=BigId)  # the newest SegmentChange when it finished


class CustomerSegment(Row, table=True):
    """What the newest computation says of a customer. Null scores: no paid order in the look-back window."""

    customer_id: int = _ref("customer.id", primary_key=True)
    last_ordered_on: date | None = None
    frequency: int | None = None
    monetary: Decimal | None = Field(default=None, sa_type=Decimal4)
    r: int | None = None
    f: int | None = None
    m: int | None = None
    rf4: str | None = Field(default=None, index=True)
    rf11: str | None = Field(default=None, index=True)
    rfm3: str | None = Field(default=None, index=True)
    rfm8: str | None = Field(default=None, index=True)
    nesl: str = Field(index=True)
    nes: str = Field(index=True)
    cycle_days: int | None = None  # the person's own purchase cycle, shrunk to the brand's; null: no paid order
    nesl_personal: str = Field(default="never", index=True)  # by that cycle, like the next
    nes_personal: str = Field(default="never", index=True)
    loyalty: float | None = None  # (t / n) × s, 0 and more; null: no paid order
    loyalty_percentile: float | None = None  # 0..100 among those with a loyalty, when the population was last computed
    activity: str = Field(default="none", index=True)  # customer state
    paid_total: Decimal | None = Field(default=None, sa_type=Decimal4)  # all history: past lifetime value
    computed_at: datetime = Field(sa_type=UTCDateTime)


class SegmentChange(Row, table=True):
    """A customer's segments before and after a computation that changed at least one of them. Who was in which segment
    when follows from these, in the order of their ids. Null old_nesl: the customer was new. Other nulls: no paid
    order counted at that side."""

    __table_args__ = (
        Index(None, "customer_id", "id"),
        Index(None, "run_id", "as_of", "id"),
        {"sqlite_autoincrement": True},  # campaigns read on from an id: it must never be given again
    )

    id: int | None = _key()
    customer_id: int = _ref("customer.id")
    run_id: int | None = _ref("segment_run.id", nullable=True)  # null: between runs, after new facts
    as_of: date  # the day that it was computed for
    changed_at: datetime = Field(sa_type=UTCDateTime, index=True)
    old_rf4: str | None = None
    old_rf11: str | None = None
    old_rfm3: str | None = None
    old_rfm8: str | None = None
    old_nesl: str | None = None
    old_nes: str | None = None
    old_nesl_personal: str | None = None
    old_nes_personal: str | None = None
    old_activity: str | None = None
    rf4: str | None = None
    rf11: str | None = None
    rfm3: str | None = None
    rfm8: str | None = None
    nesl: str
    nes: str
    nesl_personal: str = "never"
    nes_personal: str = "never"
    activity: str = "none"


class BrandSetting(Row, table=True):
    """What the brand has chosen for its models, in place of the defaults: one row per group of settings."""

    name: str = Field(primary_key=True)  # "segments", "loyalty", "activity", …
    value: dict[str, Any] = _json(dict)
    updated_at: datetime = Field(sa_type=UTCDateTime)
    updated_by: str


class SegmentSizeOnDay(Row, table=True):
    """How many customers each segment had on a day, and what they had paid: written by each whole run."""

    as_of: date = Field(primary_key=True)
    model: str = Field(primary_key=True)
    segment: str = Field(primary_key=True)
    customers: int
    value: Decimal = Field(sa_type=Decimal4)


class PredictionRun(Row, table=True):
    """One computation of predictions for everyone, or why there is none. One at a time, by the index, as a
    SegmentRun."""

    __table_args__ = (
        Index(
            "uq_prediction_run_running",
            "state",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )

    id: int | None = _key()
    as_of: date
    state: str  # running finished failed off (too little data for every horizon)
    problem: str | None = Field(default=None, sa_type=Text)  # why off; null otherwise
    cycle_days: int  # the horizon of "the next cycle"
    quality: dict[str, Any] = _json(dict)  # per horizon: measured on held-back days, or why it is left out
    customer_count: int = 0
    started_at: datetime = Field(sa_type=UTCDateTime)
    lease_until: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: running or failed


class CustomerPrediction(Row, table=True):
    """What the newest prediction run says of a customer with a paid order. Null: too little data for that horizon."""

    customer_id: int = _ref("customer.id", primary_key=True)
    run_id: int = _ref("prediction_run.id")  # the run that last changed the row
    p_buy: float | None = None  # 0..1: at least one order in the next cycle
    churn_risk: float | None = None  # 0..1: no order within the churn horizon
    expected_orders: float | None = None  # in the next cycle
    spend_90: Decimal | None = Field(default=None, sa_type=Decimal4)  # expected, in the next 90 days
    spend_365: Decimal | None = Field(default=None, sa_type=Decimal4)


class DemandReport(Row, table=True):
    """What growing groups want against what the catalogue has, worked out on a day: see segmentation/demand/."""

    id: int | None = _key()
    as_of: date
    made_at: datetime = Field(sa_type=UTCDateTime)
    result: dict[str, Any] = _json(dict)


# --- campaigns -------------------------------------------------------------------------------------------------


class Campaign(Row, table=True):
    """Audience, schedule and policy; its content is in its steps' variants. The schedule is these columns; the
    heartbeat only looks at them."""

    __table_args__ = (
        CheckConstraint("holdout_percent >= 0 AND holdout_percent < 1000000", name="holdout"),  # in ten-thousandths
        CheckConstraint("way IN ('push', 'multicast', 'narrowcast')", name="way"),
    )

    id: int | None = _key()
    channel_id: int = _ref("channel.id")
    name: str
    state: str = Field(default="draft", index=True)  # draft scheduled sending sent paused cancelled failed
    resume_state: str | None = None  # where `resume` goes back to; null unless paused
    problem: str | None = Field(default=None, sa_type=Text)  # why it paused or failed by itself
    audience: dict[str, Any] = _json(dict)  # see campaigns/audience/target.py
    way: str
    theme: str | None = None  # for the keyword report
    holdout_percent: Decimal = Field(default=Decimal(5), sa_type=Decimal4)
    conversion_days: int = 7
    utm: dict[str, str] = _json(dict)  # name after utm_ -> value, for the links that have none of their own
    priority: int = 0  # when several claim one person, the highest goes first
    is_capped: bool = True  # the brand's frequency caps hold for it
    keeps_quiet_hours: bool = True  # the brand's quiet hours hold for it
    at_best_hour: bool = False  # each person at the hour at which they tap most
    reply_first_minutes: int | None = None  # so long each person's next free reply is waited for; null: pushed at once
    experiment: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # null: a fixed split
    recurs: str | None = None  # cron's five fields or calendar words; null: fires once, or by its trigger
    trigger: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # null: by time alone
    trigger_since: datetime | None = Field(default=None, sa_type=UTCDateTime)  # what happened before doesn't count
    trigger_after_id: int = Field(default=0, sa_type=BigId)  # how far a feed with ids has been read
    trigger_read_to: datetime | None = Field(default=None, sa_type=UTCDateTime)  # and one of moments; null: not yet
    goal: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # a rule; who fits it leaves
    next_fire_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # null: nothing to come
    created_at: datetime = Field(sa_type=UTCDateTime)


class CampaignStep(Row, table=True):
    """One message of a campaign in its place; most campaigns have one step."""

    campaign_id: int = _ref("campaign.id", primary_key=True)
    step_number: int = Field(primary_key=True)  # from 1
    wait_minutes: int = 0  # after the step before, or after entering
    condition: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # a rule; null: everybody


class Variant(Row, table=True):
    """One version of what a step says. One alone is simply the content."""

    __table_args__ = (UniqueConstraint("campaign_id", "step_number", "name"),)

    id: int | None = _key()
    campaign_id: int = _ref("campaign.id")
    step_number: int = 1
    name: str = "A"
    weight: float = 1.0  # its part of the people, beside those of the others
    messages: list[dict[str, Any]] = _json(list)  # 1-5 LINE message objects with {{ fields }}
    languages: dict[str, list[dict[str, Any]]] = _json(dict)  # language ("en") -> messages for those who speak it


class CustomerList(Row, table=True):
    """People put on a list by hand, by import or from a result: an audience that doesn't move by itself."""

    id: int | None = _key()
    name: str = Field(unique=True)
    origin: dict[str, Any] = _json(dict)  # where it came from: a file, a run and what was asked of it
    created_at: datetime = Field(sa_type=UTCDateTime)


class CustomerListMember(Row, table=True):
    """Who is on a list."""

    list_id: int = _ref("customer_list.id", primary_key=True)
    customer_id: int = _ref("customer.id", primary_key=True, index=True)


class Enrolment(Row, table=True):
    """Somebody on the way through a campaign that is entered person by person: by a trigger, or step after step."""

    __table_args__ = (
        UniqueConstraint("campaign_id", "customer_id", "entry_key"),
        Index(
            "ix_enrolment_due",
            "campaign_id",
            "step_number",
            "due_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_enrolment_taken",
            "run_id",
            "customer_id",
            sqlite_where=text("state = 'taken'"),
            postgresql_where=text("state = 'taken'"),
        ),
    )

    id: int | None = _key()
    campaign_id: int = _ref("campaign.id")
    customer_id: int = _ref("customer.id", index=True)
    entry_key: str  # what made them enter, such as "segment_change:17": twice is once
    entered_at: datetime = Field(sa_type=UTCDateTime)
    step_number: int = 1  # the step that is due next
    due_at: datetime = Field(sa_type=UTCDateTime)
    run_id: int | None = Field(default=None, sa_type=BigId)  # the run that took up the step; null: waiting
    state: str = "waiting"  # waiting | taken (by run_id) | finished | left
    reason: str | None = None  # why they left: goal, condition, refused, cancelled …; null otherwise


class CustomerHour(Row, table=True):
    """The hour of the brand's day at which a person who has tapped is best written to: their own taps, and those of
    people like them."""

    customer_id: int = _ref("customer.id", primary_key=True)
    hour: int  # 0..23
    taps: int  # their own


class SegmentHour(Row, table=True):
    """The same for those of a segment who have never tapped."""

    segment: str = Field(primary_key=True)  # rfm8; "": everybody
    hour: int
    taps: int


class TrackedLink(Row, table=True):
    """A link of a campaign's content, or of a code that hangs in a shop. Tokens carry its id, never its address: no
    open redirect."""

    __table_args__ = (UniqueConstraint("campaign_id", "url"),)

    id: int | None = _key()
    campaign_id: int | None = _ref("campaign.id", nullable=True)  # null: a shop's code
    url: str = Field(sa_type=Text)
    name: str | None = Field(default=None, unique=True)  # of a shop's code; null: a campaign's link
    topic: str | None = None  # what it is about: a tap puts the tag of this name on; null: nothing


class CampaignRun(Row, table=True):
    """One firing of a campaign's step: exactly one per scheduled time, by the constraint."""

    __table_args__ = (UniqueConstraint("campaign_id", "step_number", "scheduled_for"),)

    id: int | None = _key()
    campaign_id: int = _ref("campaign.id")
    step_number: int = 1
    scheduled_for: datetime = Field(sa_type=UTCDateTime)
    state: str = Field(default="planned", index=True)  # planned sending paused sent cancelled failed
    variants: list[dict[str, Any]] = _json(list)  # frozen: variant_id, name, weight, messages, languages of each
    way: str
    link_ids: dict[str, int] = _json(dict)  # url -> TrackedLink.id
    by_enrolment: bool = False  # its audience: the enrolments that it took; else the campaign's audience
    reply_until: datetime | None = Field(default=None, sa_type=UTCDateTime)  # free replies are waited for; null: none
    send_from: datetime | None = Field(default=None, sa_type=UTCDateTime)  # put off by quiet hours to then; null: not
    send_until: datetime | None = Field(default=None, sa_type=UTCDateTime)  # then it is quiet; null: never
    members_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # rules stand in run_member; null: not yet
    gain_cut: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # null: enough quota
    arms: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # learned targeting; null: none
    fired_at: datetime = Field(sa_type=UTCDateTime)
    frozen_up_to: int = Field(default=0, sa_type=BigId)  # customers up to this id are in the audience or not for good
    frozen_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: the audience is still being frozen
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: not over yet
    # What people did after it, summed for large runs (campaigns/results/sums.py); null: not kept, or changed since
    response_sums: list[list[Any]] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    response_version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # counts the changes
    tallied_at: datetime | None = Field(
        default=None, sa_type=UTCDateTime
    )  # all in run_tally, as batch 0; null: not yet


class RunWave(Row, table=True):
    """How the people of a run's later wave are shared among its variants: decided once, when they may go."""

    run_id: int = _ref("campaign_run.id", primary_key=True)
    wave: int = Field(primary_key=True)  # from 1; wave 0 goes by the variants' weights
    shares: list[float] = _json(list)  # of each of CampaignRun.variants, adding up to 1
    reason: str  # learned | winner | deadline
    decided_at: datetime = Field(sa_type=UTCDateTime)


class RunMember(Row, table=True):
    """Who fits a rule of a run's audience, found once when it fires: rules can't be asked inside the database."""

    run_id: int = Field(primary_key=True, sa_type=BigId)  # no foreign keys: see Delivery
    target: str = Field(primary_key=True)  # which rule: see campaigns/audience/target.py
    customer_id: int = Field(primary_key=True, sa_type=BigId, index=True)


class Narrowcast(Row, table=True):
    """How far the variant of a run that is sent by narrowcast has come at LINE, which tells counts, never people."""

    run_id: int = _ref("campaign_run.id", primary_key=True)
    variant_id: int = _ref("variant.id", primary_key=True)
    state: str = "planned"  # planned uploading uploaded sending | for good: succeeded failed unknown cancelled
    due_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # next step, once its lease is over
    attempts: int = 0  # of this step, for the back-off
    audience_group_id: int | None = Field(default=None, sa_type=BigId)  # LINE's; null until made, and once deleted
    uploaded_up_to: int = Field(default=0, sa_type=BigId)  # customers up to this id are in LINE's audience
    upload_size: int  # people of the next upload: fewer while an id that LINE doesn't know is looked for
    retry_key: str  # made before the first attempt
    first_attempt_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # set once LINE may have it
    request_id: str | None = None  # of the accepted request; null until then
    counts: dict[str, Any] = _json(dict)  # LINE's target, success and failure counts
    problem: str | None = Field(default=None, sa_type=Text)


class UnitStatistic(Row, table=True):
    """LINE's own figures of a run's variant, by aggregation unit or by a narrowcast's request. A step that people enter
    one by one has too many runs for the month's names: one unit for all of them. Aggregates: LINE never tells who.
    Null figures: LINE hides what fewer than 20 people did; null is not zero."""

    __table_args__ = (UniqueConstraint("channel_id", "month", "unit"),)

    id: int | None = _key()
    channel_id: int = _ref("channel.id")
    run_id: int | None = _ref("campaign_run.id", nullable=True, index=True)  # null: a month of a campaign's step
    variant_id: int = _ref("variant.id", index=True)
    unit: str | None = None  # the name sent with each call; null: a narrowcast, known by its request id
    month: str  # 2026-11: LINE counts units by calendar month
    due_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # next look; null: no more
    fetched_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: not yet
    delivered: int | None = None
    opened: int | None = None  # unique impressions
    clicked: int | None = None  # unique clicks
    detail: dict[str, Any] = _json(dict)  # LINE's answer, links and bubbles


class SendBatch(Row, table=True):
    """The unit of claiming: up to 500 recipients of a run. For multicast it is also one call with one retry key."""

    __table_args__ = (Index(None, "state", "run_id", "batch_number"),)

    run_id: int = _ref("campaign_run.id", primary_key=True)
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
    line_user_id: str | None = None  # null: skipped for want of an account
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

    id: int | None = _key()
    link_id: int = _ref("tracked_link.id")
    run_id: int | None = _ref("campaign_run.id", nullable=True)  # null: a shop's code
    customer_id: int | None = _ref("customer.id", nullable=True)  # for whom the link was made; null: for everyone
    tapped_by_id: int | None = _ref("customer.id", nullable=True)  # who tapped, proven by LIFF; null: not proven
    clicked_at: datetime = Field(sa_type=UTCDateTime)
    kind: str  # person | forward (a person, but not the one it was made for) | preview | robot
    user_agent: str = Field(sa_type=Text)
    has_event: bool = False  # a behaviour event was made of it, or none is due (robots, links without a person)


class MessageResult(Row, table=True):
    """What one message brought from one segment: the unit that keyword effects are learned from. Rebuildable.

    Written by campaigns/results/learning.py, read by keywords/messages.py.
    """

    run_id: int = _ref("campaign_run.id", primary_key=True)
    variant_id: int = _ref("variant.id", primary_key=True)
    segment: str = Field(primary_key=True)  # the recipients' rfm8 when the audience was frozen; "none" without one
    theme: str | None = None
    channel: str
    message_text: str = Field(sa_type=Text)  # the words as written, fields not yet filled in
    sent_at: datetime = Field(sa_type=UTCDateTime)
    recipients: int  # accepted by LINE
    clicks: int  # unique people among them who tapped


class RunTally(Row, table=True):
    """How many deliveries of a run are in a state: kept sums, so that no page counts a million rows. Rebuildable.

    One row per batch while the run is being sent; 0 for those without a batch, and for all of them once it is over.
    """

    run_id: int = _ref("campaign_run.id", primary_key=True)
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

    run_id: int = _ref("campaign_run.id", primary_key=True)
    customer_id: int = _ref("customer.id", primary_key=True, index=True)
    variant_id: int | None = Field(default=None, sa_type=BigId)  # null: as in the delivery, whose next two are too
    segment: str  # "none" for none
    state: str
    has_clicked: bool = False
    has_blocked: bool = False
    orders: int = 0
    revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4)
    tap_orders: int = 0  # credited by the last tap
    tap_revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4)
    delivery_orders: int = 0  # credited by the last delivery
    delivery_revenue: Decimal = Field(default=Decimal(0), sa_type=Decimal4)


class OrderCredit(Row, table=True):
    """Which one message an order is credited to, over all campaigns: by the last tap, or by the last delivery."""

    __table_args__ = (Index(None, "run_id", "basis"),)

    sales_order_id: int = _ref("sales_order.id", primary_key=True)
    basis: str = Field(primary_key=True)  # tap | delivery
    run_id: int = _ref("campaign_run.id")
    customer_id: int = _ref("customer.id", index=True)
    variant_id: int | None = _ref("variant.id", nullable=True)  # null: the delivery had none
    amount: Decimal = Field(sa_type=Decimal4)
    since: datetime = Field(sa_type=UTCDateTime)  # of the tap or the delivery
    ordered_at: datetime = Field(sa_type=UTCDateTime)


class ResponseDue(Row, table=True):
    """Somebody in a run who tapped, bought or left: what they did after it is to be worked out anew. Written in the
    transaction of the fact, as CustomerChange is; see store/changes.py."""

    __table_args__ = {"sqlite_autoincrement": True}  # an id that was seen must never be given again

    id: int | None = _key()
    customer_id: int = _ref("customer.id")
    after_run_id: int | None = Field(default=None, sa_type=BigId)  # not before its audience is frozen; null: at once


class SendPace(Row, table=True):
    """The shared pacer: when the next call of this kind may go out, for all workers together."""

    channel_id: int = _ref("channel.id", primary_key=True)
    endpoint: str = Field(primary_key=True)
    free_at_us: int = Field(default=0, sa_type=BigId)  # microseconds since 1970


class Heartbeat(Row, table=True):
    """When each job last ran to its end, so that a stuck one is seen."""

    job: str = Field(primary_key=True)
    finished_at: datetime = Field(sa_type=UTCDateTime)
    problem: str | None = Field(default=None, sa_type=Text)
