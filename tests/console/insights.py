"""A shop whose segments and tags were computed on two days, and how its pages are read."""

import re
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select

from segmentation.renew import Ground, renew_everyone
from segmentation.settings import SegmentSettings
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on
from store.engine import reading, table_of, transaction
from store.models import (
    CustomerTag,
    OrderLine,
    Product,
    Tag,
)
from tests.conftest import StillClock
from tests.factories import make_customer, make_order

TAIPEI = ZoneInfo("Asia/Taipei")
RULE: dict[str, Any] = {"type": "all", "of": [{"type": "orders", "measure": "count", "at_least": 3}]}
FIRST, LAST = date(2026, 9, 1), date(2026, 11, 1)


def cells(text: str, name: str) -> list[str]:
    """The cells of the first table row whose first cell begins with `name`, as a reader sees them."""
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL):
        found = [unescape(" ".join(re.sub(r"<[^>]+>", " ", p).split())) for p in re.split(r"</t[dh]>", row)[:-1]]
        if found and found[0].startswith(name):
            return found
    raise AssertionError(f"no row of {name}")


def compute(engine: Engine, clock: StillClock, day: date) -> None:
    renew_everyone(Ground(engine, TAIPEI, clock), SegmentSettings(), as_of=day)


@pytest.fixture
def shop(engine: Engine, clock: StillClock) -> dict[str, int]:
    """30 people whose orders spread over a year, some of whom become customers between the two days that are computed;
    a rule tag, a measure tag, a predictive one and one by hand. Returns tag ids by name."""
    now = clock()
    with transaction(engine) as session:
        session.add(Product(sku="S", name="洗髮精", labels=["去屑"], categories=["洗髮"]))
        for n in range(30):
            who = make_customer(session, member_id=f"M{n:02}", city="台中市" if n % 2 else "台北市")
            for k in range(n % 5):
                at = now - timedelta(days=5 + 11 * k + 9 * n)
                order = make_order(session, who, ordered_at=at, total=Decimal(100 * (n + 1)))
                one: dict[str, Any] = {"quantity": Decimal(1), "unit_price": Decimal(100 * (n + 1))}
                session.add(OrderLine(sales_order_id=order.id or 0, line_number=1, sku="S", **one))
        top = {"measure": "paid_total", "top_percent": 10}
        tags = [
            create_tag(session, "老客戶", source="rule", definition={"when": RULE}, now=now),
            create_tag(session, "大戶", source="measure", definition=top, now=now),
            create_tag(session, "會買", source="measure", definition={"measure": "p_buy", "at_least": "0.5"}, now=now),
            create_tag(session, "講座", now=now),
        ]
        put_on(session, "講座", [1, 2], actor="小陳", now=now, note="五月場", today=date(2026, 11, 2))
        ids = {tag.name: tag.id or 0 for tag in tags}
    compute(engine, clock, FIRST)
    clock.advance(hours=1)
    compute(engine, clock, LAST)
    return ids


def holders(engine: Engine, name: str) -> list[int]:
    with reading(engine) as session:
        tag = session.scalars(select(Tag).where(table_of(Tag).c.name == name)).one()
        held = table_of(CustomerTag)
        found = select(held.c.customer_id).where(held.c.tag_id == tag.id, held.c.until.is_(None))
        return sorted(session.scalars(found))
