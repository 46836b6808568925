"""One factory per table: a test states only the fields it cares about. Each adds the row and flushes it."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Session

from campaigns.planning.schedule import variants_of
from store.models import (
    Campaign,
    CampaignRun,
    CampaignStep,
    Channel,
    Customer,
    LineAccount,
    SalesOrder,
    Variant,
)
from store.searchable import make_searchable

_numbers = itertools.count(1)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def make_channel(session: Session, **fields: Any) -> Channel:
    channel = Channel(**{"name": f"channel{next(_numbers)}", **fields})
    session.add(channel)
    session.flush()
    return channel


def make_customer(session: Session, **fields: Any) -> Customer:
    customer = Customer(**{"member_id": f"m{next(_numbers)}", "created_at": LONG_AGO, **fields})
    session.add(customer)
    session.flush()
    make_searchable(session, [customer.id or 0])
    return customer


def make_account(session: Session, channel: Channel, customer: Customer, **fields: Any) -> LineAccount:
    account = LineAccount(
        **{
            "channel_id": channel.id,
            "customer_id": customer.id,
            "line_user_id": f"U{next(_numbers):032x}",
            "is_following": True,
            **fields,
        }
    )
    session.add(account)
    session.flush()
    return account


def make_order(session: Session, customer: Customer, **fields: Any) -> SalesOrder:
    order = SalesOrder(
        **{
            "order_id": f"o{next(_numbers)}",
            "customer_id": customer.id,
            "ordered_at": LONG_AGO,
            "total": Decimal(100),
            **fields,
        }
    )
    session.add(order)
    session.flush()
    return order


def make_campaign(session: Session, channel: Channel, **fields: Any) -> Campaign:
    campaign = Campaign(
        **{
            "channel_id": channel.id,
            "name": f"campaign {next(_numbers)}",
            "audience": {"any_of": ["all"], "none_of": []},
            "way": "push",
            "created_at": LONG_AGO,
            **fields,
        }
    )
    session.add(campaign)
    session.flush()
    assert campaign.id is not None
    session.add(CampaignStep(campaign_id=campaign.id, step_number=1))
    session.flush()
    make_variant(session, campaign)
    return campaign


def make_variant(session: Session, campaign: Campaign, **fields: Any) -> Variant:
    variant = Variant(
        **{"campaign_id": campaign.id, "messages": [{"type": "text", "text": "您好 {{ name }}"}], **fields}
    )
    session.add(variant)
    session.flush()
    return variant


def make_run(session: Session, campaign: Campaign, **fields: Any) -> CampaignRun:
    """A run of the campaign's first step, with its variants frozen."""
    variants = [v for v in variants_of(session, campaign.id or 0) if v.step_number == 1]
    names = ("name", "weight", "messages", "languages")
    frozen = [{"variant_id": v.id, **{name: getattr(v, name) for name in names}} for v in variants]
    run = CampaignRun(
        **{
            "campaign_id": campaign.id,
            "scheduled_for": LONG_AGO,
            "fired_at": LONG_AGO,
            "variants": frozen,
            "way": campaign.way,
            **fields,
        }
    )
    session.add(run)
    session.flush()
    return run
