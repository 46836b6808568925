"""What is worked out from the facts: rules, tags, segments, predictions, demand."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, Text, text
from sqlmodel import Field

from store.models.base import Row, json_of, key, ref
from store.types import BigId, Decimal4, Decimal4Sum, UTCDateTime


class Rule(Row, table=True):
    """A saved condition on customers: an audience, the ground of a tag, or a part of other rules."""

    id: int | None = key()
    name: str = Field(unique=True)
    definition: dict[str, Any] = json_of(dict)  # see docs/rules.md
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)


class Tag(Row, table=True):
    """A label that people carry, and what puts it on and takes it off."""

    id: int | None = key()
    name: str = Field(unique=True)
    kind: str = "fact"  # what it states: fact | model | predictive
    line: str = "static"  # how the line is drawn: static (absolute) | dynamic (relative to today's population)
    source: str = "hand"  # who puts it on: hand (people, imports, links) | group | rule | measure | preference
    definition: dict[str, Any] = json_of(dict)  # what the source needs; empty for hand
    defined_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # when it last became another; null: never
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

    id: int | None = key()
    tag_id: int = ref("tag.id")
    customer_id: int = ref("customer.id", index=True)
    since: datetime = Field(sa_type=UTCDateTime)
    until: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: it is on now
    strength: float = 1.0  # the decayed score of a preference, the chance of a prediction, 1 for others
    source: str = "hand"  # hand | import | link | group | rule | measure | preference: who put it on
    evidence: dict[str, Any] = json_of(dict)  # why it was put on
    off_evidence: dict[str, Any] | None = Field(
        default=None, sa_type=JSON(none_as_null=True)
    )  # why it came off; null: it is on
    falls_off_on: date | None = None  # when it would come off if nothing more happens; null: never by itself


class TagCheck(Row, table=True):
    """A predictive tag held against what happened: of those who had it on a day, who did what it said."""

    tag_id: int = ref("tag.id", primary_key=True)
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

    id: int | None = key()
    as_of: date
    state: str  # running finished failed
    settings: dict[str, Any] = json_of(dict)  # cycle, scoring and cut points that made the result
    started_at: datetime = Field(sa_type=UTCDateTime)
    lease_until: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: running or failed
    customer_count: int = 0
    change_count: int = 0  # customers whose segment changed in some model
    last_change_id: int = Field(default=0, sa_type=BigId)  # the newest SegmentChange when it finished


class CustomerSegment(Row, table=True):
    """What the newest computation says of a customer. Null scores: no paid order in the look-back window."""

    customer_id: int = ref("customer.id", primary_key=True)
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
    nes: str  # found by nesl's index: see segmentation/history.in_segment
    cycle_days: int | None = None  # the person's own purchase cycle, shrunk to the brand's; null: never a paid order
    nesl_personal: str = Field(default="never", index=True)  # by that cycle, like the next
    nes_personal: str = "never"
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
        Index(
            "ix_segment_change_between_runs",
            "as_of",
            "id",
            sqlite_where=text("run_id IS NULL"),
            postgresql_where=text("run_id IS NULL"),
        ),
        {"sqlite_autoincrement": True},  # campaigns read on from an id: it must never be given again
    )

    id: int | None = key()
    customer_id: int = ref("customer.id")
    # The whole run that found it; null: between runs, after new facts. No foreign key, which would be looked up for
    # each row of a run and need an index of all of them: no run that has changes is ever removed.
    run_id: int | None = Field(default=None, sa_type=BigId)
    as_of: date  # the day that it was computed for
    changed_at: datetime = Field(sa_type=UTCDateTime, index=True)
    is_relabelled: bool = False  # lines drawn anew, by other settings or for another day: the person did not move
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
    value: dict[str, Any] = json_of(dict)
    updated_at: datetime = Field(sa_type=UTCDateTime)
    updated_by: str


class SegmentSizeOnDay(Row, table=True):
    """How many customers each segment had on a day, and what they had paid: written by each whole run."""

    as_of: date = Field(primary_key=True)
    model: str = Field(primary_key=True)
    segment: str = Field(primary_key=True)
    customers: int
    value: Decimal = Field(sa_type=Decimal4Sum)


class SegmentMovement(Row, table=True):
    """Who moved between two days in a model, where that is more than a page has time to read: what somebody asked for,
    and what the worker found (segmentation/movement.py). Holds for the changes after `first_change_id` up to
    `last_change_id` alone."""

    model: str = Field(primary_key=True)
    first_day: date = Field(primary_key=True)
    last_day: date = Field(primary_key=True)
    first_change_id: int = Field(sa_type=BigId)
    last_change_id: int = Field(sa_type=BigId)
    asked_at: datetime = Field(sa_type=UTCDateTime)
    found_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # null: waiting, or at work
    # rows of before, after, segment on the last day, people; null: not found yet
    moves: list[list[Any]] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    relabelled: int = 0  # people whom lines drawn anew put elsewhere in between


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

    id: int | None = key()
    as_of: date
    state: str  # running finished failed off (too little data for every horizon)
    problem: str | None = Field(default=None, sa_type=Text)  # why off; null otherwise
    cycle_days: int  # the horizon of "the next cycle"
    quality: dict[str, Any] = json_of(dict)  # per horizon: measured on held-back days, or why it is left out
    segment_values: dict[str, Any] = json_of(dict)  # per model: see predict/ltv.py; empty until the run is over
    customer_count: int = 0
    started_at: datetime = Field(sa_type=UTCDateTime)
    lease_until: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: running or failed


class CustomerPrediction(Row, table=True):
    """What the newest prediction run says of a customer with a paid order. Null: too little data for that horizon."""

    customer_id: int = ref("customer.id", primary_key=True)
    run_id: int = ref("prediction_run.id")  # the run that last changed the row
    p_buy: float | None = None  # 0..1: at least one order in the next cycle
    churn_risk: float | None = None  # 0..1: no order within the churn horizon
    expected_orders: float | None = None  # in the next cycle
    spend_90: Decimal | None = Field(default=None, sa_type=Decimal4)  # expected, in the next 90 days
    spend_365: Decimal | None = Field(default=None, sa_type=Decimal4)


class DemandReport(Row, table=True):
    """What growing groups want against what the catalogue has, worked out on a day: see segmentation/demand/."""

    id: int | None = key()
    as_of: date
    made_at: datetime = Field(sa_type=UTCDateTime)
    result: dict[str, Any] = json_of(dict)


class KeywordSuggestion(Row, table=True):
    """A term, phrase or line that was shown for a theme, with the chance that it had of being shown: what was tried
    because it was explored can then be weighed (docs/keywords.md). One row for each; a request's rows share its key."""

    id: int | None = key()
    request_key: str = Field(index=True)
    made_at: datetime = Field(sa_type=UTCDateTime, index=True)
    made_by: str  # "command line", "demo", a marketer
    theme: str
    mode: str  # safe | explore
    kind: str  # term | phrase | line
    words: str = Field(sa_type=Text)
    terms: list[str] = json_of(list)  # of the model, whose effects it adds
    # of a term or phrase what it fits by: lexicon | history | lexicon+history; of a line whose it is: own | built_in (a
    # template of the brand's, a shipped one) | writer (a model); null: from before this was kept
    source: str | None = None
    propensity: float | None = None  # 0..1, above 0; null: not known, as of a writer's line


class TextCut(Row, table=True):
    """The terms that a message's text was cut into, so that it is cut once. Rebuildable; see keywords/text/cuts.py."""

    text_key: str = Field(primary_key=True)  # a hash of the text
    cut_with: str  # the state of the tokenizer and its words; another one, and the text is cut anew
    terms: list[str] = json_of(list)  # in order; "" stands where two do not touch
    opening: int  # so many of them are in the text's opening


class KeywordLearning(Row, table=True):
    """What all message results taught when they last changed: one row. Rebuildable; see keywords/effects/stored.py."""

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})  # always 1
    computed_at: datetime = Field(sa_type=UTCDateTime)
    cut_with: str
    zone: str  # the hours and weekdays are of
    result_count: int = Field(sa_type=BigId)  # of the results it was learned from, as their sums
    recipients: int = Field(sa_type=BigId)
    clicks: int = Field(sa_type=BigId)
    newest_change: datetime = Field(sa_type=UTCDateTime)
    state: bytes = Field(sa_type=LargeBinary)  # an npz file


class KeywordReportDelivery(Row, table=True):
    """The keyword report of one period for one recipient: once, by the key. The words are kept as they go, so that a
    repeated call with the stored retry key says the same."""

    period: str = Field(primary_key=True)  # 2026-W48 | 2026-11
    recipient: str = Field(primary_key=True)  # a marketer's e-mail | folder
    channel: str | None = None  # over which they are reached; null: a folder, or they can't be
    messages: list[dict[str, Any]] = json_of(list)  # LINE message objects; empty for a folder
    retry_key: str
    state: str = Field(default="due", index=True)  # due accepted failed unknown
    attempts: int = 0
    not_before: datetime | None = Field(default=None, sa_type=UTCDateTime)  # claimed or put off until; null: at once
    doubt_since: datetime | None = Field(default=None, sa_type=UTCDateTime)  # a call may have reached LINE; null: none
    made_at: datetime = Field(sa_type=UTCDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: due
    problem: str | None = Field(default=None, sa_type=Text)
