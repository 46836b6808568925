"""Campaigns as planned, and their runs."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from store.models.base import Row, json_of, key, ref
from store.types import BigId, Decimal4, UTCDateTime

_COUNTS = ("reached_count", "message_count")  # of a run: at the end of indexes that many runs are added up by
_COMPARED = ("compared_sent", "compared_held", "compared_again")


class Campaign(Row, table=True):
    """Audience, schedule and policy; its content is in its steps' variants. The schedule is these columns; the
    heartbeat only looks at them."""

    __table_args__ = (
        CheckConstraint("holdout_percent >= 0 AND holdout_percent < 1000000", name="holdout"),  # in ten-thousandths
        CheckConstraint("way IN ('push', 'multicast', 'narrowcast')", name="way"),
    )

    id: int | None = key()
    channel_id: int = ref("channel.id")
    name: str
    state: str = Field(default="draft", index=True)  # draft scheduled sending sent paused cancelled failed
    resume_state: str | None = None  # where `resume` goes back to; null unless paused
    problem: str | None = Field(default=None, sa_type=Text)  # why it paused or failed by itself
    audience: dict[str, Any] = json_of(dict)  # see campaigns/audience/target.py
    way: str
    theme: str | None = None  # for the keyword report
    holdout_percent: Decimal = Field(default=Decimal(5), sa_type=Decimal4)
    conversion_days: int = 7
    utm: dict[str, str] = json_of(dict)  # name after utm_ -> value, for the links that have none of their own
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


class CampaignOutlook(Row, table=True):
    """Whom a draft campaign would reach and what it is expected to bring, for a page that has no time to find it out:
    what the worker was asked for, and what it found (campaigns/money/outlook_kept.py)."""

    campaign_id: int = ref("campaign.id", primary_key=True)
    asked_at: datetime = Field(sa_type=UTCDateTime)
    found_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # null: waiting, or at work
    # campaigns.money.forecast.Outlook; null: not found yet, or it can't be found out
    outlook: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))


class CampaignStep(Row, table=True):
    """One message of a campaign in its place; most campaigns have one step."""

    campaign_id: int = ref("campaign.id", primary_key=True)
    step_number: int = Field(primary_key=True)  # from 1
    wait_minutes: int = 0  # after the step before, or after entering
    condition: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # a rule; null: everybody


class Variant(Row, table=True):
    """One version of what a step says. One alone is simply the content."""

    __table_args__ = (UniqueConstraint("campaign_id", "step_number", "name"),)

    id: int | None = key()
    campaign_id: int = ref("campaign.id")
    step_number: int = 1
    name: str = "A"
    weight: float = 1.0  # its part of the people, beside those of the others
    messages: list[dict[str, Any]] = json_of(list)  # 1-5 LINE message objects with {{ fields }}
    languages: dict[str, list[dict[str, Any]]] = json_of(dict)  # language ("en") -> messages for those who speak it


class CustomerList(Row, table=True):
    """People put on a list by hand, by import or from a result: an audience that doesn't move by itself."""

    id: int | None = key()
    name: str = Field(unique=True)
    origin: dict[str, Any] = json_of(dict)  # where it came from: a file, a run and what was asked of it
    created_at: datetime = Field(sa_type=UTCDateTime)


class CustomerListMember(Row, table=True):
    """Who is on a list."""

    list_id: int = ref("customer_list.id", primary_key=True)
    customer_id: int = ref("customer.id", primary_key=True, index=True)


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

    id: int | None = key()
    campaign_id: int = ref("campaign.id")
    customer_id: int = ref("customer.id", index=True)
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

    customer_id: int = ref("customer.id", primary_key=True)
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

    id: int | None = key()
    campaign_id: int | None = ref("campaign.id", nullable=True)  # null: a shop's code
    url: str = Field(sa_type=Text)
    name: str | None = Field(default=None, unique=True)  # of a shop's code; null: a campaign's link
    topic: str | None = None  # what it is about: a tap puts the tag of this name on; null: nothing


class CampaignRun(Row, table=True):
    """One firing of a campaign's step: exactly one per scheduled time, by the constraint."""

    __table_args__ = (
        UniqueConstraint("campaign_id", "step_number", "scheduled_for"),
        # with all that a month of firings is read by, so that no wide row is
        Index("ix_campaign_run_of_campaign", "campaign_id", "fired_at", "id", *_COUNTS, *_COMPARED),
        Index("ix_campaign_run_by_time", *("fired_at", "send_from", "campaign_id", "id"), *_COUNTS),
        # those that went on until a moment or later, whenever they began
        Index("ix_campaign_run_by_end", "finished_at", "fired_at", "campaign_id", "id"),
        Index(
            "ix_campaign_run_open",
            "tallied_at",
            sqlite_where=text("tallied_at IS NULL"),
            postgresql_where=text("tallied_at IS NULL"),
        ),
        Index(
            "ix_campaign_run_summed",
            "campaign_id",
            "fired_at",
            sqlite_where=text("response_sums IS NOT NULL"),
            postgresql_where=text("response_sums IS NOT NULL"),
        ),
    )

    id: int | None = key()
    campaign_id: int = ref("campaign.id")
    step_number: int = 1
    scheduled_for: datetime = Field(sa_type=UTCDateTime)
    state: str = Field(default="planned", index=True)  # planned sending paused sent cancelled failed
    variants: list[dict[str, Any]] = json_of(list)  # frozen: variant_id, name, weight, messages, languages of each
    way: str
    link_ids: dict[str, int] = json_of(dict)  # url -> TrackedLink.id
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
    # How much it is slowed (campaigns/sending/slowing.py), and when its next batch may begin; 0 and null: it isn't
    slow_step: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    next_batch_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    # What people did after it, summed for large runs (campaigns/results/sums.py); null: not kept, or changed since
    response_sums: list[list[Any]] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    response_version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # counts the changes
    tallied_at: datetime | None = Field(
        default=None, sa_type=UTCDateTime
    )  # all in run_tally, as batch 0; null: not yet
    # Of run_tally, so that indexes alone sum up many runs: people accepted, and those of them whose message LINE counts
    reached_count: int | None = None  # null as long as tallied_at is
    message_count: int | None = None
    # The two sides of its lift, and what tells how often its people are in earlier runs (campaigns/results/again.py);
    # 0 where no lift is told: of a later step, or broken off. Null as long as tallied_at is
    compared_sent: int | None = None
    compared_held: int | None = None
    compared_again: int | None = Field(default=None, sa_type=BigId)


class RunWave(Row, table=True):
    """How the people of a run's later wave are shared among its variants: decided once, when they may go."""

    run_id: int = ref("campaign_run.id", primary_key=True)
    wave: int = Field(primary_key=True)  # from 1; wave 0 goes by the variants' weights
    shares: list[float] = json_of(list)  # of each of CampaignRun.variants, adding up to 1
    reason: str  # learned | winner | deadline
    decided_at: datetime = Field(sa_type=UTCDateTime)


class RunMember(Row, table=True):
    """Who fits a rule of a run's audience, found once when it fires: rules can't be asked inside the database."""

    run_id: int = Field(primary_key=True, sa_type=BigId)  # no foreign keys: see Delivery
    target: str = Field(primary_key=True)  # which rule: see campaigns/audience/target.py
    customer_id: int = Field(primary_key=True, sa_type=BigId, index=True)


class Narrowcast(Row, table=True):
    """How far a version of a run that is sent by narrowcast has come at LINE, which tells counts, never people."""

    run_id: int = ref("campaign_run.id", primary_key=True)
    variant_id: int = ref("variant.id", primary_key=True)
    language: str = Field(default="", primary_key=True)  # of the variant's version; "": the plain one
    state: str = "planned"  # planned uploading uploaded sending | for good: succeeded failed unknown cancelled
    due_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # next step, once its lease is over
    attempts: int = 0  # of this step, for the back-off
    audience_group_id: int | None = Field(default=None, sa_type=BigId)  # LINE's; null until made, and once deleted
    uploaded_up_to: int = Field(default=0, sa_type=BigId)  # customers up to this id are in LINE's audience
    held_up_to: int = Field(default=0, sa_type=BigId, sa_column_kwargs={"server_default": "0"})  # these may be
    upload_size: int  # people of the next upload: fewer while an id that LINE doesn't know is looked for
    retry_key: str  # made before the first attempt
    first_attempt_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # set once LINE may have it
    request_id: str | None = None  # of the accepted request; null until then
    counts: dict[str, Any] = json_of(dict)  # LINE's target, success and failure counts
    problem: str | None = Field(default=None, sa_type=Text)


class UnitStatistic(Row, table=True):
    """LINE's own figures of a run's variant, by aggregation unit or by a narrowcast's request. A step that people enter
    one by one has too many runs for the month's names: one unit for all of them. Aggregates: LINE never tells who.
    Null figures: LINE hides what fewer than 20 people did; null is not zero."""

    __table_args__ = (UniqueConstraint("channel_id", "month", "unit"),)

    id: int | None = key()
    channel_id: int = ref("channel.id")
    run_id: int | None = ref("campaign_run.id", nullable=True, index=True)  # null: a month of a campaign's step
    variant_id: int = ref("variant.id", index=True)
    language: str = Field(default="", sa_column_kwargs={"server_default": ""})  # of a narrowcast; "": the plain version
    unit: str | None = None  # the name sent with each call; null: a narrowcast, known by its request id
    month: str  # 2026-11: LINE counts units by calendar month
    due_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # next look; null: no more
    fetched_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: not yet
    delivered: int | None = None
    opened: int | None = None  # unique impressions
    clicked: int | None = None  # unique clicks
    detail: dict[str, Any] = json_of(dict)  # LINE's answer, links and bubbles
