"""A past to learn from: runs that are over and counted."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlmodel import Session

from store.models import Channel, RunResponse, RunTally
from tests.factories import make_campaign, make_customer, make_run


def add_past(session: Session, channel: Channel, runs: int, *, now: datetime) -> None:
    """So many runs to 400 people each: the same 20 tapped, and 4 of them bought for 500."""
    campaign = make_campaign(session, channel, state="sent")
    tapped = [make_customer(session, member_id=f"past{n}").id or 0 for n in range(20)]
    for number in range(runs):
        at = now - timedelta(days=number + 1)
        fields: dict[str, Any] = {"scheduled_for": at, "state": "sent", "tallied_at": at, "finished_at": at}
        run_id = make_run(session, campaign, **fields).id or 0
        kept: dict[str, Any] = {"run_id": run_id, "segment": "none", "state": "accepted"}
        session.add(RunTally(**kept, batch_number=0, variant_id=0, reason="", by_reply=False, people=400))
        session.add_all(
            RunResponse(**kept, customer_id=who, has_clicked=True, orders=int(place < 4), revenue=Decimal(500))
            for place, who in enumerate(tapped)
        )
