"""Buttons that come back by webhook (postbacks): a tap of one in a campaign counts as a click of its run.

What goes out carries a mark behind the button's own data, signed as links are: which button of which run. Who tapped
stands in LINE's event, so one body for many tells who tapped all the same. bot/ declares what it needs of this, and
service/ joins the two.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import insert, select, tuple_
from sqlmodel import Session

from campaigns.links.making import MARK
from campaigns.links.tokens import TokenSigner, UnknownToken
from store.engine import table_of
from store.models import CampaignRun, Click, TrackedLink

AGENT = "LINE postback"  # in the place of a browser's
_MARKED = re.compile(re.escape(MARK) + r"([A-Za-z0-9_-]{32})$")


class Press(Protocol):
    """A button was tapped: its data as LINE sent it, by whom, and when (aware UTC)."""

    @property
    def data(self) -> str: ...
    @property
    def customer_id(self) -> int: ...
    @property
    def at(self) -> datetime: ...


class Buttons:
    """Knows the buttons of campaigns by the marks that `signer` made."""

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    def record(self, session: Session, presses: Sequence[Press]) -> None:
        """Keep a click for each press of a campaign's button; others, and those whose campaign is gone, leave none.
        What follows from a click is made of it later: campaigns/links/clicks.py."""
        found = [(press, tap) for press in presses if (tap := self._read(press.data)) is not None]
        if not found:
            return
        known = _known(session, {tap for _, tap in found})
        rows = [_click(press, *tap) for press, tap in found if tap in known]
        if rows:
            session.execute(insert(table_of(Click)), rows)

    def _read(self, data: str) -> tuple[int, int] | None:
        """Link and run of a button's data; None for one that is not ours."""
        marked = _MARKED.search(data)
        try:
            tap = self._signer.read(marked[1]) if marked else None
        except UnknownToken:
            return None
        return None if tap is None or tap.run_id is None else (tap.link_id, tap.run_id)


def _known(session: Session, taps: set[tuple[int, int]]) -> set[tuple[int, int]]:
    link, run = table_of(TrackedLink), table_of(CampaignRun)
    both = select(link.c.id, run.c.id).join(run, run.c.campaign_id == link.c.campaign_id)
    rows = session.execute(both.where(tuple_(link.c.id, run.c.id).in_(taps)))
    return {(link_id, run_id) for link_id, run_id in rows}


def _click(press: Press, link_id: int, run_id: int) -> dict[str, Any]:
    return {
        "link_id": link_id,
        "run_id": run_id,
        "tapped_by_id": press.customer_id,
        "clicked_at": press.at,
        "kind": "person",
        "user_agent": AGENT,
        "has_event": False,
    }
