"""Codes that hang in a shop: a tracked link of no campaign, with a name, to be printed as a QR code."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import segno
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from campaigns.content.parts import MAX_URI
from campaigns.links.clicks import who_tapped
from segmentation.tags.definitions import check_name
from store.engine import table_of
from store.errors import BadInput, ExpectedError, NotFound
from store.models import Click, TrackedLink

MAX_NAME = 100


class NameTaken(ExpectedError):
    """There is a shop's code of this name already."""

    http_status = 409


@dataclass(frozen=True)
class ShopCode:
    """A code and what was done with it: fetches by kind (person, preview, robot …), and known people who tapped."""

    link_id: int
    name: str
    url: str
    topic: str | None
    fetches: dict[str, int]
    people_known: int


def create_code(session: Session, name: str, url: str, *, topic: str | None = None) -> TrackedLink:
    """A new code. Whoever taps it and is proven by LIFF gets the topic's tag. Raises BadInput, NameTaken."""
    name = name.strip()
    if not name or len(name) > MAX_NAME:
        raise BadInput(f"a code needs a name of 1 to {MAX_NAME} characters, such as 忠孝店櫃台")
    if not url.lower().startswith(("https://", "http://")) or len(url) > MAX_URI or any(c.isspace() for c in url):
        raise BadInput(f"{url!r} is not a link: it must begin with https:// and have at most {MAX_URI} characters")
    link = TrackedLink(name=name, url=url, topic=check_name(topic) if topic else None)
    try:
        with session.begin_nested():
            session.add(link)
    except IntegrityError as error:
        raise NameTaken(f"there is a code named {name!r} already") from error
    return link


def code_named(session: Session, name: str) -> TrackedLink:
    """The code of this name. Raises NotFound."""
    found = session.scalars(select(TrackedLink).where(table_of(TrackedLink).c.name == name)).first()
    if found is None:
        raise NotFound(f"there is no code named {name!r}")
    return found


def shop_codes(session: Session) -> Sequence[ShopCode]:
    """All codes by name, with what was done with each."""
    link, click = table_of(TrackedLink), table_of(Click)
    codes = session.execute(select(link).where(link.c.name.is_not(None)).order_by(link.c.name)).all()
    fetches: dict[int, dict[str, int]] = {code.id: {} for code in codes}
    people: dict[int, int] = {}
    for link_id, kind, count, known in session.execute(
        select(click.c.link_id, click.c.kind, func.count(), func.count(who_tapped().distinct()))
        .where(click.c.run_id.is_(None), click.c.link_id.in_(fetches))
        .group_by(click.c.link_id, click.c.kind)
    ):
        fetches[link_id][kind] = count
        if kind == "person":
            people[link_id] = known
    return [ShopCode(c.id, c.name, c.url, c.topic, fetches[c.id], people.get(c.id, 0)) for c in codes]


def qr_image(address: str, kind: str) -> bytes:
    """A QR code that holds `address`, as `kind` svg or png, for print: a quarter may be scratched."""
    out = BytesIO()
    segno.make_qr(address, error="q").save(out, kind=kind, scale=10, border=4)
    return out.getvalue()
