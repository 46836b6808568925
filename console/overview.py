"""總覽: how much there is of everything, and the latest campaigns."""

from flask import Blueprint, render_template
from sqlalchemy import Engine, func, select

from segmentation.history import latest_run, segment_sizes
from store.clock import Clock
from store.engine import reading, table_of
from store.models import BehaviourEvent, Campaign, Click, Customer, LineAccount, SalesOrder

LATEST = 5


def add_pages(blueprint: Blueprint, engine: Engine, clock: Clock) -> None:
    """GET /console/."""

    @blueprint.get("/")
    def show_overview() -> str:
        account, click, campaign = table_of(LineAccount), table_of(Click), table_of(Campaign)
        counts = (
            ("顧客", select(func.count()).select_from(table_of(Customer))),
            ("LINE 好友", select(func.count()).select_from(account).where(account.c.is_following.is_(True))),
            ("訂單", select(func.count()).select_from(table_of(SalesOrder))),
            ("事件", select(func.count()).select_from(table_of(BehaviourEvent))),
            ("點擊", select(func.count()).select_from(click).where(click.c.kind == "person")),
        )
        with reading(engine) as session:
            figures = [(name, session.scalar(count) or 0) for name, count in counts]
            campaigns = session.scalars(select(Campaign).order_by(campaign.c.id.desc()).limit(LATEST)).all()
            run = latest_run(session)
            sizes = segment_sizes(session, "nesl") if run else []
            return render_template(
                "console/overview.html", figures=figures, campaigns=campaigns, run=run, sizes=sizes, now=clock()
            )
