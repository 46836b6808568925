"""A tag given another name, with everything that knows it by the old one: rules, tags, campaigns, drafts, views and
kept sums. History needs nothing: it knows the tag by its id."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import exists, select, update
from sqlmodel import Session

from campaigns.planning.asking import ASKING
from segmentation.tags.catalogue import BY_BRAND, TagExists
from segmentation.tags.definitions import InvalidTag, check_name
from segmentation.tags.sizes import TAG_MODEL
from store.engine import table_of
from store.errors import ExpectedError
from store.models import Campaign, CampaignDraft, CampaignRun, CampaignStep, CustomerView, Rule, SegmentSizeOnDay, Tag

# Where conditions, triggers and targets are kept as JSON.
PLACES = (
    *((Rule, "definition"), (Tag, "definition"), (CustomerView, "rule"), (CampaignDraft, "values")),
    *((Campaign, "audience"), (Campaign, "trigger"), (Campaign, "goal"), (CampaignStep, "condition")),
)
TARGET, WRITTEN = "tag:", "rule:"  # a target that is the tag, and what may stand before a condition written out

tag, size, run = table_of(Tag), table_of(SegmentSizeOnDay), table_of(CampaignRun)


class NamesInUse(ExpectedError):
    """What a name stands for is being looked up; in a moment it isn't any more."""

    http_status = 409
    may_try_again = True


def rename_tag(session: Session, found: Tag, name: str) -> None:
    """Let `found` be called `name`, here and wherever it is named; who has it stays, with its history. Imports and link
    topics know tags by name: from now on by the new one. Never commits.

    Raises InvalidTag for a name that can't be one, and for tags that the product makes; TagExists; NamesInUse while a
    run is gathering its people, because what it looks for is written in its campaign.
    """
    before = found.name
    if check_name(name) == before:
        return
    if found.source not in BY_BRAND:
        raise InvalidTag(f"the tag {before!r} is made by the product ({found.source}); it can only be switched off")
    if session.scalar(select(tag.c.id).where(tag.c.name == name)) is not None:
        raise TagExists(f"there is a tag {name!r} already")
    if session.scalar(select(exists().where(run.c.state == "planned", run.c.frozen_at.is_(None)))):
        raise NamesInUse("a campaign is gathering its people just now; rename the tag when it has them")
    found.name = name
    session.add(found)
    for model, column in PLACES:
        _rewrite(session, model, column, lambda value: with_name(value, before, name))
    kept = (size.c.model == TAG_MODEL, size.c.segment == before)
    session.execute(update(size).where(*kept).values(segment=name))
    session.flush()


def with_name(value: Any, before: str, name: str, *, asks: bool = False) -> Any:
    """`value` (JSON) with every mention of the tag `before` being of `name`: a condition or trigger of type "tag", the
    choice of a draft, and where a text `asks` for people (see asking.py) a target "tag:NAME" and conditions written
    out, as "rule:{…}" or "{…}". Other words that look like one are left alone."""
    if isinstance(value, dict):
        made = {key: with_name(inner, before, name, asks=key in ASKING) for key, inner in value.items()}
        if value.get("name") == before and "tag" in (value.get("type"), value.get("on")):
            made["name"] = name
        if value.get("tag") == before:
            made["tag"] = name
        return made
    if isinstance(value, list):
        return [with_name(inner, before, name, asks=asks) for inner in value]
    return _asking(value, before, name) if asks and isinstance(value, str) else value


def _asking(text: str, before: str, name: str) -> str:
    if text == TARGET + before:
        return TARGET + name
    written = text.strip().removeprefix(WRITTEN).strip()
    try:
        inside = json.loads(written) if written.startswith("{") else None
    except (ValueError, RecursionError):  # a draft holds it half written
        return text
    made = with_name(inside, before, name)
    return text if made == inside else text.strip().removesuffix(written) + json.dumps(made, ensure_ascii=False)


def _rewrite(session: Session, model: Any, column: str, changed: Callable[[Any], Any]) -> None:
    """Put `changed` of the column in its place in every row of `model` where that is something else."""
    attribute = getattr(model, column)
    for row in session.scalars(select(model).where(attribute.is_not(None))):
        before = getattr(row, column)
        if (after := changed(before)) != before:
            setattr(row, column, after)
            session.add(row)
