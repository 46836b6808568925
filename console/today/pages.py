"""總覽: what needs me, what is coming, this month's messages and money, what sending brought, and who moved."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from flask import Blueprint, g, render_template
from sqlalchemy import select
from sqlmodel import Session

from campaigns.money.line_plan import LinePlan, cost_of, read_plan
from campaigns.planning.coming import coming, listening
from campaigns.results.by_day import Day, sent_by_day
from console.frame.charts import Chart, lines
from console.frame.counts import count_rows
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.segments.segment_words import name_of
from console.segments.sizes import read_sizes
from console.today.needs import needs_now
from console.words.catalog import translate
from segmentation.history import last_computed
from segmentation.models import segments_of
from store.engine import reading, table_of
from store.models import Channel, Customer, LineAccount

DAYS_AHEAD, DAYS_BACK = 7, 30  # today among those
COMING_SHOWN, MOVED_SHOWN = 12, 6
PEOPLE_COUNTED = 500  # who wait for a step; a plus says that there are more

channel = table_of(Channel)


def show_today() -> str:
    now = site.clock()
    account = table_of(LineAccount)
    with reading(site.engine) as session:
        today = now.astimezone(site.zone).date()
        first = today - timedelta(days=DAYS_BACK - 1)
        found = sent_by_day(session, min(first, today.replace(day=1)), today, site.zone)
        days = {day: one for day, one in found.items() if day >= first}
        plan = read_plan(session)
        sent = _month_messages(found, today)
        return render_template(
            "console/today/today.html",
            needs=needs_now(session, now, g.user.email),
            coming=coming(session, zone=site.zone, now=now, days=DAYS_AHEAD, counted=PEOPLE_COUNTED)[:COMING_SHOWN],
            listening=listening(session)[:COMING_SHOWN],
            channels=session.scalars(select(Channel).order_by(channel.c.id)).all(),
            sent=sent.total(),
            plan=plan,
            cost=_month_cost(plan, sent.values()),
            chart=_drawn(days),
            revenue=sum((day.revenue for day in days.values()), Decimal(0)),
            moved=_moved(session),
            customers=count_rows(session, table_of(Customer)),
            followers=count_rows(session, account, account.c.is_following.is_(True)),
            computed=last_computed(session, now),
            now=now,
        )


def _month_messages(days: Mapping[date, Day], today: date) -> Counter[int]:
    """Channel id -> messages that count in the quota, of the calendar month of `today`."""
    counted = Counter[int]()
    for day, one in days.items():
        if day >= today.replace(day=1):
            counted.update(one.messages)
    return counted


def _month_cost(plan: LinePlan, messages: Iterable[int]) -> Decimal:
    """What these messages of a month, per channel, cost beyond the plan: each channel is an account with its own."""
    return sum((cost_of(plan.offer, 0, sent).money for sent in messages), Decimal(0))


def _drawn(days: Mapping[date, Day]) -> Chart:
    """People reached and orders after a tap, by the day on which their run fired."""
    if not any(day.reached or day.orders for day in days.values()):
        return lines([], {}, step="", value="")
    series: dict[str, list[float | None]] = {
        translate("已受理", g.language): [day.reached for day in days.values()],
        translate("點擊後的訂單", g.language): [day.orders for day in days.values()],
    }
    step, people, orders = (translate(words, g.language) for words in ("日期", "人數", "訂單"))
    return lines([f"{day:%m-%d}" for day in days], series, step=step, value=people, right=orders)


def _moved(session: Session) -> list[dict[str, Any]]:
    """The segments that grew or shrank most within a week, by people; empty with less than a week of sizes."""
    found: list[dict[str, Any]] = []
    for model in ("nesl", "rf11"):
        sizes = read_sizes(session, model)
        before = sizes.a_week_before()
        if before is None:
            continue
        for segment in segments_of(model):
            now = sizes.newest[segment.name].customers if segment.name in sizes.newest else 0
            was = before[segment.name].customers if segment.name in before else 0
            if now != was:
                name = name_of(segment, g.language)
                found.append({"model": model, "segment": segment, "name": name, "people": now, "change": now - was})
    return sorted(found, key=lambda one: -abs(one["change"]))[:MOVED_SHOWN]


ROUTES = (get("/", show_today),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/."""
    add_routes(blueprint, ROUTES)
