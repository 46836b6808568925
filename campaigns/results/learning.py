"""What keywords learn from: one row per message (a variant of a run) and segment, counted anew while it still changes.
Rebuildable.

Of a push we know who tapped. Of a multicast or narrowcast LINE gives sums, which teach where they are what such a row
is: all who got the variant are of one segment. What LINE doesn't say is missing, never 0. It hides fewer than 20
people, so a small message would be seen only when it did well: those with fewer than LINE_TEACHES_FROM recipients are
left out whatever came of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select
from sqlmodel import Session

from campaigns.content.message import format_of, words_of
from campaigns.results.line_figures import line_figures
from campaigns.results.tally import tallies
from store.engine import insert_for, table_of
from store.models import Campaign, CampaignRun, Channel, MessageResult, RunResponse, TrackedLink

Key = tuple[int, int, str]  # run, variant, segment
# A run teaches once it has been over for so long. Most people who tap at all do so within a day; what was sent a moment
# ago looks as if nobody wanted it, and would take from its words what others have proved.
TEACHES_AFTER = timedelta(hours=24)
LEARNING_DAYS = 14  # clicks later than this no longer change what the keyword report learns from a run
LINE_TEACHES_FROM = 4_000  # people, of whom 20 tap at the lowest rates that are met (one in 200)
_LINE_LOOKS_LAST = timedelta(days=1)  # after LEARNING_DAYS: LINE is asked a last time then (sending/figures.py)
_OVER = ("sent", "cancelled")


def teaches_from(run: CampaignRun) -> datetime | None:
    """From when on a push teaches (aware UTC); None while it is not over, or failed, and for what LINE counts: that
    teaches when LINE has told enough. Whether anybody got it, or it had a link, is not asked."""
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
    """Count the MessageResult rows of runs fired in the last 14 days, and of pushes that have none yet; not of those
    that are still being sent, or have been over for less than TEACHES_AFTER. Only reads; `store_message_results`
    writes what is not as it stands."""
    run, result, campaign = table_of(CampaignRun), table_of(MessageResult), table_of(Campaign)
    channel, link = table_of(Channel), table_of(TrackedLink)
    is_fresh = run.c.fired_at >= now - timedelta(days=LEARNING_DAYS)
    is_missing = ~exists().where(result.c.run_id == run.c.id)
    is_told = run.c.fired_at >= now - timedelta(days=LEARNING_DAYS) - _LINE_LOOKS_LAST
    has_link = exists().where(link.c.campaign_id == campaign.c.id)  # without one no click could come of it
    runs = session.execute(
        select(
            *(run.c.id, run.c.variants, run.c.way, run.c.fired_at, run.c.finished_at, run.c.by_enrolment),
            *(campaign.c.theme, channel.c.name),
        )
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .join(channel, channel.c.id == campaign.c.channel_id)
        .where(
            or_(
                and_(run.c.way == "push", or_(is_fresh, is_missing), has_link),
                and_(run.c.way != "push", is_told, ~run.c.by_enrolment),
            ),
            run.c.state.in_(_OVER),
            run.c.finished_at <= now - TEACHES_AFTER,
        )
    ).all()
    said = {v["variant_id"]: v["messages"] for row in runs for v in row.variants}
    of_run = {row.id: row for row in runs}
    pushes = [row.id for row in runs if row.way == "push"]
    by_line = {row.id: row.finished_at for row in runs if row.way != "push"}
    found = {**_counts(session, pushes), **_line_counts(session, by_line)}
    stored = _stored(session, list(of_run))
    rows = [
        {
            "run_id": run_id,
            "variant_id": variant_id,
            "segment": segment,
            "theme": of_run[run_id].theme,
            "channel": of_run[run_id].name,
            "format": format_of(said[variant_id]),
            "counted_by": "us" if of_run[run_id].way == "push" else "line",
            "message_text": words_of(said[variant_id]),
            "sent_at": of_run[run_id].fired_at,
            "recipients": recipients,
            "clicks": clicks,
            "changed_at": now,
        }
        for (run_id, variant_id, segment), (recipients, clicks) in sorted(found.items())
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
    recipients = _accepted(session, run_ids)
    response = table_of(RunResponse)
    key_columns = (response.c.run_id, response.c.variant_id, response.c.segment)
    tapped = session.execute(
        select(*key_columns, func.count())
        .where(response.c.run_id.in_(run_ids), response.c.state == "accepted", response.c.has_clicked)
        .group_by(*key_columns)
    )
    clicks = {(run_id, variant_id, segment): people for run_id, variant_id, segment, people in tapped}
    return {key: (recipients[key], min(recipients[key], clicks.get(key, 0))) for key in sorted(recipients)}


def _accepted(session: Session, run_ids: Sequence[int]) -> dict[Key, int]:
    """How many people LINE accepted the message for."""
    recipients: dict[Key, int] = {}
    for one in tallies(session, run_ids):
        if one.state == "accepted" and one.variant_id is not None:
            key = (one.run_id, one.variant_id, one.segment)
            recipients[key] = recipients.get(key, 0) + one.people
    return recipients


def _line_counts(session: Session, finished: Mapping[int, datetime]) -> dict[Key, tuple[int, int]]:
    """(Run, variant, segment) -> (people accepted, of them those who tapped as LINE counts them); `finished`: run id ->
    when it was over. Variants to several segments or to few people are left out, and those whose clicks LINE has not
    told of TEACHES_AFTER the end, or hides, of any of their versions."""
    segments: dict[tuple[int, int], dict[str, int]] = {}
    for (run_id, variant_id, segment), people in _accepted(session, list(finished)).items():
        segments.setdefault((run_id, variant_id), {})[segment] = people
    told: dict[tuple[int, int], int | None] = {}
    for run_id, of_run in line_figures(session, list(finished)).items():
        for one in of_run:
            is_late = one.fetched_at is not None and one.fetched_at >= finished[run_id] + TEACHES_AFTER
            so_far = told.get((run_id, one.variant_id), 0)
            is_known = is_late and one.clicked is not None and so_far is not None
            told[run_id, one.variant_id] = (so_far or 0) + (one.clicked or 0) if is_known else None
    return {
        (*message, segment): (people, min(people, clicks))
        for message, got in segments.items()
        for segment, people in got.items()
        if len(got) == 1 and people >= LINE_TEACHES_FROM and (clicks := told.get(message)) is not None
    }


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
