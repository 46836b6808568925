"""總覽: how much there is of everything, and the latest campaigns."""

from flask import Blueprint, render_template
from sqlalchemy import Engine, select

from console.counts import count_rows
from console.segments import table_rows
from console.sizes import read_sizes
from segmentation.history import last_computed
from store.clock import Clock
from store.engine import reading, table_of
from store.models import BehaviourEvent, Campaign, Click, Customer, LineAccount, SalesOrder

LATEST = 5


def add_pages(blueprint: Blueprint, engine: Engine, clock: Clock) -> None:
    """GET /console/."""

    @blueprint.get("/")
    def show_overview() -> str:
        account, click, campaign = table_of(LineAccount), table_of(Click), table_of(Campaign)
        counted = (
            ("顧客", table_of(Customer), ()),
            ("LINE 好友", account, (account.c.is_following.is_(True),)),
            ("訂單", table_of(SalesOrder), ()),
            ("事件", table_of(BehaviourEvent), ()),
            ("點擊", click, (click.c.kind == "person",)),
        )
        with reading(engine) as session:
            computed = last_computed(session, clock())
            return render_template(
                "console/overview.html",
                figures=[(name, count_rows(session, table, *only)) for name, table, only in counted],
                campaigns=session.scalars(select(Campaign).order_by(campaign.c.id.desc()).limit(LATEST)).all(),
                computed=computed,
                sizes=table_rows("nesl", read_sizes(session, "nesl")) if computed.run else [],
                now=clock(),
            )
