"""Proposed labels in the store, and what a person decides about them.

A proposal is a row of ProductLabel. Approved, its label stands in `Product.labels` too, and the product's buyers are
computed anew; who only looked at it follows with the next whole run. Rejected, it is never proposed again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, select, update
from sqlmodel import Session

from segmentation.labels import Article, Proposal, Tokenize, normal, propose
from store.changes import note_changes
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import NotFound
from store.models import AuditEntry, OrderLine, Product, ProductLabel, SalesOrder

product, product_label = table_of(Product), table_of(ProductLabel)
line, order = table_of(OrderLine), table_of(SalesOrder)

REJECTIONS_TO_STOP = 3  # a label that was rejected so often, and approved never, isn't proposed for other products
_CHUNK = 1000


@dataclass(frozen=True)
class ProposalChanges:
    """What a round of proposing changed."""

    products: int
    added: int
    changed: int
    withdrawn: int


@dataclass(frozen=True)
class ProposedProduct:
    """A product that a label is proposed for, and why."""

    sku: str
    name: str
    score: float
    source: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class ProposedLabel:
    """A label that waits for a decision, with its products, the surest first."""

    label: str
    score: float  # of the surest
    products: tuple[ProposedProduct, ...]


def renew_proposals(engine: Engine, tokenize: Tokenize, clock: Clock) -> ProposalChanges:
    """Propose labels for the whole catalogue, and withdraw undecided ones that nothing speaks for any more."""
    with reading(engine) as session:
        articles = read_articles(session)
        columns = (product_label.c.product_id, product_label.c.label, product_label.c.state, product_label.c.evidence)
        rows = session.execute(select(*columns)).all()
    before = {(product_id, label): why for product_id, label, state, why in rows if state == "proposed"}
    decided = {(product_id, normal(label)) for product_id, label, state, _ in rows if state != "proposed"}
    found = propose(articles, tokenize, _given_up((label, state) for _, label, state, _ in rows))
    wanted = {(p.product_id, p.label): p for p in found if (p.product_id, normal(p.label)) not in decided}
    fresh = [proposal for key, proposal in wanted.items() if before.get(key) != _evidence(proposal)]
    stale = sorted(before.keys() - wanted.keys())
    _write(engine, fresh, stale, clock())
    added = sum(1 for proposal in fresh if (proposal.product_id, proposal.label) not in before)
    return ProposalChanges(len(articles), added, len(fresh) - added, len(stale))


def read_articles(session: Session) -> list[Article]:
    """The catalogue, by id."""
    columns = (product.c.id, product.c.name, product.c.description, product.c.categories, product.c.labels)
    return [
        Article(product_id, name, description or "", tuple(categories), frozenset(labels))
        for product_id, name, description, categories, labels in session.execute(
            select(*columns).order_by(product.c.id)
        )
    ]


def _given_up(decisions: Iterable[tuple[str, str]]) -> set[str]:
    states: dict[str, Counter[str]] = {}
    for label, state in decisions:
        states.setdefault(label, Counter())[state] += 1
    return {label for label, n in states.items() if n["rejected"] >= REJECTIONS_TO_STOP and not n["approved"]}


def _evidence(proposal: Proposal) -> dict[str, Any]:
    return {"score": proposal.score, "source": proposal.source, "words": list(proposal.words)}


def _write(engine: Engine, fresh: Sequence[Proposal], stale: Sequence[tuple[int, str]], now: datetime) -> None:
    """In short transactions. What was decided or deleted meanwhile stays as it is."""
    undecided = product_label.c.state == "proposed"
    for first in range(0, len(stale), _CHUNK):
        with transaction(engine) as session:
            for product_id, label in stale[first : first + _CHUNK]:
                key = (product_label.c.product_id == product_id) & (product_label.c.label == label)
                session.execute(delete(product_label).where(key, undecided))
    for first in range(0, len(fresh), _CHUNK):
        chunk = fresh[first : first + _CHUNK]
        with transaction(engine) as session:
            there = set(session.scalars(select(product.c.id).where(product.c.id.in_({p.product_id for p in chunk}))))
            rows = [
                {
                    "product_id": proposal.product_id,
                    "label": proposal.label,
                    "state": "proposed",
                    "evidence": _evidence(proposal),
                    "proposed_at": now,
                }
                for proposal in chunk
                if proposal.product_id in there
            ]
            statement = insert_for(session, ProductLabel)
            upsert = statement.on_conflict_do_update(
                index_elements=["product_id", "label"],
                set_={"evidence": statement.excluded.evidence, "proposed_at": statement.excluded.proposed_at},
                where=undecided,
            )
            if rows:
                session.execute(upsert, rows)


def waiting(session: Session, label: str | None = None) -> list[ProposedLabel]:
    """Undecided proposals by label, those with the surest and then the most products first; of one label only when it
    is given. Raises NotFound for a label that isn't proposed for any product."""
    statement = (
        select(product_label.c.label, product.c.sku, product.c.name, product_label.c.evidence)
        .join(product, product.c.id == product_label.c.product_id)
        .where(product_label.c.state == "proposed")
    )
    if label is not None:
        statement = statement.where(product_label.c.label == label)
    found: dict[str, list[ProposedProduct]] = {}
    for name, sku, product_name, why in session.execute(statement.order_by(product.c.sku)):
        proposed = ProposedProduct(sku, product_name, why["score"], why["source"], tuple(why["words"]))
        found.setdefault(name, []).append(proposed)
    if label is not None and not found:
        raise NotFound(f"the label {label!r} isn't proposed for any product")
    labels = []
    for name, products in found.items():
        ordered = tuple(sorted(products, key=lambda one: (-one.score, one.sku)))
        labels.append(ProposedLabel(name, ordered[0].score, ordered))
    return sorted(labels, key=lambda one: (-one.score, -len(one.products), one.label))


def decide(
    engine: Engine,
    label: str,
    skus: Sequence[str] | None,
    *,
    approve: bool,
    clock: Clock,
    actor: str,
    only_waiting: bool = False,
) -> list[str]:
    """Approve or reject a label, for the products named, or for all that it waits for; returns the SKUs that were
    decided. A named product may have been decided before: the newest decision holds, and rejecting takes an approved
    label off; unless `only_waiting`: then what somebody else decided first stands.

    Writes an audit entry. Raises NotFound for a product that the label was never proposed for.
    """
    with reading(engine) as session:
        keyed = _decidable(session, label, skus)
    states = ("proposed",) if only_waiting or skus is None else ("proposed", "approved", "rejected")
    decided = []
    for product_id, sku in keyed.items():
        with transaction(engine) as session:
            if _decide_one(session, product_id, label, states, approve=approve, now=clock(), actor=actor):
                decided.append(sku)
    action, detail = f"{'approve' if approve else 'reject'} product label", {"label": label, "products": len(decided)}
    with transaction(engine) as session:
        session.add(AuditEntry(at=clock(), actor=actor, action=action, detail=detail))
    return decided


def _decidable(session: Session, label: str, skus: Sequence[str] | None) -> dict[int, str]:
    """Product id -> SKU of the products to decide for."""
    statement = (
        select(product.c.id, product.c.sku)
        .join(product_label, product_label.c.product_id == product.c.id)
        .where(product_label.c.label == label)
        .order_by(product.c.sku)
    )
    if skus is None:
        keyed = {row.id: row.sku for row in session.execute(statement.where(product_label.c.state == "proposed"))}
        if not keyed:
            raise NotFound(f"the label {label!r} isn't proposed for any product")
        return keyed
    keyed = {row.id: row.sku for row in session.execute(statement) if row.sku in skus}
    for sku in skus:
        if sku not in keyed.values():
            raise NotFound(f"the label {label!r} was never proposed for the product {sku!r}")
    return keyed


def _decide_one(
    session: Session, product_id: int, label: str, states: Sequence[str], *, approve: bool, now: datetime, actor: str
) -> bool:
    """Whether it was decided: its state was one of `states`. Two who decide at once wait for each other."""
    article = session.scalars(select(Product).where(product.c.id == product_id).with_for_update()).one()
    mine = (product_label.c.product_id == product_id, product_label.c.label == label)
    decision = {"state": "approved" if approve else "rejected", "decided_at": now, "decided_by": actor}
    changed = update(product_label).where(*mine, product_label.c.state.in_(states)).values(decision)
    if not session.execute(changed).rowcount:  # type: ignore[attr-defined]
        return False
    labels = [one for one in article.labels if normal(one) != normal(label)] + ([label] if approve else [])
    if set(labels) != set(article.labels):
        article.labels = labels
        session.add(article)
        note_changes(session, buyers([article.sku]), now)
    return True


def buyers(skus: Sequence[str]) -> Any:
    """The query for the ids of customers with an order of one of the products, whatever became of it."""
    return select(order.c.customer_id).join(line, line.c.sales_order_id == order.c.id).where(line.c.sku.in_(skus))


def label_counts(session: Session) -> dict[str, int]:
    """Label -> how many products have it, the most used first."""
    counts: Counter[str] = Counter()
    for labels in session.scalars(select(product.c.labels)):
        counts.update(set(labels))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
