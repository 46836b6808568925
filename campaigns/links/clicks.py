"""Tracked links: signed tokens, telling people from robots, and a durable record of every tap.

A token holds the ids of link, run and customer and a tag made with the service's key. It holds no address: where a
link leads is looked up by its id, so there is no open redirect. No row is needed per link sent.
"""

import base64
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from crawlerdetect import CrawlerDetect
from sqlalchemy import Engine, select, update
from sqlmodel import Session

from segmentation.tags.hand import TopicTap, put_on_by_taps
from store.changes import note_changes, note_responses
from store.engine import insert_for, reading, table_of
from store.errors import NotFound
from store.journal import Journal
from store.models import BehaviourEvent, Campaign, CampaignRun, Click, TrackedLink

_FIELDS = struct.Struct(">IIQ")  # link, run, customer; 0 customers means "the same link for everyone"
_TAG_BYTES = 8  # enough against guessing for a tracking link; it opens nothing private
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")  # 24 bytes in Base64: no padding, no second spelling
MAX_USER_AGENT = 300  # stored
MAX_AGENT_READ = 1_000  # looked at to tell people from robots

ClickKind = Literal["person", "preview", "robot"]


class UnknownToken(NotFound):
    """A link token that this service did not make, or whose link is gone."""


@dataclass(frozen=True, slots=True)
class Tap:
    """Whose link was fetched. `customer_id` None: a multicast link, the same for everyone."""

    link_id: int
    run_id: int
    customer_id: int | None


class TokenSigner:
    """Makes and reads link tokens with one key."""

    def __init__(self, secret_key: str) -> None:
        # Derived, so that a link token can never stand in for anything else signed with the service's key.
        self._key = hmac.digest(secret_key.encode(), b"link token", "sha256")

    def sign(self, link_id: int, run_id: int, customer_id: int | None) -> str:
        """A URL-safe token of 32 characters."""
        fields = _FIELDS.pack(link_id, run_id, customer_id or 0)
        tag = hmac.digest(self._key, fields, hashlib.sha256)[:_TAG_BYTES]
        return base64.urlsafe_b64encode(fields + tag).decode()

    def read(self, token: str) -> Tap:
        """What a token says. Raises UnknownToken unless this key signed it."""
        if not _TOKEN.fullmatch(token):
            raise UnknownToken("this link is not one of ours")
        raw = base64.urlsafe_b64decode(token)
        fields, tag = raw[: _FIELDS.size], raw[_FIELDS.size :]
        if not hmac.compare_digest(hmac.digest(self._key, fields, hashlib.sha256)[:_TAG_BYTES], tag):
            raise UnknownToken("this link is not one of ours")
        link_id, run_id, customer_id = _FIELDS.unpack(fields)
        return Tap(link_id, run_id, customer_id or None)


_crawlers = CrawlerDetect()


@lru_cache(maxsize=4096)
def kind_of_agent(user_agent: str) -> ClickKind:
    """Who fetched a link, from its User-Agent. LINE's in-app browser (`Line/…`) is a person; a preview fetcher, which
    social apps run when a link is pasted, is not; without an agent it is a program."""
    lowered = user_agent.lower()
    if "facebookexternalhit" in lowered or "line-poker" in lowered:  # what LINE and others fetch previews with
        return "preview"
    if not user_agent.strip() or _crawlers.isCrawler(user_agent):
        return "robot"
    return "person"


def kind_of_request(method: str, headers: Any) -> ClickKind:
    """Who fetched a link: a HEAD request or a prefetch is a preview, whatever it calls itself."""
    if method == "HEAD" or "prefetch" in (headers.get("Sec-Purpose") or headers.get("Purpose") or "").lower():
        return "preview"
    return kind_of_agent((headers.get("User-Agent") or "")[:MAX_AGENT_READ])


class LinkBook:
    """Where links lead, looked up once per link and process: a link's address never changes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[int, int], str] = {}

    def find(self, tap: Tap) -> str:
        """The address that a tap's link leads to. Raises UnknownToken when link and run don't belong together."""
        found = self._known.get((tap.link_id, tap.run_id))
        if found is None:
            link, run = table_of(TrackedLink), table_of(CampaignRun)
            with reading(self._engine) as session:
                found = session.scalar(
                    select(link.c.url)
                    .join(run, run.c.campaign_id == link.c.campaign_id)
                    .where(link.c.id == tap.link_id, run.c.id == tap.run_id)
                )
            if found is None:
                raise UnknownToken("this link is gone")
            self._known[(tap.link_id, tap.run_id)] = found
        return found


def record_tap(journal: Journal, tap: Tap, *, kind: ClickKind, user_agent: str, now: datetime) -> None:
    """Make a tap durable; returns after the commit. Raises JournalFailed when it could not be stored."""
    journal.append(
        Click,
        {
            "link_id": tap.link_id,
            "run_id": tap.run_id,
            "customer_id": tap.customer_id,
            "clicked_at": now,
            "kind": kind,
            "user_agent": user_agent[:MAX_USER_AGENT],
            "has_event": False,
        },
    )


def make_click_events(session: Session, *, now: datetime, limit: int = 2_000) -> int:
    """Turn up to `limit` new clicks of known people into behaviour events, and put the tags of their links' topics on;
    returns how many clicks were looked at.

    Repeatable: the event's key is the click's id, so twice is once.
    """
    click, run, campaign, link = table_of(Click), table_of(CampaignRun), table_of(Campaign), table_of(TrackedLink)
    rows = session.execute(
        select(click, campaign.c.channel_id, run.c.campaign_id, link.c.topic)
        .join(run, run.c.id == click.c.run_id)
        .join(link, link.c.id == click.c.link_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
        .where(~click.c.has_event)
        .order_by(click.c.id)
        .limit(limit)
        .with_for_update(of=click, skip_locked=True)
    ).all()
    taps = [row for row in rows if row.kind == "person" and row.customer_id is not None]
    events = [
        {
            "event_key": f"click:{row.id}",
            "source": "link",
            "kind": "click",
            "channel_id": row.channel_id,
            "customer_id": row.customer_id,
            "topic": row.topic,
            "campaign_id": row.campaign_id,
            "occurred_at": row.clicked_at,
            "received_at": now,
            "payload": {"link_id": row.link_id, "run_id": row.run_id},
        }
        for row in taps
    ]
    if events:
        session.connection().execute(
            insert_for(session, BehaviourEvent).on_conflict_do_nothing(index_elements=["event_key"]), events
        )
    put_on_by_taps(session, [_topic_tap(row) for row in taps if row.topic is not None], now)
    note_changes(session, {row.customer_id for row in taps}, now)
    note_responses(session, {row.customer_id for row in taps})
    session.execute(update(click).where(click.c.id.in_([row.id for row in rows])).values(has_event=True))
    return len(rows)


def _topic_tap(row: Any) -> TopicTap:
    return TopicTap(row.customer_id, row.topic, row.link_id, row.campaign_id, row.clicked_at)
