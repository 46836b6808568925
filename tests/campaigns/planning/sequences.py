"""What the stories of steps and triggers are told with: plans, the worker's rounds, and what became of people."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from campaigns.planning.plan import StepPlan, VariantPlan
from campaigns.planning.steps import move_people
from store.engine import reading, table_of, transaction
from store.models import (
    BehaviourEvent,
    Enrolment,
    SalesOrder,
    SegmentChange,
)
from tests.campaigns.conftest import ZONE, Shop

Opener = Callable[[int], Shop]


def says(*texts: str, **fields: Any) -> list[StepPlan]:
    """A step for each text; `wait2=60` is the wait of the second in minutes, `condition2=…` its condition."""
    return [
        StepPlan(
            [VariantPlan([{"type": "text", "text": text}])],
            wait_minutes=fields.get(f"wait{n}", 0),
            condition=fields.get(f"condition{n}"),
        )
        for n, text in enumerate(texts, 1)
    ]


def move(shop: Shop) -> list[int]:
    return move_people(shop.engine, zone=ZONE, clock=shop.clock)


def step_on(shop: Shop, minutes: float = 0) -> None:
    """Let time pass, then let the worker do all that is due: people, freezing, sending, results of it."""
    shop.clock.advance(minutes=minutes)
    move(shop)
    shop.tick()
    shop.send()
    shop.tick()
    move(shop)


def on_the_way(shop: Shop, campaign_id: int) -> list[tuple[int, str, str | None, int]]:
    """(number of the person, state, reason, step) of every enrolment."""
    enrolment = table_of(Enrolment)
    with reading(shop.engine) as session:
        rows = session.execute(
            select(enrolment).where(enrolment.c.campaign_id == campaign_id).order_by(enrolment.c.id)
        ).all()
    return [(shop.ids.index(row.customer_id) + 1, row.state, row.reason, row.step_number) for row in rows]


def told(shop: Shop) -> list[tuple[int, str]]:
    """(number of the person, words) of every message that LINE got, in order of people and time."""
    with shop.line.platform.lock:
        entries = shop.line.platform.channels[0].ledger.entries
        return sorted((int(user[1:], 16), entry.messages[0]["text"]) for entry in entries for user in entry.to)


def order(shop: Shop, number: int, at: datetime, status: str = "paid") -> None:
    with transaction(shop.engine) as session:
        session.add(
            SalesOrder(
                order_id=f"o{number}-{at.isoformat()}",
                customer_id=shop.ids[number - 1],
                ordered_at=at,
                total=Decimal(100),
                status=status,
            )
        )


def event(shop: Shop, number: int, kind: str, at: datetime, **fields: Any) -> None:
    with transaction(shop.engine) as session:
        session.add(
            BehaviourEvent(
                event_key=f"{kind}:{number}:{at.isoformat()}",
                source="brand",
                kind=kind,
                customer_id=shop.ids[number - 1],
                occurred_at=at,
                received_at=at,
                **fields,
            )
        )


def moved(shop: Shop, number: int, before: str | None, after: str, *, is_relabelled: bool = False) -> None:
    with transaction(shop.engine) as session:
        session.add(
            SegmentChange(
                customer_id=shop.ids[number - 1],
                is_relabelled=is_relabelled,
                as_of=shop.clock().date(),
                changed_at=shop.clock(),
                old_nesl=before,
                nesl=after,
                nes="S",
            )
        )


# --- sequences -------------------------------------------------------------------------------------------------
