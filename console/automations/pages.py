"""自動化: the campaigns that go on by themselves: what starts each, who is on the way, and what it did of late."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, g, render_template, request
from sqlmodel import Session

from campaigns.planning.automations import AT_WORK, ENDED, Automation, automations, step_words
from campaigns.planning.coming import when_words
from campaigns.planning.conditions import condition_words
from campaigns.planning.triggers import Language
from campaigns.results.sums import Acted, acted_after
from campaigns.results.tally import accepted_since
from console.frame.paging import before_id
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.words.catalog import translate
from store.engine import reading

PAGE_ROWS = 20
DAYS_BACK = 30


@dataclass(frozen=True)
class Row:
    """An automation as the page tells it: in words, with what its runs of the last DAYS_BACK days did. `starts` None:
    it fires once, at its time; `goal` None: nobody leaves before the end."""

    automation: Automation
    starts: str | None
    steps: list[str]
    goal: str | None
    sent: int
    clicked: int
    orders: int


def list_automations() -> str:
    before, is_over = before_id(), "ended" in request.args
    now = site.clock()
    with reading(site.engine) as session:
        found, more = automations(
            session, states=ENDED if is_over else AT_WORK, before=before, limit=PAGE_ROWS, now=now
        )
        rows = _told(session, found, "en" if g.language == "en" else "zh", now - timedelta(days=DAYS_BACK))
    return render_template("console/automations/list.html", rows=rows, before=before, more=more, is_over=is_over)


def _told(session: Session, found: list[Automation], language: Language, since: datetime) -> list[Row]:
    ids = [one.campaign.id or 0 for one in found]
    sent, acted = accepted_since(session, ids, since), acted_after(session, ids, since)
    return [
        Row(
            one,
            when_words(one.campaign, language),
            _steps(session, one, language),
            condition_words(session, one.campaign.goal, language) if one.campaign.goal else None,
            sent.get(one.campaign.id or 0, 0),
            did.clicks,
            did.orders,
        )
        for one in found
        for did in (acted.get(one.campaign.id or 0, Acted()),)
    ]


def _steps(session: Session, one: Automation, language: Language) -> list[str]:
    """In words; the first of those that no event starts goes out when the campaign does."""
    starts = None
    if one.campaign.trigger is None:
        starts = when_words(one.campaign, language) or translate("在排定的時間", language)
    return [
        step_words(session, step.wait_minutes, step.condition, language, starts=starts if step.number == 1 else None)
        for step in one.steps
    ]


ROUTES = (get("/automations", list_automations),)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/automations."""
    add_routes(blueprint, ROUTES)
