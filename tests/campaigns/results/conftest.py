"""One campaign whose people, taps and orders are put down by the test."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, update

from campaigns.planning.schedule import variants_of
from campaigns.results.catch_up import catch_up
from campaigns.results.runs import RunResults
from campaigns.results.together import campaign_results
from store.changes import note_responses
from store.engine import reading, table_of, transaction
from store.models import BehaviourEvent, Campaign, Click, Customer, Delivery, SalesOrder, SendBatch, TrackedLink
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_order, make_run, make_variant

DAY = timedelta(days=1)
TINY = timedelta(microseconds=1)


class Story:
    """A campaign with a link and a window of 7 days."""

    def __init__(self, engine: Engine, clock: StillClock, way: str = "push") -> None:
        self.engine, self.clock, self.at = engine, clock, clock() + timedelta(microseconds=123_456)
        self.facts = 0
        with transaction(engine) as session:
            channel = make_channel(session)
            campaign = make_campaign(session, channel, way=way, conversion_days=7, theme="冬季")
            assert campaign.id is not None
            self.channel_id, self.campaign_id = channel.id or 0, campaign.id
            variant = variants_of(session, campaign.id)[0]
            variant.messages = [{"type": "text", "text": "發熱衣"}]
            self.variant_id = variant.id or 0
            link = TrackedLink(campaign_id=self.campaign_id, url="https://a.example")
            session.add(link)
            session.flush()
            self.link_id = link.id or 0

    def another_campaign(self, days: int) -> int:
        """Of the same channel, with a window of so many days."""
        with transaction(self.engine) as session:
            campaign = make_campaign(session, make_channel(session), conversion_days=days)
            campaign.channel_id = self.channel_id
            return campaign.id or 0

    def variant(self, name: str) -> int:
        with transaction(self.engine) as session:
            campaign = session.get_one(Campaign, self.campaign_id)
            messages = [{"type": "text", "text": f"羽絨外套{name}"}]
            return make_variant(session, campaign, name=name, messages=messages).id or 0

    def run(self, at: datetime | None = None, state: str = "sent", campaign_id: int | None = None, **more: Any) -> int:
        fired = at or self.at
        with transaction(self.engine) as session:
            campaign = session.get_one(Campaign, campaign_id or self.campaign_id)
            fields: dict[str, Any] = {
                "scheduled_for": fired,
                "fired_at": fired,
                "frozen_at": fired,
                "state": state,
                **more,
            }
            if state in ("sent", "cancelled"):
                fields.setdefault("finished_at", fired)
            return make_run(session, campaign, **fields).id or 0

    def person(self, run_id: int, state: str = "accepted", who: int | None = None, **fields: Any) -> int:
        with transaction(self.engine) as session:
            customer_id = who or make_customer(session).id or 0
            sent_at = self.at if state == "accepted" else None
            variant_id = None if state == "skipped" else self.variant_id
            facts: dict[str, Any] = {"variant_id": variant_id, "sent_at": sent_at, **fields}
            session.add(Delivery(run_id=run_id, customer_id=customer_id, state=state, **facts))
        return customer_id

    def batch(self, run_id: int, number: int, state: str = "due", **fields: Any) -> None:
        with transaction(self.engine) as session:
            sent_at = self.at if state == "accepted" else None
            facts: dict[str, Any] = {"recipient_count": 2, "sent_at": sent_at, **fields}
            session.add(SendBatch(run_id=run_id, batch_number=number, state=state, **facts))

    def change_batch(self, run_id: int, number: int, **fields: Any) -> None:
        batch = table_of(SendBatch)
        with transaction(self.engine) as session:
            this = (batch.c.run_id == run_id, batch.c.batch_number == number)
            session.execute(update(batch).where(*this).values(**fields))

    def tap(self, run_id: int, who: int | None, at: datetime | None = None, kind: str = "person", **more: Any) -> None:
        with transaction(self.engine) as session:
            click: dict[str, Any] = {
                "link_id": self.link_id,
                "run_id": run_id,
                "customer_id": who,
                "clicked_at": at or self.at,
            }
            session.add(Click(**click, kind=kind, user_agent="x", **more))
            note_responses(session, [person for person in (who, more.get("tapped_by_id")) if person])

    def order(self, who: int, at: datetime, total: str = "100", status: str = "paid") -> int:
        with transaction(self.engine) as session:
            customer = session.get_one(Customer, who)
            made = make_order(session, customer, ordered_at=at, total=Decimal(total), status=status)
            note_responses(session, [who])
            return made.id or 0

    def change_order(self, order_id: int, **fields: Any) -> None:
        with transaction(self.engine) as session:
            order = session.get_one(SalesOrder, order_id)
            concerned = {order.customer_id, fields.get("customer_id", order.customer_id)}
            for name, value in fields.items():
                setattr(order, name, value)
            session.add(order)
            session.flush()
            note_responses(session, concerned)

    def leave(self, who: int, at: datetime, channel_id: int | None = None) -> None:
        self.facts += 1
        with transaction(self.engine) as session:
            event: dict[str, Any] = {"customer_id": who, "channel_id": channel_id or self.channel_id, "occurred_at": at}
            session.add(
                BehaviourEvent(event_key=f"left{self.facts}", source="line", kind="unfollow", received_at=at, **event)
            )
            note_responses(session, [who])

    def catch_up(self) -> None:
        catch_up(self.engine, self.clock)

    def results(self) -> RunResults:
        """Of the campaign, caught up."""
        self.catch_up()
        with reading(self.engine) as session:
            return campaign_results(session, self.campaign_id)


@pytest.fixture
def story(engine: Engine, clock: StillClock) -> Story:
    return Story(engine, clock)
