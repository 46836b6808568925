"""活動: what was and will be sent, and what all of it together brought."""

from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import ColumnElement, func, select

from campaigns.results.all_campaigns import PERIODS_SHOWN, all_campaigns
from campaigns.settings import read_settings
from console.frame.paging import before_id
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from store.engine import reading, table_of
from store.models import Campaign, CampaignRun, Channel

PAGE_ROWS = 50
STATES = ("draft", "scheduled", "sending", "paused", "sent", "cancelled", "failed")
campaign, run, channel = table_of(Campaign), table_of(CampaignRun), table_of(Channel)


@dataclass(frozen=True)
class Wanted:
    """Which campaigns are listed; None: all of them. `q`: a part of the name, in capitals or not."""

    state: str | None = None
    channel: int | None = None
    q: str | None = None

    @classmethod
    def asked(cls) -> "Wanted":
        """As the address says; what can't be is left out."""
        state, channel_id = request.args.get("state"), request.args.get("channel", type=int)
        words = request.args.get("q", "").replace("\x00", "").strip()[:100]
        return cls(
            state if state in STATES else None,
            channel_id if channel_id is not None and 0 < channel_id < 2**63 else None,
            words or None,
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same as SQL on campaign."""
        found = []
        if self.state:
            found.append(campaign.c.state == self.state)
        if self.channel:
            found.append(campaign.c.channel_id == self.channel)
        if self.q:
            found.append(campaign.c.name.icontains(self.q, autoescape=True))
        return found

    def to_address(self) -> dict[str, Any]:
        """The parameters that say it, for links to other pages of the list."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def list_campaigns() -> str:
    before, wanted = before_id(), Wanted.asked()
    run_count = select(func.count()).where(run.c.campaign_id == campaign.c.id).scalar_subquery()
    found = select(Campaign, run_count).where(*wanted.conditions())
    found = found.order_by(campaign.c.id.desc()).limit(PAGE_ROWS + 1)
    if before is not None and 0 < before < 2**63:
        found = found.where(campaign.c.id < before)
    with reading(site.engine) as session:
        rows = session.execute(found).all()
        more = rows[PAGE_ROWS - 1][0].id if len(rows) > PAGE_ROWS else None
        holds_out = bool(read_settings(session).global_holdout_percent)
        return render_template(
            "console/campaigns/list.html",
            rows=rows[:PAGE_ROWS],
            before=before,
            more=more,
            holds_out=holds_out,
            wanted=wanted,
            states=STATES,
            channels=session.execute(select(channel.c.id, channel.c.name).order_by(channel.c.id)).all(),
        )


def show_together() -> str:  # a page of its own: it looks at everybody
    with reading(site.engine) as session:
        earlier = "earlier" in request.args
        found = all_campaigns(session, zone=site.zone, now=site.clock(), periods=PERIODS_SHOWN if earlier else 1)
        return render_template("console/campaigns/together.html", together=found, earlier=earlier)


ROUTES = (
    get("/campaigns", list_campaigns),
    get("/campaigns/together", show_together),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/campaigns and /console/campaigns/together."""
    add_routes(blueprint, ROUTES)
