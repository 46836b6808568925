"""The tags that are to be judged and what they refer to, read from their rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select
from sqlmodel import Session

from segmentation.preference.choices import preference_settings
from segmentation.preference.settings import PreferenceSettings
from segmentation.rules.reading import read_rule
from segmentation.rules.types import Rule
from segmentation.tags.definitions import COMPUTED, Definition, RuleTag, read_definition
from segmentation.tags.rule_tags import whole_rule
from store.engine import table_of
from store.errors import BadInput
from store.models import Product, Tag, TrackedLink
from store.models import Rule as RuleRow

tag, rule = table_of(Tag), table_of(RuleRow)
_IDS_AT_ONCE = 1_000


@dataclass(frozen=True, eq=False)  # one object per tag, the same only as itself
class LiveTag:
    """A tag to be judged: its row's id, name and source, its definition, and where a dynamic line lies."""

    tag_id: int
    name: str
    source: str
    definition: Any
    cut: float | None = None


@dataclass(frozen=True)
class Live:
    """All active computed tags, and what they refer to. `names`: every tag's by its id, those of people too.
    `problems`: tag id -> why it can't be judged; filled as they are found."""

    tags: list[LiveTag]
    names: dict[int, str]
    problems: dict[int, str]
    rules: dict[str, Rule]  # the saved ones
    rules_mark: tuple[int, datetime | None]  # tells that none of them was saved or deleted since
    preferences: PreferenceSettings
    has_preferences: bool  # there is something that people could prefer

    def of(self, definition: type[Definition]) -> list[LiveTag]:
        """Those with this kind of definition."""
        return [tag for tag in self.tags if isinstance(tag.definition, definition)]


def live_tags(session: Session) -> Live:
    """What the rows say. A definition that can't be read is a problem of its tag alone; a saved rule that can't be
    read is treated as if it were not there. Raises BadInput for the brand's settings of preferences."""
    mark = _rules_mark(session)  # before the rules
    rules = _readable_rules(session)
    live = Live([], {}, {}, rules, mark, preference_settings(session), _has_preferences(session))
    for row in session.execute(select(tag).order_by(tag.c.id)):
        live.names[row.id] = row.name
        if not row.is_active or row.source not in COMPUTED:
            continue
        try:
            definition = read_definition(row.source, row.definition)
        except BadInput as error:
            live.problems[row.id] = str(error)
            continue
        live.tags.append(LiveTag(row.id, row.name, row.source, definition, row.cut))
    return live


def still_judged(session: Session, live: Live, tag_ids: Iterable[int]) -> tuple[set[int], bool]:
    """Those of these tags that are judged as they were read, and whether others are judged otherwise now, by another
    definition or saved rule; the rest are archived. So they stay until the transaction ends: who changes one waits."""
    known = {one.tag_id: one.definition for one in live.tags}
    rules = live.rules if _rules_mark(session) == live.rules_mark else _readable_rules(session)
    same, active = set[int](), 0
    ids = sorted(known.keys() & set(tag_ids))
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = (tag.c.id.in_(ids[start : start + _IDS_AT_ONCE]), tag.c.is_active)
        rows = select(tag.c.id, tag.c.source, tag.c.definition).where(*some).order_by(tag.c.id)
        for row in session.execute(rows.with_for_update(read=True)):
            active += 1
            if _is_same(known[row.id], row, live.rules, rules):
                same.add(row.id)
    return same, len(same) < active


def _is_same(before: Any, row: Any, rules: dict[str, Rule], rules_now: dict[str, Rule]) -> bool:
    try:
        if read_definition(row.source, row.definition) != before:
            return False
        if rules is rules_now or not isinstance(before, RuleTag):
            return True
        return whole_rule(before, rules) == whole_rule(before, rules_now)
    except BadInput:
        return False


def _rules_mark(session: Session) -> tuple[int, datetime | None]:
    count, newest = session.execute(select(func.count(), func.max(rule.c.updated_at))).one()
    return int(count), newest


def _readable_rules(session: Session) -> dict[str, Rule]:
    found = {}
    for row in session.execute(select(rule.c.name, rule.c.definition)):
        try:
            found[row.name] = read_rule(row.definition)
        except BadInput:
            continue  # told where it is asked for: "there is no saved rule …"
    return found


def _has_preferences(session: Session) -> bool:
    link = table_of(TrackedLink)
    things = (
        exists().where(table_of(Product).c.id.is_not(None)),
        exists().where(link.c.topic.is_not(None)),
        exists().where(tag.c.source == "preference", tag.c.is_active),
    )
    return any(session.scalar(select(thing)) for thing in things)
