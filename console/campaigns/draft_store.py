"""Drafts of campaigns in the database: found, saved without overwriting another's save, and made into campaigns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import g, request
from sqlalchemy import delete, select, update
from sqlmodel import Session

from campaigns.planning.conditions import read_condition
from campaigns.planning.plan import create_campaign
from campaigns.planning.schedule import first_firing
from campaigns.planning.triggers import check_trigger, read_trigger
from console.campaigns.draft_steps import conditions_of
from console.campaigns.draft_values import plan_of
from console.campaigns.draft_when import event_field, recurs_field, trigger_of, when_of
from console.campaigns.draft_wrong import WrongStep
from console.frame.site import Site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import table_of
from store.errors import BadInput, ExpectedError, NotFound
from store.models import (
    AuditEntry,
    Campaign,
    CampaignDraft,
    CampaignOutlook,
    CampaignStep,
    Channel,
    TrackedLink,
    Variant,
)

STEPS = (
    ("who", "對象"),
    ("what", "內容"),
    ("when", "時間"),
    ("then", "後續"),
    ("policy", "發送規則"),
    ("check", "檢查"),
)
NAMES_OF_STEPS = tuple(name for name, _ in STEPS)

draft = table_of(CampaignDraft)


def find_draft(session: Session, draft_id: int, step: str) -> CampaignDraft:
    """An open draft, and a step that the editor has. Raises NotFound."""
    one = session.get(CampaignDraft, draft_id) if draft_id < 2**63 else None
    if one is None or one.done_at is not None or step not in NAMES_OF_STEPS:
        raise NotFound(f"there is no draft {draft_id}")
    return one


def save_draft_values(
    session: Session, one: CampaignDraft, name: str, values: dict[str, Any], *, now: datetime
) -> bool:
    """Whether it was saved: not when somebody saved since the form was made. A change takes a request for approval
    back, and stands in the audit log."""
    base = request.form.get("version", one.version, type=int)
    if (name, values) == (one.name, one.values) and base == one.version:
        return True
    saved = session.execute(
        update(CampaignDraft)
        .where(draft.c.id == one.id, draft.c.version == base)
        .values(
            name=name,
            values=values,
            version=base + 1,
            requested_by=None,
            updated_at=now,
            updated_by=g.user.email,
        )
    )
    if saved.rowcount != 1:  # type: ignore[attr-defined]
        return False
    note_of_draft(session, "save draft of campaign", one, now)
    return True


def made_campaign(session: Session, site: Site, one: CampaignDraft) -> int:
    """The id of the draft campaign of this version of the draft: the one that there is, or a new one in its place."""
    if one.campaign_id is not None and one.campaign_version == one.version:
        return one.campaign_id
    plan = plan_of(one.name, one.values, zone=site.zone, now=site.clock(), conversion_days=site.conversion_days)
    channel_id = channel_of(session, one.values.get("channel", ""))
    _check_when(session, site, one.values)
    _check_then(session, one.values)
    drop_campaign(session, one)
    campaign = create_campaign(session, plan, channel_id=channel_id, zone=site.zone, now=site.clock())
    one.campaign_id, one.campaign_version = campaign.id, one.version
    session.add(one)
    return campaign.id or 0


def channel_of(session: Session, name: str) -> int:
    """The id of the channel of that name; of the first for "". Raises WrongStep when there is none."""
    channel = table_of(Channel)
    query = select(channel.c.id).order_by(channel.c.id).limit(1)
    found: int | None = session.scalar(query.where(channel.c.name == name) if name else query)
    if found is None:
        raise WrongStep("who", translate("還沒有 LINE 頻道，或選的頻道已經不在了。", g.language), "channel")
    return found


def _check_when(session: Session, site: Site, values: dict[str, Any]) -> None:
    """Raise WrongStep at the field that can't be read, never comes, or names what doesn't exist."""
    at, recurs = when_of(values, zone=site.zone, now=site.clock())
    field = recurs_field(values)
    try:
        first_firing(session, at, recurs, zone=site.zone, now=site.clock())
        if (trigger := trigger_of(values)) is not None:
            field = event_field(values)
            check_trigger(session, read_trigger(trigger))
    except BadInput as error:
        raise WrongStep("when", _not_yet(error), field) from error


def _check_then(session: Session, values: dict[str, Any]) -> None:
    """Raise WrongStep at the condition or goal that can't be read, or names a rule that doesn't exist."""
    for field, words in conditions_of(values, has_trigger=trigger_of(values) is not None).items():
        try:
            read_condition(session, words)
        except BadInput as error:
            raise WrongStep("then", _not_yet(error), field) from error


def _not_yet(error: BadInput) -> str:
    return translate("還不能發送：{why}", g.language, why=told(error, g.language))


def drop_campaign(session: Session, one: CampaignDraft) -> None:
    """Delete the draft campaign that an earlier version made: it was never scheduled, nothing refers to it."""
    if one.campaign_id is None:
        return
    campaign_id, one.campaign_id, one.campaign_version = one.campaign_id, None, None
    session.add(one)
    session.flush()
    if session.get_one(Campaign, campaign_id).state != "draft":
        return
    for model in (TrackedLink, Variant, CampaignStep, CampaignOutlook):
        session.execute(delete(model).where(table_of(model).c.campaign_id == campaign_id))
    session.execute(delete(Campaign).where(table_of(Campaign).c.id == campaign_id))


def locked_draft(session: Session, draft_id: int) -> CampaignDraft:
    """An open draft, which nobody else changes before the transaction ends. Raises NotFound."""
    one = session.get(CampaignDraft, draft_id, with_for_update=True) if draft_id < 2**63 else None
    if one is None or one.done_at is not None:
        raise NotFound(f"there is no draft {draft_id}")
    return one


def note_of_draft(session: Session, action: str, one: CampaignDraft, now: datetime) -> None:
    """Write into the audit what somebody did with a draft."""
    detail = {"draft_id": one.id, "campaign_id": one.campaign_id}
    session.add(AuditEntry(at=now, actor=g.user.email, action=action, detail=detail))


# Part of a plan (campaigns/planning/about.py) -> the step of the editor in which it stands, and its field there
PLACES: Mapping[str, tuple[str, str | None]] = {
    "audience": ("who", None),
    "content": ("what", None),
    "time": ("when", None),
    "steps": ("then", None),
    "way": ("policy", "way"),
    "holdout": ("policy", "holdout"),
    "replies": ("policy", "reply_first_hours"),
    "window": ("policy", "conversion_days"),
    "priority": ("policy", "priority"),
    "experiment": ("policy", "choice"),
    "name": ("who", None),
}


def place_of_error(error: ExpectedError) -> tuple[str, str | None]:
    """(step, field) in which an error is to be mended. Those that no plan's check raised come from looking at whom it
    means: of the audience, then."""
    return PLACES[error.part or "audience"]
