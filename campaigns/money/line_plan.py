"""What LINE's messages cost: the plan table and add-on tiers, as the brand's own settings.

The defaults are Taiwan's plans since 2023-09-01, before tax, as resellers print them (cacafly.com, blog.alleypin.com,
help.firstline.cc, each read in 2026): LINE's own page could not be read, so prices and later changes are unconfirmed,
and of the add-on tiers only the first price (NT$0.2) is agreed on. Resellers name 0.011 as the lowest, but not the
tiers between: without them a large send is estimated too dear, never too cheap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select
from sqlmodel import Session

from store.engine import insert_for, table_of
from store.errors import BadInput
from store.locks import SETTINGS, lock_until_end
from store.models import AuditEntry, BrandSetting

NAME = "line_plan"  # its row of BrandSetting

setting = table_of(BrandSetting)

Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=4)]


class Tier(BaseModel):
    """A price per message for those add-on messages of a month from number `first` (1 and up) on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Annotated[int, Field(ge=1)]
    price: Money


class PlanOffer(BaseModel):
    """One plan: its fee a month, the messages in it, and what more cost; no tiers: no more can be had."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    monthly_fee: Money
    messages: Annotated[int, Field(ge=0)]
    add_on: tuple[Tier, ...] = ()

    @model_validator(mode="after")
    def _tiers_in_order(self) -> "PlanOffer":
        firsts = [tier.first for tier in self.add_on]
        if firsts and (firsts[0] != 1 or firsts != sorted(set(firsts))):
            raise ValueError("add-on tiers begin at message 1 and rise")
        return self


PLANS = {
    "light": PlanOffer(name="輕用量", monthly_fee=Decimal(0), messages=200),
    "medium": PlanOffer(name="中用量", monthly_fee=Decimal(800), messages=3_000),
    "high": PlanOffer(
        name="高用量",
        monthly_fee=Decimal(1_200),
        messages=6_000,
        add_on=(Tier(first=1, price=Decimal("0.2")),),
    ),
}


class LinePlan(BaseModel):
    """The plan that the brand's accounts are on, and the table that it stands in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str = "medium"
    plans: dict[str, PlanOffer] = PLANS
    currency: str = "TWD"
    prices_as_of: date = date(2023, 9, 1)
    is_confirmed: bool = False  # whether somebody of the brand has held the prices against LINE's own page

    @model_validator(mode="after")
    def _known_plan(self) -> "LinePlan":
        if self.plan not in self.plans:
            raise ValueError(f"there is no plan {self.plan!r}; the plans are {', '.join(self.plans)}")
        return self

    @property
    def offer(self) -> PlanOffer:
        """The plan that holds."""
        return self.plans[self.plan]


@dataclass(frozen=True)
class Cost:
    """What further messages of a month cost: `included` in the fee, `add_on` beyond it, `impossible` since the plan has
    no more to sell."""

    included: int
    add_on: int
    impossible: int
    money: Decimal


def cost_of(offer: PlanOffer, used: int, wanted: int) -> Cost:
    """The cost of `wanted` further messages in a month of which `used` are used up. Exact; the fee itself, which is
    paid anyhow, is not in it."""
    included = min(wanted, max(0, offer.messages - used))
    beyond = wanted - included
    if not offer.add_on:
        return Cost(included, 0, beyond, Decimal(0))
    already = max(0, used - offer.messages)
    money = _add_on_price(offer, already + beyond) - _add_on_price(offer, already)
    return Cost(included, beyond, 0, money)


def _add_on_price(offer: PlanOffer, count: int) -> Decimal:
    """What the first `count` add-on messages of a month cost, tier by tier."""
    ends = [tier.first - 1 for tier in offer.add_on[1:]] + [count]
    return sum(
        (max(0, min(count, end) - (tier.first - 1)) * tier.price for tier, end in zip(offer.add_on, ends, strict=True)),
        Decimal(0),
    )


def plan_from(values: Mapping[str, Any]) -> LinePlan:
    """The plan with these values, the rest being defaults. Raises BadInput that names what is wrong."""
    try:
        return LinePlan.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise BadInput(f"the LINE plan can't be so: {where}: {first['msg']}") from error


def read_plan(session: Session) -> LinePlan:
    """What holds now."""
    return plan_from(chosen(session))


def chosen(session: Session) -> dict[str, Any]:
    """Only what the brand has chosen, by name."""
    return dict(session.scalar(select(setting.c.value).where(setting.c.name == NAME)) or {})


def change_plan(session: Session, changes: Mapping[str, Any], *, actor: str, now: datetime) -> LinePlan:
    """Choose `changes` (a value of None: back to the default), note it in the audit trail, and return what then holds.
    Raises BadInput, with nothing changed."""
    lock_until_end(session.connection(), SETTINGS)
    wanted = {name: value for name, value in {**chosen(session), **changes}.items() if value is not None}
    made = plan_from(wanted)
    stored = {name: value for name, value in made.model_dump(mode="json").items() if name in wanted}
    row = {"value": stored, "updated_at": now, "updated_by": actor}
    session.execute(
        insert_for(session, BrandSetting)
        .values(name=NAME, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row)
    )
    session.add(AuditEntry(at=now, actor=actor, action="change LINE plan", detail={"changed": sorted(changes)}))
    return made
