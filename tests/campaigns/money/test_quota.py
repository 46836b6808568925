"""How many messages of a month are used and left, by our own count."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, event, select, update

from campaigns.money.quota import month_start, quota_state
from campaigns.results.catch_up import catch_up
from campaigns.results.tally import close_tally, forget_tally, tally_batches
from store.engine import is_sqlite, reading, table_of, transaction
from store.models import CampaignRun, Delivery, SendBatch
from tests.campaigns.conftest import PLAIN, ZONE, Shop, after_statement

OpenShop = Callable[[int], Shop]


def _accepted(shop: Shop) -> int:
    with reading(shop.engine) as session:
        return quota_state(session, shop.channel_id, zone=ZONE, now=shop.clock()).accepted


def _go_out(shop: Shop) -> None:
    shop.plan(messages=PLAIN)
    for step in (shop.tick, shop.send, shop.tick):
        step()


def test_kept_sums_say_the_same_as_counting(open_shop: OpenShop) -> None:
    shop = open_shop(7)
    _go_out(shop)
    assert _accepted(shop) == 7  # counted
    catch_up(shop.engine, clock=shop.clock)
    with transaction(shop.engine) as session:
        assert session.scalars(select(table_of(CampaignRun).c.message_count)).all() == [7]
        session.execute(update(table_of(Delivery)).values(state="failed"))  # nobody looks there any more
    assert _accepted(shop) == 7


def test_a_run_whose_sums_are_kept_meanwhile_counts_once(open_shop: OpenShop) -> None:
    shop = open_shop(7)
    _go_out(shop)
    with reading(shop.engine) as session:
        (run_id,) = session.scalars(select(table_of(CampaignRun).c.id)).all()

    def keep() -> None:
        with transaction(shop.engine) as session:
            close_tally(session, run_id, now=shop.clock())
            assert session.get_one(CampaignRun, run_id).message_count == 7

    for number in range(1, 7):
        with transaction(shop.engine) as session:
            forget_tally(session, run_id)
            assert tally_batches(session) == 1
        with after_statement(shop.engine, number, keep):
            assert _accepted(shop) == 7


def test_of_a_run_from_one_month_into_the_next_only_what_went_in_this_counts(
    engine: Engine, open_shop: OpenShop
) -> None:
    shop = open_shop(5)
    _go_out(shop)
    catch_up(engine, clock=shop.clock)
    before = month_start(shop.clock(), ZONE) - timedelta(minutes=1)
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    with transaction(engine) as session:
        two = session.scalars(select(delivery.c.customer_id).order_by(delivery.c.customer_id).limit(2)).all()
        session.execute(update(table_of(CampaignRun)).values(fired_at=before))
        session.execute(update(batch).values(sent_at=before))
        session.execute(update(delivery).where(delivery.c.customer_id.in_(two)).values(sent_at=before))
    assert _accepted(shop) == 3


def test_neither_the_quota_nor_what_keeps_its_sums_looks_at_all_runs_that_ever_were(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    _go_out(shop)
    asked: list[tuple[str, Any]] = []
    event.listen(shop.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    assert _accepted(shop) == 3
    catch_up(shop.engine, clock=shop.clock)
    of_runs = [one for one in asked if "FROM campaign_run" in one[0]]
    assert len(of_runs) > 5
    with reading(shop.engine) as session:
        if is_sqlite(shop.engine):  # PostgreSQL plans by statistics, of which there are none here
            for statement, values in of_runs:
                rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                steps = [row[3] for row in rows]
                assert not [step for step in steps if step.startswith("SCAN campaign_run")], (statement, steps)
