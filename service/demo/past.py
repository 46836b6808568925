"""The demo's past: real orders come in, people follow the account, two months of campaigns are sent, tapped and bought
from. Every step goes through the code that a real day goes through; only the clock is set by hand.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from campaigns.audience.target import Audience
from campaigns.planning.plan import Plan, create_campaign, one_step
from segmentation.renew import renew_everyone
from service.demo.copywriting import PastCampaign, past_campaigns
from service.demo.stage import Stage
from service.renewal import renewal_ground, segment_settings
from service.worker import tick_campaigns
from simulator.orders import demo_orders
from simulator.people import SpendingClass
from store.engine import transaction
from store.imports import import_customers, import_orders

Progress = Callable[[str, int, int], None]  # what is being done, done, of

TARGETS = ("rf4=regular", "rf4=new", "rf4=former", "rf4=one_time")
HOURS = (9, 12, 18, 20)
SEGMENTS_EVERY_DAYS = 14


def bring_orders(stage: Stage, progress: Progress) -> int:
    """Import CDNOW's orders, moved so that they end today; returns how many."""
    end = datetime.now(stage.settings.zone).date()
    orders = demo_orders(end, stage.settings.timezone)
    path = stage.folder / "orders.parquet"
    pq.write_table(orders, path)
    report = import_orders(
        stage.engine,
        path,
        zone=stage.settings.zone,
        clock=stage.clock,
        progress=lambda done, of: progress("importing orders 匯入訂單", done, of),
        actor="demo",
    )
    if report.refused:
        raise RuntimeError(f"{len(report.refused)} of the demo's orders were refused")
    return int(orders.num_rows)


def gain_friends(stage: Stage, count: int, seed: int, progress: Progress) -> None:
    """So many customers follow the account (webhooks), then the brand's list says who they are (import)."""
    table = pq.read_table(stage.folder / "orders.parquet")
    spent = table.group_by("customer_id").aggregate([("amount", "sum")]).sort_by("customer_id")
    amounts = np.asarray(spent["amount_sum"].cast(pa.float64()))
    classes = 1 + np.searchsorted(np.quantile(amounts, [1 / 3, 2 / 3]), amounts)
    chosen = np.sort(np.random.default_rng(seed).choice(len(amounts), size=count, replace=False))
    customer_ids = spent["customer_id"].to_pylist()
    rows = []
    events = []
    for number in chosen.tolist():
        line_user_id = f"U{number:032x}"
        spending = SpendingClass(int(classes[number]))
        person = stage.population.add(line_user_id, customer_id=customer_ids[number], spending_class=spending)
        events += stage.simulator.life.follow(line_user_id, stage.clock())
        rows.append({"customer_id": person.customer_id, "line_user_id": line_user_id, "name": person.name})
    progress("friends follow 加入好友", 0, 2)
    stage.webhook(events)
    path = stage.folder / "customers.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    progress("friends follow 加入好友", 1, 2)
    import_customers(
        stage.engine,
        path,
        channel_id=stage.channel_id,
        zone=stage.settings.zone,
        clock=stage.clock,
        actor="demo",
    )
    progress("friends follow 加入好友", 2, 2)


def play_past(stage: Stage, campaigns: int, seed: int, progress: Progress) -> None:
    """Months of campaigns, taps, chats, blocks and orders, up to an hour ago; segments are renewed every two weeks."""
    planned = past_campaigns(campaigns, TARGETS, seed)
    zone, start, end = stage.settings.zone, stage.clock(), datetime.now(UTC) - timedelta(hours=1)
    stage.simulator.life.add(stage.population.ordinary_life(start, end))
    days = (end - start).days
    renewed_on = None
    for number, campaign in enumerate(planned):
        day = (start + timedelta(days=1 + number * (days - 1) / campaigns)).astimezone(zone).date()
        at = datetime.combine(day, time(HOURS[number % len(HOURS)]), zone).astimezone(UTC)
        stage.perform(stage.simulator.life.due(at))
        if renewed_on is None or (day - renewed_on).days >= SEGMENTS_EVERY_DAYS:
            renew_segments(stage)
            renewed_on = day
        send_past(stage, campaign, at)
        progress("playing two months 重播兩個月", number + 1, len(planned))
    stage.perform(stage.simulator.life.due(end))
    take_orders(stage)
    stage.catch_up()


def send_past(stage: Stage, campaign: PastCampaign, at: datetime) -> None:
    """Plan, fire and send one campaign at a time of the past."""
    stage.clock.put(at)
    plan = Plan(
        name=campaign.name,
        audience=Audience((campaign.target,)),
        steps=one_step([{"type": "text", "text": campaign.text}]),
        at=at,
        theme=campaign.theme,
        holdout_percent=Decimal(5),
    )
    with transaction(stage.engine) as session:
        create_campaign(session, plan, channel_id=stage.channel_id, zone=stage.settings.zone, now=stage.clock())
    tick_campaigns(stage.engine, stage.settings, stage.clock)
    stage.send_due()
    tick_campaigns(stage.engine, stage.settings, stage.clock)


def take_orders(stage: Stage) -> int:
    """Import the orders that people have placed since the last time, as the brand's shop would send them."""
    new = stage.simulator.life.purchases_after(stage.taken_purchases)
    if new:
        path = stage.folder / "new-orders.parquet"
        pq.write_table(pa.Table.from_pylist([purchase.as_json() for purchase in new]), path)
        import_orders(stage.engine, path, zone=stage.settings.zone, clock=stage.clock, actor="demo")
        stage.taken_purchases += len(new)
    return len(new)


def renew_segments(stage: Stage) -> None:
    """Everybody's segments and tags, with the orders placed until now."""
    take_orders(stage)
    ground = renewal_ground(stage.engine, stage.settings, stage.clock)
    renew_everyone(ground, segment_settings(stage.engine, stage.settings))
