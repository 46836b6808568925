"""What keywords learn from: one row per message (a variant of a run) and segment, counted anew while it still changes.
Rebuildable. Push only: of a multicast nobody knows who tapped, and unknown is not zero."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, or_, select
from sqlmodel import Session

from campaigns.content.message import format_of, words_of
from campaigns.results.tally import tallies
from store.engine import insert_for, table_of
from store.models import Campaign, CampaignRun, Channel, MessageResult, RunResponse, TrackedLink

Key = tuple[int, int, str]  # run, variant, segment
# A run teaches once it has been over for so long. Most people who tap at all do so within a day; what was sent a moment
# ago looks as if nobody wanted it, and would take from its words what others have proved.
TEACHES_AFTER = timedelta(hours=24)
LEARNING_DAYS = 14  # clicks later than this no longer change what the keyword report learns from a run
_OVER = ("sent", "cancelled")


def teaches_from(run: CampaignRun) -> datetime | None:
    """From when on a run teaches (aware UTC); None while it is not over, or if it never will (no push, failed).
    Whether anybody got it, or it had a link, is not asked."""
    if run.way != "push" or run.state not in _OVER or run.finished_at is None:
        return None
    return run.finished_at + TEACHES_AFTER


@dataclass(frozen=True)
class CountedMessages:
    """What `count_message_results` found: rows of MessageResult that are new or have changed, and keys of those that
    are there but have nobody any more."""

    rows: list[dict[str, Any]]
    gone: list[Key]


def count_message_results(session: Session, *, now: datetime) -> CountedMessages:
    """Count the MessageResult rows of runs fired in the last 14 days, and of those that have none yet; not of those
    that are still being sent, or have been over for less than TEACHES_AFTER. Only reads; `store_message_results` writes
    what is not as it stands."""
    run, result, campaign = table_of(CampaignRun), table_of(MessageResult), table_of(Campaign)
    channel, link = table_of(Channel), table_of(TrackedLink)
    is_fresh = run.c.fired_at >= now - timedelta(days=LEARNING_DAYS)
    is_missing = ~exists().where(result.c.run_id == run.c.id)
    runs = session.execute(
        select(run.c.id, run.c.variants, run.c.fired_at, campaign.c.theme, channel.c.name)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .join(channel, channel.c.id == campaign.c.channel_id)
        .where(
            run.c.way == "push",
            or_(is_fresh, is_missing),
            run.c.state.in_(_OVER),
            run.c.finished_at <= now - TEACHES_AFTER,
            exists().where(link.c.campaign_id == campaign.c.id),  # without a link no click could come of it
        )
    ).all()
    said = {v["variant_id"]: v["messages"] for row in runs for v in row.variants}
    of_run = {row.id: row for row in runs}
    found, stored = _counts(session, list(of_run)), _stored(session, list(of_run))
    rows = [
        {
            "run_id": run_id,
            "variant_id": variant_id,
            "segment": segment,
            "theme": of_run[run_id].theme,
            "channel": of_run[run_id].name,
            "format": format_of(said[variant_id]),
            "message_text": words_of(said[variant_id]),
            "sent_at": of_run[run_id].fired_at,
            "recipients": recipients,
            "clicks": clicks,
            "changed_at": now,
        }
        for (run_id, variant_id, segment), (recipients, clicks) in found.items()
        if stored.get((run_id, variant_id, segment)) != (recipients, clicks, of_run[run_id].theme, of_run[run_id].name)
    ]
    return CountedMessages(rows, sorted(stored.keys() - found.keys()))


def _stored(session: Session, run_ids: list[int]) -> dict[Key, tuple[Any, ...]]:
    """What stands of these runs: recipients, clicks, theme and channel."""
    result = table_of(MessageResult)
    key = result.c.run_id, result.c.variant_id, result.c.segment
    figures = result.c.recipients, result.c.clicks, result.c.theme, result.c.channel
    rows = session.execute(select(*key, *figures).where(result.c.run_id.in_(run_ids)))
    return {tuple(row[:3]): tuple(row[3:]) for row in rows}


def _counts(session: Session, run_ids: list[int]) -> dict[Key, tuple[int, int]]:
    """(Run, variant, segment) -> (people accepted, of them those who tapped), in order: two workers that write the rows
    then wait in one direction only."""
    recipients: dict[Key, int] = {}
    for one in tallies(session, run_ids):
        if one.state == "accepted" and one.variant_id is not None:
            key = (one.run_id, one.variant_id, one.segment)
            recipients[key] = recipients.get(key, 0) + one.people
    response = table_of(RunResponse)
    key_columns = (response.c.run_id, response.c.variant_id, response.c.segment)
    tapped = session.execute(
        select(*key_columns, func.count())
        .where(response.c.run_id.in_(run_ids), response.c.state == "accepted", response.c.has_clicked)
        .group_by(*key_columns)
    )
    clicks = {(run_id, variant_id, segment): people for run_id, variant_id, segment, people in tapped}
    return {key: (recipients[key], min(recipients[key], clicks.get(key, 0))) for key in sorted(recipients)}


def store_message_results(session: Session, counted: CountedMessages) -> None:
    """Put the rows in place of what was known. Two workers may do so at once: the later word counts."""
    result = table_of(MessageResult)
    if counted.gone:
        key: dict[str, Any] = {name: bindparam(f"of_{name}") for name in ("run_id", "variant_id", "segment")}
        statement = delete(result).where(*(result.c[name] == value for name, value in key.items()))
        names = [f"of_{name}" for name in key]
        session.connection().execute(statement, [dict(zip(names, gone, strict=True)) for gone in counted.gone])
    if counted.rows:
        rows = insert_for(session, MessageResult)
        fresh = {name: rows.excluded[name] for name in ("recipients", "clicks", "theme", "channel", "changed_at")}
        statement = rows.on_conflict_do_update(index_elements=["run_id", "variant_id", "segment"], set_=fresh)
        session.connection().execute(statement, counted.rows)
