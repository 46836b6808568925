"""A tag or a saved rule given another name, with everything that knows it by the old one: rules, tags, campaigns,
drafts, views, ad audiences and kept sums. History needs nothing: it knows a tag by its id."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import exists, select, update
from sqlmodel import Session

from campaigns.planning.asking import ASKING
from segmentation.rules.saved import RuleExists, check_rule_name, rule_named
from segmentation.tags.catalogue import BY_BRAND, TagExists
from segmentation.tags.definitions import InvalidTag, check_name
from segmentation.tags.sizes import TAG_MODEL
from store.engine import table_of
from store.errors import ExpectedError
from store.locks import DEFINITIONS, lock_until_end
from store.models import AdUpload, Campaign, CampaignDraft, CampaignRun, CampaignStep, CustomerView, Rule, Tag
from store.models import SegmentSizeOnDay as SizeRow

# Where conditions, triggers and targets are kept as JSON.
PLACES = (
    *((Rule, "definition"), (Tag, "definition"), (CustomerView, "rule"), (CampaignDraft, "values")),
    *((Campaign, "audience"), (Campaign, "trigger"), (Campaign, "goal"), (CampaignStep, "condition")),
)
WRITTEN = "rule:"  # what may stand before a condition written out
# Fields that hold nothing but a name: of a draft's start, and of a tag's definition.
FIELDS = {"tag": ("tag",), "rule": ("rule", "until_rule")}

tag, rule, size, run = table_of(Tag), table_of(Rule), table_of(SizeRow), table_of(CampaignRun)


class NamesInUse(ExpectedError):
    """What a name stands for is being looked up; in a moment it isn't any more."""

    http_status = 409
    may_try_again = True


@dataclass(frozen=True)
class Renaming:
    """What a tag or a saved rule was called, and what it is called now."""

    kind: Literal["tag", "rule"]
    before: str
    name: str


def rename_tag(session: Session, found: Tag, name: str) -> None:
    """Let `found` be called `name`, here and wherever it is named; who has it stays, with its history. Imports and link
    topics know tags by name: from now on by the new one. Never commits.

    Raises InvalidTag for a name that can't be one, and for tags that the product makes; TagExists; NamesInUse while a
    run is gathering its people, because what it looks for is written in its campaign.
    """
    lock_until_end(session.connection(), DEFINITIONS)
    before = found.name
    if check_name(name) == before:
        return
    if found.source not in BY_BRAND:
        raise InvalidTag(f"the tag {before!r} is made by the product ({found.source}); it can only be switched off")
    if session.scalar(select(tag.c.id).where(tag.c.name == name)) is not None:
        raise TagExists(f"there is a tag {name!r} already")
    _rename(session, Renaming("tag", before, name), found)
    kept = (size.c.model == TAG_MODEL, size.c.segment == before)
    session.execute(update(size).where(*kept).values(segment=name))
    session.flush()


def rename_rule(session: Session, before: str, name: str) -> None:
    """Let the saved rule `before` be called `name`, here and wherever it is named. Never commits.

    Raises NotFound; BadInput for a name that can't be one; RuleExists; NamesInUse as `rename_tag`.
    """
    lock_until_end(session.connection(), DEFINITIONS)
    rule_named(session, before)
    if check_rule_name(name) == before:
        return
    found = {one.name: one for one in session.scalars(select(Rule).where(rule.c.name.in_((before, name))))}
    if name in found:
        raise RuleExists(f"there is a rule {name!r} already; change that one, or choose another name")
    _rename(session, Renaming("rule", before, name), found[before])
    session.flush()


def with_name(value: Any, new: Renaming, *, asks: bool = False) -> Any:
    """`value` (JSON) with every mention of what was renamed being of its new name: a condition or trigger of its type,
    a field that holds nothing but its name, and where a text `asks` for people (see asking.py) a target "tag:NAME" or
    "rule:NAME" and conditions written out, as "rule:{…}" or "{…}". Other words that look like one are left alone."""
    if isinstance(value, dict):
        made = {key: with_name(inner, new, asks=key in ASKING) for key, inner in value.items()}
        if value.get("name") == new.before and new.kind in (value.get("type"), value.get("on")):
            made["name"] = new.name
        return made | {key: new.name for key in FIELDS[new.kind] if value.get(key) == new.before}
    if isinstance(value, list):
        return [with_name(inner, new, asks=asks) for inner in value]
    return _asking(value, new) if asks and isinstance(value, str) else value


def _asking(text: str, new: Renaming) -> str:
    target, sign, name = text.strip().partition(":")
    if (target, sign, name.strip()) == (new.kind, ":", new.before):
        return f"{new.kind}:{new.name}"
    written = text.strip().removeprefix(WRITTEN).strip()
    try:
        inside = json.loads(written) if written.startswith("{") else None
    except (ValueError, RecursionError):  # a draft holds it half written
        return text
    made = with_name(inside, new)
    return text if made == inside else text.strip().removesuffix(written) + json.dumps(made, ensure_ascii=False)


def _rename(session: Session, new: Renaming, found: Tag | Rule) -> None:
    if session.scalar(select(exists().where(run.c.state == "planned", run.c.frozen_at.is_(None)))):
        raise NamesInUse(f"a campaign is gathering its people just now; rename the {new.kind} when it has them")
    found.name = new.name
    session.add(found)
    for model, column in PLACES:
        _rewrite(session, model, column, lambda value: with_name(value, new))
    _rewrite(session, AdUpload, "target", lambda value: with_name(value, new, asks=True))


def _rewrite(session: Session, model: Any, column: str, changed: Callable[[Any], Any]) -> None:
    """Put `changed` of the column in its place in every row of `model` where that is something else."""
    attribute = getattr(model, column)
    for row in session.scalars(select(model).where(attribute.is_not(None))):
        before = getattr(row, column)
        if (after := changed(before)) != before:
            setattr(row, column, after)
            session.add(row)
