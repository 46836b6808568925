"""The scheduled reports as rows: planned once for each period and recipient, claimed, and what became of them.

Claim, commit, call, record: who calls LINE between is `service/keyword_report_delivery.py`. A call that may have
reached LINE is repeated with the same retry key while LINE keeps it; after that nobody knows, and it is not repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import case, exists, func, or_, select, update
from sqlmodel import Session

from store.engine import insert_for, table_of
from store.errors import BadInput
from store.models import KeywordReportDelivery

Became = Literal["accepted", "failed", "in_doubt", "not_sent", "unknown"]

FOLDER = "folder"  # the recipient that is no person
KEY_LIFE = timedelta(hours=23)  # LINE keeps a retry key for 24 hours ("Retrying an API request")
CLAIM = timedelta(minutes=2)  # longer than a call may take
PUT_OFF = timedelta(minutes=10)  # after a call that failed
GIVE_UP = timedelta(days=2)  # a report this late is no news
_AT_ONCE = 8  # claimed by one worker: their calls, one after the other, end within CLAIM

delivery = table_of(KeywordReportDelivery)


@dataclass(frozen=True)
class Claimed:
    """A delivery in this worker's hands until its claim runs out."""

    period: str
    recipient: str  # a marketer's e-mail, or FOLDER
    channel: str | None
    messages: list[dict[str, Any]]
    retry_key: str
    doubt_before: datetime | None  # since when an earlier call may have reached LINE


@dataclass(frozen=True)
class Delivered:
    """What became of a delivery."""

    period: str
    recipient: str
    state: str
    done_at: datetime | None  # aware UTC
    problem: str | None


def newest_deliveries(session: Session, count: int) -> list[Delivered]:
    """The last `count` deliveries, the newest first. Reads only."""
    columns = (delivery.c.period, delivery.c.recipient, delivery.c.state, delivery.c.done_at, delivery.c.problem)
    query = select(*columns).order_by(delivery.c.made_at.desc(), delivery.c.recipient).limit(count)
    return [Delivered(*row) for row in session.execute(query)]


def is_planned(session: Session, period: str) -> bool:
    """True where the period's deliveries are there."""
    return bool(session.scalar(select(exists().where(delivery.c.period == period))))


def plan_deliveries(
    session: Session,
    period: str,
    *,
    marketers: Mapping[str, str | BadInput],
    messages: list[dict[str, str]],
    to_folder: bool,
    now: datetime,
) -> int:
    """Make the period's deliveries; returns how many. Those that are there already, by whomever, stay as they are.
    `marketers`: e-mail -> the channel over which they are reached, or why they can't be: that is kept as failed."""
    common = {"period": period, "attempts": 0, "made_at": now}
    due, failed = {"state": "due", "done_at": None}, {"state": "failed", "done_at": now}
    rows = []
    for email, reached in marketers.items():
        row = {**common, "recipient": email, "messages": messages, "retry_key": str(uuid4())}
        if isinstance(reached, str):
            rows.append({**row, **due, "channel": reached, "problem": None})
        else:
            rows.append({**row, **failed, "channel": None, "problem": str(reached)})
    if to_folder:
        rows.append(
            {**common, **due, "recipient": FOLDER, "channel": None, "messages": [], "retry_key": "", "problem": None}
        )
    if not rows:
        return 0
    statement = insert_for(session, KeywordReportDelivery).on_conflict_do_nothing().returning(delivery.c.recipient)
    return len(session.execute(statement.values(rows)).all())


def claim_deliveries(session: Session, *, now: datetime) -> list[Claimed]:
    """Take what is due and in nobody's hands, for CLAIM. What has been in doubt for too long becomes unknown, and what
    is too late fails."""
    is_due = delivery.c.state == "due"
    is_lost = delivery.c.doubt_since <= now - KEY_LIFE
    session.execute(
        update(delivery)
        .where(is_due, or_(is_lost, delivery.c.made_at <= now - GIVE_UP), _is_free(now))
        .values(state=case((delivery.c.doubt_since.is_not(None), "unknown"), else_="failed"), done_at=now)
    )
    free = session.execute(
        select(delivery)
        .where(is_due, _is_free(now))
        .order_by(delivery.c.period, delivery.c.recipient)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for row in free:
        session.execute(
            update(delivery)
            .where(delivery.c.period == row.period, delivery.c.recipient == row.recipient)
            .values(
                not_before=now + CLAIM,
                attempts=delivery.c.attempts + 1,
                doubt_since=func.coalesce(delivery.c.doubt_since, None if row.recipient == FOLDER else now),
            )
        )
    return [
        Claimed(row.period, row.recipient, row.channel, row.messages, row.retry_key, row.doubt_since) for row in free
    ]


def record_delivery(
    session: Session,
    claimed: Claimed,
    became: Became,
    *,
    now: datetime,
    problem: str | None = None,
) -> None:
    """What became of it. in_doubt and not_sent are tried again after PUT_OFF; not_sent leaves no new doubt."""
    values: dict[str, Any] = {"problem": problem}
    if became in ("accepted", "failed", "unknown"):
        values |= {"state": became, "done_at": now}
    else:
        values["not_before"] = now + PUT_OFF
    if became == "not_sent":
        values["doubt_since"] = claimed.doubt_before
    session.execute(
        update(delivery)
        .where(
            delivery.c.period == claimed.period, delivery.c.recipient == claimed.recipient, delivery.c.state == "due"
        )
        .values(**values)
    )


def _is_free(now: datetime) -> Any:
    return or_(delivery.c.not_before.is_(None), delivery.c.not_before <= now)
