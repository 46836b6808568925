"""顧客: who they are; and one customer with segments, tags, predictions, orders, events and deliveries."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlalchemy import Engine, Select, or_, select
from sqlmodel import Session

from campaigns.results.tally import effective_state, with_batch
from console.evidence import Told, told
from console.segments import TITLES
from console.tag_words import Wording
from segmentation.history import Movement, history_of
from segmentation.models import MODELS, Segment
from segmentation.predict.ltv import ltv_of
from store.engine import reading, table_of
from store.errors import NotFound
from store.models import (
    BehaviourEvent,
    Campaign,
    CampaignRun,
    Customer,
    CustomerPrediction,
    CustomerSegment,
    CustomerTag,
    Delivery,
    LineAccount,
    SalesOrder,
    Tag,
)

PAGE_ROWS = 50
_HELD = tuple(
    table_of(CustomerTag).c[name]
    for name in ("since", "until", "strength", "source", "evidence", "off_evidence", "falls_off_on")
)
customer, account, segments = table_of(Customer), table_of(LineAccount), table_of(CustomerSegment)


def add_pages(blueprint: Blueprint, engine: Engine) -> None:
    """GET /console/customers and /console/customers/<id>."""

    @blueprint.get("/customers")
    def list_customers() -> str:
        words = request.args.get("q", "").strip()[:100]
        after = request.args.get("after", 0, type=int)
        with reading(engine) as session:
            rows = session.execute(_matching(words, after)).all()
            more = rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None
            return render_template(
                "console/customers.html", rows=rows[:PAGE_ROWS], words=words, after=after, more=more, names=_names
            )

    @blueprint.get("/customers/<int:customer_id>")
    def show_customer(customer_id: int) -> str:
        with reading(engine) as session:
            one = session.get(Customer, customer_id) if customer_id < 2**63 else None
            if one is None:
                raise NotFound(f"there is no customer {customer_id}")
            return render_template(
                "console/customer.html",
                customer=one,
                accounts=session.scalars(select(LineAccount).where(account.c.customer_id == customer_id)).all(),
                tags=_tags(session, customer_id),
                segments=session.get(CustomerSegment, customer_id),
                titles=TITLES,
                moves=_moves(session, customer_id),
                prediction=session.get(CustomerPrediction, customer_id),
                value=ltv_of(session, customer_id),
                names=_names,
                orders=_latest(session, SalesOrder, customer_id, "ordered_at"),
                events=_latest(session, BehaviourEvent, customer_id, "occurred_at"),
                deliveries=_deliveries(session, customer_id),
            )


def _matching(words: str, after: int) -> Select[Any]:
    """One row more than a page of customers, by id after `after`; paging by key stays fast on the last page too."""
    found = (
        select(customer.c.id, customer.c.member_id, customer.c.name, customer.c.city, segments.c.rf11, segments.c.nesl)
        .outerjoin(segments, segments.c.customer_id == customer.c.id)
        .where(customer.c.id > after)
        .order_by(customer.c.id)
        .limit(PAGE_ROWS + 1)
    )
    if not words:
        return found
    of_account = select(account.c.customer_id).where(account.c.line_user_id == words)
    return found.where(
        or_(
            customer.c.member_id.istartswith(words, autoescape=True),
            customer.c.name.icontains(words, autoescape=True),
            customer.c.id.in_(of_account),
        )
    )


def _names(model: str, value: str | None) -> Segment | None:
    """The segment `value` of `model`; None without one."""
    return next((segment for segment in MODELS[model] if segment.name == value), None)


@dataclass(frozen=True)
class HeldTag:
    """A tag that somebody has or had: why it was put on and, of a former one, why it came off."""

    row: Any
    why: list[Told]
    why_off: list[Told]


def _tags(session: Session, customer_id: int) -> list[HeldTag]:
    """Those that are on by name, then those that came off, the newest first."""
    tag, held = table_of(Tag), table_of(CustomerTag)
    found = select(Tag, *_HELD).join(held, held.c.tag_id == tag.c.id)
    mine = found.where(held.c.customer_id == customer_id)
    on = session.execute(mine.where(held.c.until.is_(None)).order_by(tag.c.name)).all()
    off = session.execute(mine.where(held.c.until.is_not(None)).order_by(held.c.until.desc()).limit(PAGE_ROWS)).all()
    wording = Wording(session, g.language)

    def made(row: Any) -> HeldTag:
        conditions = wording.conditions(row.Tag)
        why_off = told(row.source, row.off_evidence, conditions, g.language) if row.off_evidence else []
        return HeldTag(row, told(row.source, row.evidence, conditions, g.language), why_off)

    return [made(row) for row in (*on, *off)]


def _moves(session: Session, customer_id: int) -> list[tuple[str, Movement]]:
    """(model, movement), the newest first."""
    moves = [(model, move) for model, found in history_of(session, customer_id).items() for move in found]
    return sorted(moves, key=lambda pair: -pair[1].id)[:PAGE_ROWS]


def _latest(session: Session, model: Any, customer_id: int, moment: str) -> list[Any]:
    table = table_of(model)
    newest = select(model).where(table.c.customer_id == customer_id).order_by(table.c[moment].desc(), table.c.id.desc())
    return list(session.scalars(newest.limit(PAGE_ROWS)))


def _deliveries(session: Session, customer_id: int) -> list[Any]:
    delivery, run, campaign = table_of(Delivery), table_of(CampaignRun), table_of(Campaign)
    columns = (campaign.c.id, campaign.c.name, run.c.scheduled_for, delivery.c.reason, effective_state().label("state"))
    found = (
        with_batch(select(*columns))
        .join(run, run.c.id == delivery.c.run_id)
        .join(campaign, campaign.c.id == run.c.campaign_id)
    )
    return list(
        session.execute(found.where(delivery.c.customer_id == customer_id).order_by(run.c.id.desc()).limit(PAGE_ROWS))
    )
