"""Learned targeting against the hand rule: assignment by hash, as many by gain as by rule, compared by their lifts."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import insert, select

from campaigns.audience.target import Audience
from campaigns.experiments.arms import compare_arms, is_in_rule_arm
from store.engine import reading, table_of, transaction
from store.models import (
    CampaignRun,
    CustomerPrediction,
    CustomerSegment,
    CustomerTag,
    Delivery,
    PredictionRun,
    RunResponse,
    Tag,
)
from tests.campaigns.conftest import PLAIN, Shop

OpenShop = Callable[[int], Shop]
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _people(shop: Shop) -> None:
    """Every third is tagged VIP; the later in the list, the more is expected to be spent."""
    with transaction(shop.engine) as session:
        tag = Tag(name="VIP", created_at=NOW)
        run = PredictionRun(as_of=NOW.date(), state="finished", cycle_days=30, started_at=NOW, lease_until=NOW)
        session.add_all([tag, run])
        session.flush()
        assert run.id is not None
        assert tag.id is not None
        for place, customer_id in enumerate(shop.ids):
            values = {"customer_id": customer_id, "nesl": "E", "nes": "E", "rfm8": "ordinary_value", "computed_at": NOW}
            session.execute(insert(table_of(CustomerSegment)).values(values))
            session.add(CustomerPrediction(customer_id=customer_id, run_id=run.id, spend_90=Decimal(place)))
            if place % 3 == 0:
                session.add(CustomerTag(tag_id=tag.id, customer_id=customer_id, since=NOW))


def test_half_go_by_the_rule_and_of_the_other_half_as_many_by_expected_gain(open_shop: OpenShop) -> None:
    shop = open_shop(300)
    _people(shop)
    campaign_id = shop.plan(
        messages=PLAIN,
        audience=Audience(("tag:VIP",)),
        experiment={"learned_targeting": True},
        holdout_percent=Decimal(10),
    )
    shop.tick()
    with reading(shop.engine) as session:
        rows = session.execute(select(table_of(Delivery))).all()
        run = session.scalars(select(CampaignRun)).one()
    assert run.arms is not None
    tagged = {customer_id for place, customer_id in enumerate(shop.ids) if place % 3 == 0}
    by_rule = {i for i in shop.ids if is_in_rule_arm(i, campaign_id)}
    assert {row.customer_id for row in rows} & by_rule == tagged & by_rule
    chosen = [row.customer_id for row in rows if row.customer_id not in by_rule and row.state == "chosen"]
    would = tagged - by_rule
    assert abs(len(chosen) - len(would)) <= 0.3 * len(would)  # as many as the rule would send to: its holdout differs
    least = min(shop.ids.index(i) for i in chosen)
    assert all(shop.ids.index(i) < least for i in set(shop.ids) - by_rule - {row.customer_id for row in rows})
    assert any(row.state == "held_out" for row in rows if row.customer_id not in by_rule)


def test_the_arms_are_compared_by_what_each_adds_above_its_own_holdout(open_shop: OpenShop) -> None:
    shop = open_shop(400)
    _people(shop)
    campaign_id = shop.plan(
        messages=PLAIN,
        audience=Audience(("tag:VIP",)),
        experiment={"learned_targeting": True},
        holdout_percent=Decimal(40),
    )
    shop.tick()
    shop.send()
    with transaction(shop.engine) as session:
        rows = session.execute(select(table_of(Delivery))).all()
        for row in rows:  # those chosen by gain buy when they are written to; nobody else buys
            if row.state == "accepted" and not is_in_rule_arm(row.customer_id, campaign_id):
                session.add(
                    RunResponse(
                        run_id=row.run_id,
                        customer_id=row.customer_id,
                        segment="ordinary_value",
                        state="accepted",
                        orders=1,
                        revenue=Decimal(100),
                    )
                )
        run_id = rows[0].run_id
    with reading(shop.engine) as session:
        found = compare_arms(session, run_id)
    assert found is not None
    assert found.gain.sent.buyers == found.gain.sent.people > 20
    assert (found.rule.sent.buyers, found.rule.held_out.buyers, found.gain.held_out.buyers) == (0, 0, 0)
    assert found.conversion is not None
    assert found.conversion.is_sure
    assert found.conversion.difference > 0.9
    assert 0 < found.by_both < found.rule.sent.people


def test_a_run_without_arms_has_nothing_to_compare(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    shop.plan(messages=PLAIN)
    shop.tick()
    with reading(shop.engine) as session:
        run_id = session.scalars(select(table_of(CampaignRun).c.id)).one()
        assert compare_arms(session, run_id) is None
