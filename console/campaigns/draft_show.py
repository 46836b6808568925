"""A step of the editor as a page: the draft's values, and what each step shows besides them."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import g, render_template, request
from sqlalchemy import select
from sqlmodel import Session

from campaigns.planning.plan import HOLDOUT
from campaigns.planning.quiet import QuietHours
from campaigns.sending.ways import AUTO, WAYS
from campaigns.settings import read_settings
from console.campaigns.choices import MOST, audience_choices
from console.campaigns.draft_experiment import CHOICES, OUTCOMES, experiment_values
from console.campaigns.draft_steps import DIDS, GOALS, MOST_STEPS, UNITS, first_step, later_steps, place_of
from console.campaigns.draft_store import STEPS
from console.campaigns.draft_what import what_facts
from console.campaigns.draft_when import EVENTS, EVERY, ON_HOLIDAYS, WEEKDAYS, WORDS, filled_when
from console.frame.site import Site
from segmentation.rules.saved import load_rules
from store.engine import reading, table_of
from store.models import CampaignDraft, Channel, Tag, TrackedLink

channel = table_of(Channel)


def show_step(site: Site, one: CampaignDraft, step: str, **more: Any) -> str:
    """The page of a step; `more` goes to its template, such as `why` something is wrong and which `place` it is at.
    Raises NotFound for a place that the draft has not."""
    place = more.setdefault("place", place_of(request.values))
    with reading(site.engine) as session:
        facts = _FACTS[step](session, site, one, place)
    page = f"console/campaigns/edit_{step}.html"
    return render_template(page, draft=one, values=one.values, steps=STEPS, step=step, **facts, **more)


def _who_facts(session: Session, _site: Site, one: CampaignDraft, _place: int) -> dict[str, Any]:
    groups = audience_choices(session, g.language)
    known = {choice.target for _, choices in groups for choice in choices}
    chosen = [*one.values["any_of"], *one.values["none_of"]]
    channels = list(session.scalars(select(channel.c.name).order_by(channel.c.id)))
    return {"groups": groups, "others": [target for target in chosen if target not in known], "channels": channels}


def _then_facts(session: Session, _site: Site, one: CampaignDraft, _place: int) -> dict[str, Any]:
    has_trigger = filled_when(one.values["when"])["kind"] == "trigger"
    return {
        "first": first_step(one.values) if has_trigger else None,
        "later": later_steps(one.values),
        "units": UNITS,
        "dids": DIDS,
        "goals": GOALS,
        "goal": one.values.get("goal", ""),
        "rules": sorted(load_rules(session))[:MOST],
        "most_steps": MOST_STEPS,
    }


def _when_facts(session: Session, _site: Site, one: CampaignDraft, _place: int) -> dict[str, Any]:
    quiet: QuietHours | None = read_settings(session).quiet()
    groups = [(title, [c for c in some if "=" in c.target]) for title, some in audience_choices(session, g.language)]
    tags = session.scalars(select(table_of(Tag).c.name).order_by(table_of(Tag).c.name).limit(MOST)).all()
    topic = table_of(TrackedLink).c.topic
    topics = session.scalars(select(topic).where(topic.is_not(None)).distinct().order_by(topic).limit(MOST)).all()
    return {
        "quiet": quiet,
        "when_is": filled_when(one.values["when"]),
        "every": (*EVERY, WORDS),
        "events": (*EVENTS, WORDS),
        "weekdays": WEEKDAYS,
        "on_holidays": ON_HOLIDAYS,
        "segments": [(title, some) for title, some in groups if some],
        "tags": tags,
        "topics": topics,
    }


def _policy_facts(_session: Session, site: Site, one: CampaignDraft, _place: int) -> dict[str, Any]:
    return {
        "ways": (AUTO, *WAYS),
        "experiment": experiment_values(one.values),
        "choices": CHOICES,
        "outcomes": OUTCOMES,
        "versions": len(one.values["variants"]),
        "conversion_days": site.conversion_days,
        "usual_holdout": HOLDOUT,
    }


_FACTS: Mapping[str, Callable[[Session, Site, CampaignDraft, int], dict[str, Any]]] = {
    "who": _who_facts,
    "what": what_facts,
    "when": _when_facts,
    "then": _then_facts,
    "policy": _policy_facts,
}
