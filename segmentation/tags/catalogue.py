"""The brand's tags: made, found, changed, switched on and off. Nothing here puts a tag on anybody."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from segmentation.rules.reading import Names
from segmentation.tags.definitions import (
    GROUP_TAGS,
    InvalidTag,
    Kind,
    RuleTag,
    check_name,
    kind_of,
    line_of,
    read_definition,
    written,
)
from segmentation.tags.live import live_tags
from segmentation.tags.rule_tags import layers, whole_rule
from store.engine import insert_for, table_of
from store.errors import BadInput, ExpectedError, NotFound
from store.locks import DEFINITIONS, lock_until_end
from store.models import Tag

BY_BRAND = ("hand", "rule", "measure")  # sources whose tags people define

tag = table_of(Tag)


class TagExists(ExpectedError):
    """There is a tag of that name."""

    http_status = 409


def create_tag(
    session: Session,
    name: str,
    *,
    source: str = "hand",
    definition: Mapping[str, Any] | None = None,
    kind: Kind | None = None,
    now: datetime,
) -> Tag:
    """A new, active tag; a computed one is first on somebody after the next renewal. `kind` of None: by the definition.

    Raises TagExists; InvalidTag for a name or definition that can't be used; RuleError, with the path in the rule, for
    a rule that can't be, or that names what isn't there.
    """
    check_name(name)
    read = read_definition(source, definition or {})
    if source in BY_BRAND:  # a computation, which may hold other locks, makes its own
        lock_until_end(session.connection(), DEFINITIONS)
    if session.scalar(select(tag.c.id).where(tag.c.name == name)) is not None:
        raise TagExists(f"there is a tag {name!r} already")
    if isinstance(read, RuleTag):
        _check_rule(session, name, read)
    made = Tag(
        name=name,
        kind=kind or kind_of(read),
        line=line_of(read),
        source=source,
        definition=written(read),
        created_at=now,
    )
    session.add(made)
    session.flush()
    return made


def _check_rule(session: Session, name: str, definition: RuleTag) -> None:
    """Raises RuleError, or Circle when the tag would wait for itself."""
    live = live_tags(session)
    known = Names(rules=live.rules.keys(), tags={*live.names.values(), name})
    rules = {name: whole_rule(definition, live.rules, known)}
    for other in live.of(RuleTag):
        if other.name == name:  # as it was before
            continue
        with suppress(BadInput):  # what is wrong with that one stands in its row
            rules[other.name] = whole_rule(other.definition, live.rules)
    layers(rules)


def change_tag(
    session: Session, name: str, definition: Mapping[str, Any], *, now: datetime, kind: Kind | None = None
) -> Tag:
    """Put `definition` in place of the tag's own; whom it means follows when everybody is computed. The source
    stays, and so does the name (campaigns/planning/renaming.py changes that). Where a line is drawn over the same
    measure it holds until it is drawn anew. `now` (aware) is when it is defined so, if it was otherwise. `kind` of
    None: by the definition.

    Raises NotFound; InvalidTag for a definition that can't be used, and for tags that the product makes itself;
    RuleError as `create_tag`.
    """
    lock_until_end(session.connection(), DEFINITIONS)
    found = tag_named(session, name)
    if found.source not in BY_BRAND:
        raise InvalidTag(f"the tag {name!r} is made by the product ({found.source}); it can only be switched off")
    read = read_definition(found.source, definition)
    if isinstance(read, RuleTag):
        _check_rule(session, name, read)
    made = written(read)
    if line_of(read) == "static" or made.get("measure") != found.definition.get("measure"):
        found.cut = None
    if made != found.definition:
        found.defined_at = now
    found.definition, found.line, found.kind = made, line_of(read), kind or kind_of(read)
    found.problem = None
    session.add(found)
    return found


def create_group_tags(session: Session, now: datetime) -> None:
    """The built-in tags of the five groups, those that aren't there yet. A tag of people that has such a name already
    keeps it, and that group has no tag."""
    rows = [
        {
            "name": name,
            "kind": "model",
            "line": line,
            "source": "group",
            "definition": {"group": group},
            "is_active": True,
            "created_at": now,
        }
        for group, (name, line) in GROUP_TAGS.items()
    ]
    session.execute(insert_for(session, Tag).on_conflict_do_nothing(index_elements=["name"]), rows)


def tag_named(session: Session, name: str) -> Tag:
    """The tag. Raises NotFound."""
    found = session.scalars(select(Tag).where(tag.c.name == name)).first()
    if found is None:
        raise NotFound(f"there is no tag {name!r}")
    return found


def all_tags(session: Session) -> list[Tag]:
    """Every tag, by name."""
    return list(session.scalars(select(Tag).order_by(tag.c.name)))


def set_active(session: Session, name: str, *, is_active: bool) -> Tag:
    """Switch a tag on or off. Switched off it stays where it is, and nothing puts it on or takes it off any more.
    Raises NotFound."""
    found = tag_named(session, name)
    found.is_active = is_active
    session.add(found)
    return found
