"""Load the sample: facts alone, in one transaction, as if a brand had imported and sent them; what follows from them
the worker works out as for any brand.

Its people have LINE accounts on a channel of their own that has no token, so nothing can ever be sent to them.
Customers, products, campaigns and that channel are marked (SampleRow); all else hangs on them.
"""

import random
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from campaigns.results.catch_up import catch_up
from service.demo.copywriting import PastCampaign, past_campaigns
from simulator.orders import demo_orders
from store.asked import SEGMENTS, ask_for
from store.changes import note_changes, note_responses
from store.clock import Clock
from store.engine import table_of, transaction
from store.errors import ExpectedError
from store.models import (
    AuditEntry,
    BehaviourEvent,
    Campaign,
    CampaignRun,
    CampaignStep,
    Channel,
    Click,
    Customer,
    Delivery,
    LineAccount,
    OrderLine,
    Product,
    SalesOrder,
    SampleRow,
    TrackedLink,
    Variant,
)
from store.searchable import make_searchable

SEED = 20_261_101
PEOPLE, CAMPAIGNS, RECIPIENTS, VIEWS = 240, 6, 150, 600
CHANNEL = "範例"  # no name of the settings can be this one: they allow plain letters only
TARGETS = ("rf4=regular", "rf4=new", "rf4=former", "rf4=one_time")
LATELY = timedelta(days=45)
SURNAMES, GIVEN = (
    "陳林黃張李王吳劉蔡楊",
    ("怡君", "志明", "雅婷", "家豪", "淑芬", "俊傑", "美玲", "宗翰", "佩珊", "建宏"),
)
CITIES = ("台北市", "新北市", "台中市", "台南市", "高雄市")
PRODUCTS = (
    ("羽絨外套", "外套", "保暖", 2980),
    ("發熱衣", "內搭", "保暖", 590),
    ("圍巾", "配件", "保暖", 690),
    ("毛帽", "配件", "保暖", 490),
    ("去屑洗髮精", "洗髮", "去屑", 380),
    ("抗油洗髮精", "洗髮", "抗油", 360),
    ("染後護髮膜", "護髮", "染護", 520),
    ("頭皮養護精華", "護髮", "頭皮養護", 880),
    ("保溫杯", "生活", "送禮", 790),
    ("香氛蠟燭", "生活", "送禮", 650),
)


class SampleIsIn(ExpectedError):
    """The sample is there already."""

    http_status = 409


def load_sample(engine: Engine, *, zone: ZoneInfo, currency: str, actor: str, clock: Clock) -> dict[str, int]:
    """Load the sample, its orders in the brand's `currency`, and ask for a computation; returns what went in, by kind.
    Raises SampleIsIn."""
    now = clock()
    try:
        with transaction(engine) as session:
            if session.scalar(select(table_of(SampleRow).c.row_id).limit(1)) is not None:
                raise SampleIsIn("the sample data is loaded already")
            counts = _load(session, random.Random(SEED), zone, currency, now)
            session.add(AuditEntry(at=now, actor=actor, action="load sample data", detail=counts))
            ask_for(session, SEGMENTS, actor=actor, now=now)
    except IntegrityError as error:  # another process was loading it at the same moment
        raise SampleIsIn("the sample data is being loaded already") from error
    catch_up(engine, clock)
    return counts


def _load(session: Session, chooser: random.Random, zone: ZoneInfo, currency: str, now: datetime) -> dict[str, int]:
    channel = Channel(name=CHANNEL)
    products = [
        Product(sku=f"SAMPLE-{n:02}", name=name, categories=[sort], labels=[label], price=Decimal(price), in_stock=True)
        for n, (name, sort, label, price) in enumerate(PRODUCTS, 1)
    ]
    session.add_all([channel, *products])
    people = [_person(n, chooser, now) for n in range(1, PEOPLE + 1)]
    session.add_all(people)
    session.flush()
    ids = [one.id or 0 for one in people]
    account = {"channel_id": channel.id, "follow_changed_ms": 0, "profile_tries": 0, "is_following": True}
    accounts = [{**account, "line_user_id": f"SAMPLE-{n:027}", "customer_id": who} for n, who in enumerate(ids)]
    session.execute(insert(LineAccount), accounts)
    orders = _orders(session, ids, products, chooser, zone, currency, now)
    session.execute(insert(BehaviourEvent), _views(ids, products, chooser, now))
    campaigns = [
        _campaign(session, plan, channel, ids, chooser, now - timedelta(days=7 * (CAMPAIGNS - number)))
        for number, plan in enumerate(past_campaigns(CAMPAIGNS, TARGETS, SEED))
    ]
    make_searchable(session, ids)
    note_changes(session, ids, now)
    note_responses(session, ids)
    for table_name, rows in (("channel", [channel]), ("product", products), ("customer", people)):
        _mark(session, table_name, [one.id or 0 for one in rows])
    _mark(session, "campaign", campaigns)
    return {"customers": len(ids), "products": len(products), "orders": orders, "campaigns": len(campaigns)}


def _mark(session: Session, table_name: str, ids: Sequence[int]) -> None:
    session.execute(insert(SampleRow), [{"table_name": table_name, "row_id": row_id} for row_id in ids])


def _person(number: int, chooser: random.Random, now: datetime) -> Customer:
    return Customer(
        member_id=f"SAMPLE-{number:04}",
        name=chooser.choice(SURNAMES) + chooser.choice(GIVEN),
        gender=chooser.choice(("female", "male")),
        city=chooser.choice(CITIES),
        created_at=now - timedelta(days=chooser.randint(60, 500)),
    )


def _orders(
    session: Session,
    ids: Sequence[int],
    products: Sequence[Product],
    chooser: random.Random,
    zone: ZoneInfo,
    currency: str,
    now: datetime,
) -> int:
    """The purchases of as many people of CDNOW's as there are here, a line each; returns how many."""
    source = demo_orders((now - timedelta(days=1)).astimezone(zone).date(), zone.key).to_pylist()
    lately = {row["customer_id"] for row in source if row["ordered_at"] >= now - LATELY}
    others = {row["customer_id"] for row in source} - lately
    active = len(ids) // 3  # most of the source bought once and never again, which shows little of a brand
    chosen = [*chooser.sample(sorted(lately), active), *chooser.sample(sorted(others), len(ids) - active)]
    whose = dict(zip(chosen, ids, strict=True))
    rows = [
        SalesOrder(
            order_id=f"SAMPLE-{row['order_id']}",
            customer_id=whose[row["customer_id"]],
            ordered_at=row["ordered_at"] + timedelta(minutes=chooser.randint(540, 1320)),
            currency=currency,
            total=max(Decimal(1), row["amount"].quantize(Decimal(1))),
        )
        for row in source
        if row["customer_id"] in whose
    ]
    session.add_all(rows)
    session.flush()
    line = {"line_number": 1, "quantity": Decimal(1), "discount": Decimal(0)}
    lines = [
        {**line, "sales_order_id": one.id, "sku": chooser.choice(products).sku, "unit_price": one.total} for one in rows
    ]
    session.execute(insert(OrderLine), lines)
    return len(rows)


def _views(
    ids: Sequence[int], products: Sequence[Product], chooser: random.Random, now: datetime
) -> list[dict[str, Any]]:
    moments = [now - timedelta(minutes=chooser.randint(1, 60 * 24 * 60)) for _ in range(VIEWS)]
    return [
        {
            "event_key": f"sample:{number}",
            "source": "brand",
            "kind": chooser.choice(("product_view", "product_view", "add_to_cart")),
            "customer_id": chooser.choice(ids),
            "sku": chooser.choice(products).sku,
            "occurred_at": at,
            "received_at": at,
            "payload": {},
        }
        for number, at in enumerate(moments)
    ]


def _campaign(
    session: Session, plan: PastCampaign, channel: Channel, ids: Sequence[int], chooser: random.Random, at: datetime
) -> int:
    """One campaign of the past with its people and taps; returns its id."""
    at = datetime.combine(at.date(), time(12), at.tzinfo)
    sent: dict[str, Any] = {"state": "sent", "way": "push"}
    campaign = Campaign(
        **sent,
        channel_id=channel.id or 0,
        name=plan.name,
        theme=plan.theme,
        audience={"any_of": [plan.target], "none_of": []},
        created_at=at,
    )
    session.add(campaign)
    session.flush()
    campaign_id = campaign.id or 0
    session.add(CampaignStep(campaign_id=campaign_id, step_number=1))
    messages = [{"type": "text", "text": plan.text}]
    variant = Variant(campaign_id=campaign_id, messages=messages)
    link = TrackedLink(campaign_id=campaign_id, url=next(w for w in plan.text.split() if w.startswith("https://")))
    session.add_all([variant, link])
    session.flush()
    frozen: dict[str, Any] = {
        "variant_id": variant.id,
        "name": "A",
        "weight": 1.0,
        "messages": messages,
        "languages": {},
    }
    times: dict[str, Any] = {"scheduled_for": at, "fired_at": at, "frozen_at": at, "members_at": at, "finished_at": at}
    run = CampaignRun(**sent, **times, campaign_id=campaign_id, variants=[frozen], link_ids={link.url: link.id or 0})
    session.add(run)
    session.flush()
    chosen = chooser.sample(list(ids), RECIPIENTS)
    held_out = set(chosen[: RECIPIENTS // 20])
    same = {"run_id": run.id, "variant_id": variant.id, "by_reply": False}
    deliveries = [
        {
            **same,
            "customer_id": who,
            "state": "held_out" if who in held_out else "accepted",
            "sent_at": None if who in held_out else at,
        }
        for who in sorted(chosen)
    ]
    session.execute(insert(Delivery), deliveries)
    rate = chooser.uniform(0.08, 0.25)
    tap = {"link_id": link.id, "run_id": run.id, "kind": "person", "user_agent": "sample", "has_event": False}
    taps = [
        {**tap, "customer_id": who, "clicked_at": at + timedelta(minutes=chooser.randint(1, 600))}
        for who in chosen
        if who not in held_out and chooser.random() < rate
    ]
    session.execute(insert(Click), taps)
    return campaign_id
