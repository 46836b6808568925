"""A tap through the LIFF page: who tapped is what LINE says of the ID token that the page hands in, nothing else.

A user id or profile sent by the page is never looked at. Source: "Using user data in LIFF apps and servers".
"""

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine, select

from campaigns.links.book import owner_now
from campaigns.links.clicks import Append, record_tap
from campaigns.links.kinds import ClickKind
from campaigns.links.tokens import Tap
from store.engine import reading, table_of
from store.models import LineAccount


class IdTokens(Protocol):
    """The door to LINE Login that is needed here."""

    def user_of(self, id_token: str, *, now: datetime) -> str | None:
        """The LINE user id that LINE vouches for; None when it does not. Raises when LINE can't be asked."""


def record_proven_tap(
    engine: Engine, journal: Append, tap: Tap, line_user_id: str, *, user_agent: str, now: datetime
) -> ClickKind:
    """Make a tap durable whose tapper LINE has named. On somebody else's link it is a forward, also when the tapper is
    nobody we know. Raises JournalFailed."""
    account = table_of(LineAccount)
    with reading(engine) as session:
        # The id is the same on all channels of the brand's provider.
        known = select(account.c.customer_id).where(account.c.line_user_id == line_user_id).order_by(account.c.id)
        tapper = session.scalar(known.limit(1))
        tap = replace(tap, customer_id=owner_now(session, tap))
    kind: ClickKind = "person" if tap.customer_id in (None, tapper) else "forward"
    record_tap(journal, tap, kind=kind, user_agent=user_agent, now=now, tapped_by_id=tapper)
    return kind
