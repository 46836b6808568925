"""Which message an order is credited to, and what each person did after each run. Facts in, rows out; no database.

Credit goes to one message only, over all campaigns: the last tap, and separately the last delivery, whose campaign's
window holds the order. Lift needs no credit: it counts every order of everybody in the run, reached or held out, in the
window that opens for all of them alike when the run fires. Where windows of a campaign's runs overlap, an order is in
several: added up, it counts in the last run before it only.

Who gets a later step hangs on what the one before did to them, so only first steps compare people whom chance alone
told apart. Added up, an order therefore counts for how its person was chosen at the first step, whatever became of them
on the way, up to where the last step's window would end for everybody alike: the way as it was meant ("intention to
treat", Hollis and Campbell 1999, BMJ 319, 670-674).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from campaigns.results.sides import HELD_OUT, is_meant

NOT_SENT = ("held_out", "skipped")


@dataclass(frozen=True, slots=True)
class InRun:
    """Somebody in a run. `state` is what became of the delivery; `sent_at` is None unless LINE accepted it.
    `opens_at` (inclusive) and `closes_at` bound the run's window; `window` is the campaign's, after a tap or delivery.
    `way_closes_at`: when the window of the way closes that began with the run; None for a later step, which is part of
    one."""

    run_id: int
    campaign_id: int
    customer_id: int
    variant_id: int | None
    segment: str
    state: str
    sent_at: datetime | None
    opens_at: datetime
    closes_at: datetime
    way_closes_at: datetime | None
    window: timedelta
    channel_id: int


@dataclass(frozen=True, slots=True)
class Tap:
    """A person's tap on a link of a run. Of two at one moment the greater `click_id` is the later."""

    click_id: int
    run_id: int
    customer_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """An order that stands."""

    sales_order_id: int
    customer_id: int
    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Unfollow:
    """Somebody blocked a channel."""

    customer_id: int
    channel_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Credit:
    """An order credited to a run by its last tap or its last delivery, which was at `since`."""

    sales_order_id: int
    basis: Literal["tap", "delivery"]
    run_id: int
    customer_id: int
    variant_id: int | None
    amount: Decimal
    since: datetime
    ordered_at: datetime


@dataclass(slots=True)
class Response:
    """What one person in one run did after it."""

    run_id: int
    customer_id: int
    variant_id: int | None
    segment: str
    state: str
    has_clicked: bool = False
    has_blocked: bool = False
    orders: int = 0
    revenue: Decimal = Decimal(0)
    own_orders: int = 0
    own_revenue: Decimal = Decimal(0)
    tap_orders: int = 0
    tap_revenue: Decimal = Decimal(0)
    delivery_orders: int = 0
    delivery_revenue: Decimal = Decimal(0)

    @property
    def is_any(self) -> bool:
        """Whether they did anything at all."""
        bought = self.orders or self.own_orders or self.tap_orders or self.delivery_orders
        return bool(self.has_clicked or self.has_blocked or bought)


@dataclass
class Facts:
    """All that there is of some customers: everything of each, or their credits can't be told."""

    in_runs: Sequence[InRun] = ()
    taps: Sequence[Tap] = ()
    orders: Sequence[PaidOrder] = ()
    unfollows: Sequence[Unfollow] = ()


@dataclass
class Worked:
    """Credits, and the responses of those who did anything."""

    credits: list[Credit] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)


_Moment = tuple[datetime, int, InRun]  # when, what breaks a tie, and of which run


def work_out(facts: Facts) -> Worked:
    """Credits and responses of the customers of `facts`, in no order."""
    of_person: dict[int, list[InRun]] = defaultdict(list)
    taps: dict[int, list[_Moment]] = defaultdict(list)
    deliveries: dict[int, list[_Moment]] = defaultdict(list)
    responses: dict[tuple[int, int], Response] = {}
    reached: dict[tuple[int, int], InRun] = {}
    for one in facts.in_runs:
        key = (one.run_id, one.customer_id)
        of_person[one.customer_id].append(one)
        responses[key] = Response(one.run_id, one.customer_id, one.variant_id, one.segment, one.state)
        if one.state not in NOT_SENT:
            reached[key] = one
        if one.state == "accepted" and one.sent_at is not None:
            deliveries[one.customer_id].append((one.sent_at, one.run_id, one))
    for tap in facts.taps:
        if (found := reached.get((tap.run_id, tap.customer_id))) is not None:  # else it was somebody else's link
            responses[found.run_id, found.customer_id].has_clicked = True
            taps[tap.customer_id].append((tap.at, tap.click_id, found))
    for left in facts.unfollows:
        for one in of_person[left.customer_id]:
            if one.channel_id == left.channel_id and one.opens_at <= left.at < one.closes_at:
                responses[one.run_id, one.customer_id].has_blocked = True
    credited = [
        credit
        for order in facts.orders
        for credit in (
            _credit(order, "tap", taps[order.customer_id]),
            _credit(order, "delivery", deliveries[order.customer_id]),
        )
        if credit is not None
    ]
    _add_orders(responses, facts.orders, of_person, credited)
    return Worked(credited, [response for response in responses.values() if response.is_any])


def _credit(order: PaidOrder, basis: Literal["tap", "delivery"], moments: Iterable[_Moment]) -> Credit | None:
    """The order's credit to the last of `moments` whose window holds it; None without one."""
    open_now = [moment for moment in moments if moment[0] <= order.at < moment[0] + moment[2].window]
    if not open_now:
        return None
    since, _, one = max(open_now, key=lambda moment: moment[:2])
    return Credit(
        order.sales_order_id,
        basis,
        one.run_id,
        order.customer_id,
        one.variant_id,
        order.amount,
        since,
        order.at,
    )


def _place(one: InRun) -> tuple[datetime, int]:
    return one.opens_at, one.run_id


def _compares(one: InRun, at: datetime) -> bool:
    """Whether an order at `at` counts for the side that chance put the person on with this run."""
    is_in = one.way_closes_at is not None and one.opens_at <= at < one.way_closes_at
    return is_in and (one.state == HELD_OUT or is_meant(one.state, one.variant_id))


def _add_orders(
    responses: dict[tuple[int, int], Response],
    orders: Iterable[PaidOrder],
    of_person: dict[int, list[InRun]],
    credited: Iterable[Credit],
) -> None:
    for order in orders:
        last: dict[int, InRun] = {}  # campaign -> its last run before the order, of those that compare the person
        for one in of_person[order.customer_id]:
            if one.opens_at <= order.at < one.closes_at:
                response = responses[one.run_id, one.customer_id]
                response.orders += 1
                response.revenue += order.amount
            if _compares(one, order.at):
                last[one.campaign_id] = max(last.get(one.campaign_id, one), one, key=_place)
        for one in last.values():
            response = responses[one.run_id, one.customer_id]
            response.own_orders += 1
            response.own_revenue += order.amount
    for credit in credited:
        response = responses[credit.run_id, credit.customer_id]
        if credit.basis == "tap":
            response.tap_orders += 1
            response.tap_revenue += credit.amount
        else:
            response.delivery_orders += 1
            response.delivery_revenue += credit.amount
