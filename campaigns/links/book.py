"""Where links lead."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Engine, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session
from werkzeug.urls import iri_to_uri

from campaigns.content.parts import BUTTON
from campaigns.links.tokens import Tap, UnknownToken
from store.engine import reading, table_of
from store.errors import BadInput
from store.models import Campaign, CampaignRun, FormerCustomer, TrackedLink

UTM_NAMES = ("source", "medium", "campaign", "term", "content")
_OWN_UTM = re.compile(r"[?&]utm_[a-z_]+=", re.IGNORECASE)


class LinkBook:
    """The addresses of links, looked up once per link and process: they never change. And whose a link is now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[int, int | None], str] = {}

    def find(self, tap: Tap) -> str:
        """The address that a tap's link leads to, percent-encoded. Raises UnknownToken when link and run don't belong
        together."""
        key = (tap.link_id, tap.run_id)
        found = self._known.get(key)
        if found is None:
            with reading(self._engine) as session:
                row = session.execute(_address_of(tap)).first()
            if row is None:
                raise UnknownToken("this link is gone")
            found = self._known[key] = iri_to_uri(with_utm(row.url, row.utm or {}))
        return found

    def with_owner_now(self, tap: Tap) -> Tap | None:
        """The tap as of whom its link's owner turned out to be since it was sent; None: it is as it was, or that can't
        be known just now."""
        try:
            with reading(self._engine) as session:
                owner = owner_now(session, tap)
        except (OperationalError, InterfaceError):
            return None
        return None if owner == tap.customer_id else replace(tap, customer_id=owner)


def owner_now(session: Session, tap: Tap) -> int | None:
    """The customer whom a tap's link was made for, by the id that they have now: they may have been merged into
    another (store/imports/merging.py). None as in the tap."""
    former = table_of(FormerCustomer)
    now = session.scalar(select(former.c.customer_id).where(former.c.former_id == tap.customer_id))
    return tap.customer_id if now is None else now


def _address_of(tap: Tap) -> Any:
    link, run, campaign = table_of(TrackedLink), table_of(CampaignRun), table_of(Campaign)
    statement = select(link.c.url, campaign.c.utm).where(link.c.id == tap.link_id, ~link.c.url.startswith(BUTTON))
    if tap.run_id is None:
        return statement.outerjoin(campaign, campaign.c.id == link.c.campaign_id).where(link.c.campaign_id.is_(None))
    return (
        statement.join(campaign, campaign.c.id == link.c.campaign_id)
        .join(run, run.c.campaign_id == campaign.c.id)
        .where(run.c.id == tap.run_id)
    )


def with_utm(url: str, utm: Mapping[str, str]) -> str:
    """`url` with the campaign's utm_* in its query; a link that has some of its own stays as it is, to the letter."""
    if not utm or _OWN_UTM.search(url):
        return url
    address, sign, fragment = url.partition("#")
    joint = "" if address.endswith(("?", "&")) else "&" if "?" in address else "?"
    return f"{address}{joint}{urlencode({f'utm_{name}': value for name, value in utm.items()})}{sign}{fragment}"


def check_utm(utm: Mapping[str, str]) -> None:
    """Raise BadInput unless these are values of utm_source, _medium, _campaign, _term or _content."""
    for name, value in utm.items():
        if name not in UTM_NAMES:
            raise BadInput(f"there is no utm_{name}; there are {', '.join(UTM_NAMES)}")
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            raise BadInput(f"utm_{name} must be a text of 1 to 200 characters")
