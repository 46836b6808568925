"""Results to take away: sums, people or orders of a campaign, streamed to a file, whatever their number. Audited."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, and_, select

from campaigns.planning.schedule import campaign_by_id
from campaigns.results.cost import RunCost, added_per_money, costs_of
from campaigns.results.lift import Lift
from campaigns.results.runs import RunResults, results_by_run, runs_of
from campaigns.results.table_file import write_table
from campaigns.results.tally import effective_state, with_batch
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, CampaignRun, Customer, Delivery, OrderCredit, RunResponse, SalesOrder, SendBatch

PAGE = 5_000  # rows read at once

delivery, response, batch = table_of(Delivery), table_of(RunResponse), table_of(SendBatch)

SUMMARY = (
    *("run_id", "step_number", "scheduled_for", "part", "name"),
    *("chosen", "held_out", "skipped", "accepted", "failed", "unknown", "messages", "clicked"),
    *("tap_buyers", "tap_orders", "tap_revenue", "delivery_buyers", "delivery_orders", "delivery_revenue", "blocked"),
    *("lift_buyers", "lift_buyers_low", "lift_buyers_high", "lift_revenue", "lift_revenue_low", "lift_revenue_high"),
    # of a whole run alone
    *("replies", "cost_beyond_plan", "cost_of_fee", "currency"),
    *("added_per_money", "added_per_money_low", "added_per_money_high"),
)
PEOPLE = (
    *("run_id", "customer_id", "member_id", "variant", "segment", "state", "reason", "by_reply", "sent_at"),
    *("clicked", "blocked", "orders", "revenue", "tap_orders", "tap_revenue", "delivery_orders", "delivery_revenue"),
)
ORDERS = (
    *("order_id", "ordered_at", "amount", "basis", "run_id", "variant", "customer_id", "member_id"),
    "since",
)

Rows = Iterator[Sequence[Any]]


def export_campaign(
    engine: Engine, campaign_id: int, path: Path, *, what: str, zone: ZoneInfo, actor: str, now: datetime
) -> int:
    """Write `what` (summary, people or orders) of all runs of a campaign to `path` (.csv, .xlsx or .json); returns the
    rows. Times are in `zone`. Noted in the audit trail before the first byte. Raises BadInput, NotFound."""
    kinds: dict[str, tuple[Sequence[str], Callable[[Engine, list[CampaignRun], ZoneInfo], Iterable[Sequence[Any]]]]]
    kinds = {"summary": (SUMMARY, _summary), "people": (PEOPLE, _people), "orders": (ORDERS, _orders)}
    if what not in kinds:
        raise BadInput(f"{what!r} is none of {', '.join(kinds)}")
    with transaction(engine) as session:
        campaign_by_id(session, campaign_id)
        runs = runs_of(session, campaign_id)
        detail = {"campaign_id": campaign_id, "what": what, "format": path.suffix.lower().removeprefix(".")}
        session.add(AuditEntry(at=now, actor=actor, action="export results", detail=detail))
    columns, rows = kinds[what]
    return write_table(path, columns, rows(engine, runs, zone))


def _summary(engine: Engine, runs: list[CampaignRun], zone: ZoneInfo) -> Iterable[Sequence[Any]]:
    with reading(engine) as session:
        results = results_by_run(session, [run.id or 0 for run in runs])
        mine = table_of(CampaignRun).c.campaign_id.in_({run.campaign_id for run in runs})
        costs = costs_of(session, mine, zone, results)
    for run in runs:
        found = results[run.id or 0]
        head = (run.id, run.step_number, run.scheduled_for.astimezone(zone))
        for part, name, row in _parts(run, found):
            cost = costs[run.id or 0] if part == "all" else None
            yield (*head, part, name, *row, *_cost(cost, found))


def _cost(cost: RunCost | None, found: RunResults) -> Sequence[Any]:
    money = (cost.replies, cost.money, round(cost.of_fee, 2), cost.currency) if cost else (None,) * 4
    return *money, *_interval(added_per_money(cost, found))


def _interval(lift: Lift | None) -> Sequence[float | None]:
    return (lift.difference, lift.low, lift.high) if lift else (None, None, None)


def _parts(run: CampaignRun, found: RunResults) -> Iterator[tuple[str, str, list[Any]]]:
    names = {variant["variant_id"]: variant["name"] for variant in run.variants}
    parts: list[tuple[str, str, Any, Any]] = [("all", "", found.total, found.lift)]
    for key, variant in found.variants.items():
        parts.append(("variant", names.get(key, ""), variant, found.variant_lifts.get(key or 0)))
    for segment, of_segment in found.segments.items():
        parts.append(("segment", segment, of_segment, found.segment_lifts.get(segment)))
    for kind, name, part, lifts in parts:
        row = [part.deliveries[state] for state in ("chosen", "held_out", "skipped", "accepted", "failed", "unknown")]
        row += [part.messages, part.clicked]
        for credited in (part.after_tap, part.after_delivery):
            row += [credited.buyers, credited.orders, credited.revenue]
        row.append(part.blocked)
        for lift in (lifts.buyers, lifts.revenue) if lifts else (None, None):
            row += _interval(lift)
        yield kind, name, row


def _people(engine: Engine, runs: list[CampaignRun], zone: ZoneInfo) -> Rows:
    customer = table_of(Customer)
    for run in runs:
        names = {variant["variant_id"]: variant["name"] for variant in run.variants}
        after = 0
        while True:
            page = (
                with_batch(
                    select(
                        delivery,
                        effective_state().label("now"),
                        batch.c.problem,
                        batch.c.sent_at.label("batch_sent_at"),
                        customer.c.member_id,
                        *(response.c[name] for name in _DID),
                    )
                )
                .join(customer, customer.c.id == delivery.c.customer_id)
                .outerjoin(
                    response,
                    and_(response.c.run_id == delivery.c.run_id, response.c.customer_id == delivery.c.customer_id),
                )
                .where(delivery.c.run_id == run.id, delivery.c.customer_id > after)
                .order_by(delivery.c.customer_id)
                .limit(PAGE)
            )
            with reading(engine) as session:
                rows = session.execute(page).all()
            for row in rows:
                yield _person(row, names, zone)
            if len(rows) < PAGE:
                break
            after = rows[-1].customer_id


_DID = (
    *("has_clicked", "has_blocked", "orders", "revenue"),
    *("tap_orders", "tap_revenue", "delivery_orders", "delivery_revenue"),
)


def _person(row: Any, names: dict[int, str], zone: ZoneInfo) -> Sequence[Any]:
    sent_at = row.sent_at or (row.batch_sent_at if row.now == "accepted" else None)
    reason = row.reason or (row.problem if row.now != row.state else None)
    return (
        *(row.run_id, row.customer_id, row.member_id, names.get(row.variant_id, ""), row.segment, row.now, reason),
        *(row.by_reply, sent_at.astimezone(zone) if sent_at else None),
        *(getattr(row, name) or 0 for name in _DID),
    )


def _orders(engine: Engine, runs: list[CampaignRun], zone: ZoneInfo) -> Rows:
    credit, order, customer = table_of(OrderCredit), table_of(SalesOrder), table_of(Customer)
    names = {variant["variant_id"]: variant["name"] for run in runs for variant in run.variants}
    for run in runs:
        for basis in ("tap", "delivery"):
            after = 0
            while True:
                page = (
                    select(credit, order.c.order_id, customer.c.member_id)
                    .join(order, order.c.id == credit.c.sales_order_id)
                    .join(customer, customer.c.id == credit.c.customer_id)
                    .where(credit.c.run_id == run.id, credit.c.basis == basis, credit.c.sales_order_id > after)
                    .order_by(credit.c.sales_order_id)
                    .limit(PAGE)
                )
                with reading(engine) as session:
                    rows = session.execute(page).all()
                for row in rows:
                    yield (
                        *(row.order_id, row.ordered_at.astimezone(zone), row.amount, row.basis, row.run_id),
                        *(names.get(row.variant_id, ""), row.customer_id, row.member_id, row.since.astimezone(zone)),
                    )
                if len(rows) < PAGE:
                    break
                after = rows[-1].sales_order_id
