"""The tags that are to be judged and what they refer to, read from their rows."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select
from sqlmodel import Session

from segmentation.preference.choices import preference_settings
from segmentation.preference.settings import PreferenceSettings
from segmentation.rules.reading import read_rule
from segmentation.rules.types import Rule
from segmentation.tags.definitions import COMPUTED, Definition, read_definition
from store.engine import table_of
from store.errors import BadInput
from store.models import Product, Tag, TrackedLink
from store.models import Rule as RuleRow

tag, rule = table_of(Tag), table_of(RuleRow)


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
    preferences: PreferenceSettings
    has_preferences: bool  # there is something that people could prefer

    def of(self, definition: type[Definition]) -> list[LiveTag]:
        """Those with this kind of definition."""
        return [tag for tag in self.tags if isinstance(tag.definition, definition)]


def live_tags(session: Session) -> Live:
    """What the rows say. A definition that can't be read is a problem of its tag alone; a saved rule that can't be
    read is treated as if it were not there. Raises BadInput for the brand's settings of preferences."""
    live = Live([], {}, {}, _readable_rules(session), preference_settings(session), _has_preferences(session))
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
