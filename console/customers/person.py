"""One customer: segments, tags with why, predictions, and the line of all that happened."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlalchemy import select
from sqlmodel import Session

from console.access.roles import Role
from console.customers.goods import goods_of
from console.customers.timeline import KINDS, Moment, Place, moments, moves_of, words_in
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.segments.segment_words import TITLES, segment_named
from console.tags.evidence import Told as Fact
from console.tags.tag_words import Wording
from segmentation.history import latest_run
from segmentation.predict.ltv import ltv_of
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import AuditEntry, Customer, CustomerPrediction, CustomerSegment, CustomerTag, LineAccount, Tag

WORDS_ARE_FOR = Role.MARKETER  # owners may too
PAGE_ROWS = 50
GOODS_SHOWN = 8  # of an order
_HELD = tuple(
    table_of(CustomerTag).c[name]
    for name in ("since", "until", "strength", "source", "evidence", "off_evidence", "falls_off_on")
)
account = table_of(LineAccount)


def show_customer(customer_id: int) -> str:
    kind, after = request.args.get("kind"), Place.read(request.args.get("before"))
    kind = kind if kind in KINDS else None
    # What somebody wrote is shown to those who write to them, when they ask for it, and that they did is noted.
    shows_words = "words" in request.args and g.user.role.may(WORDS_ARE_FOR)
    with transaction(site.engine) if shows_words else reading(site.engine) as session:
        one = session.get(Customer, customer_id) if customer_id < 2**63 else None
        if one is None:
            raise NotFound(f"there is no customer {customer_id}")
        if shows_words:
            detail = {"customer_id": customer_id}
            session.add(AuditEntry(at=site.clock(), actor=g.user.email, action="read chat", detail=detail))
        wording, segments = Wording(session, g.language), session.get(CustomerSegment, customer_id)
        line = moments(session, customer_id, kind=kind, after=after, limit=PAGE_ROWS + 1)
        orders = {moment.place.id for moment in line if moment.kind == "order"}
        looked_at = {moment.row.sku for moment in line if moment.kind == "event" and moment.row.sku}
        return render_template(
            "console/customers/one.html",
            customer=one,
            accounts=session.scalars(select(LineAccount).where(account.c.customer_id == customer_id)).all(),
            tags=_tags(session, wording, customer_id),
            segments=segments,
            computed_at=segments and _computed_at(session, segments),
            titles=TITLES,
            prediction=session.get(CustomerPrediction, customer_id),
            value=ltv_of(session, customer_id),
            names=segment_named,
            line=[Told(moment, *_more(session, wording, moment)) for moment in line[:PAGE_ROWS]],
            goods=goods_of(session, orders, looked_at),
            goods_shown=GOODS_SHOWN,
            more=line[PAGE_ROWS - 1].place if len(line) > PAGE_ROWS else None,
            before=after,
            kinds=KINDS,
            kind=kind,
            words_in=words_in,
            may_read_words=g.user.role.may(WORDS_ARE_FOR),
            shows_words=shows_words,
        )


def _computed_at(session: Session, segments: CustomerSegment) -> datetime:
    """When it was last found that these are the customer's segments: a whole run leaves a row as it is of whom nothing
    has changed."""
    run = latest_run(session)
    return max(segments.computed_at, run.finished_at) if run and run.finished_at else segments.computed_at


@dataclass(frozen=True)
class Told:
    """A moment with what its row says only in other words: the moves of segments, why a tag went on or came off."""

    moment: Moment
    moves: list[tuple[str, str | None, str | None]]
    why: list[Fact]


def _more(
    session: Session, wording: Wording, moment: Moment
) -> tuple[list[tuple[str, str | None, str | None]], list[Fact]]:
    if moment.kind == "segment":
        return moves_of(moment.row), []
    if moment.kind != "tag":
        return [], []
    evidence = moment.row.evidence if moment.what == "on" else moment.row.off_evidence
    one = session.get_one(Tag, moment.row.tag_id)
    return [], wording.why(one, moment.row.source, evidence)


@dataclass(frozen=True)
class HeldTag:
    """A tag that somebody has or had: why it was put on, when it falls off and, of a former one, why it came off."""

    row: Any
    why: list[Fact]
    end: str
    why_off: list[Fact]


def _tags(session: Session, wording: Wording, customer_id: int) -> list[HeldTag]:
    """Those that are on by name, then those that came off, the newest first."""
    tag, held = table_of(Tag), table_of(CustomerTag)
    found = select(Tag, *_HELD).join(held, held.c.tag_id == tag.c.id)
    mine = found.where(held.c.customer_id == customer_id)
    on = session.execute(mine.where(held.c.until.is_(None)).order_by(tag.c.name)).all()
    off = session.execute(mine.where(held.c.until.is_not(None)).order_by(held.c.until.desc()).limit(PAGE_ROWS)).all()

    def made(row: Any) -> HeldTag:
        why, why_off = (wording.why(row.Tag, row.source, found) for found in (row.evidence, row.off_evidence))
        return HeldTag(row, why, wording.end(row.Tag, row.source, row.falls_off_on), why_off)

    return [made(row) for row in (*on, *off)]


ROUTES = (get("/customers/<int:customer_id>", show_customer),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/customers/<id>."""
    add_routes(blueprint, ROUTES)
