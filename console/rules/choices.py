"""What the rows of a rule are chosen from."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session

from console.rules.form import GROUPS, ORDER_MEASURES, RARE, ROWS, YES, number_of
from console.segments.segment_words import TITLES, name_of
from console.words.catalog import translate
from segmentation.models import segments_of
from segmentation.rules.words import ATTRIBUTES, KINDS
from segmentation.tags.measures import MEASURES
from store.engine import table_of
from store.models import Campaign, Rule, Tag

MOST = 500  # of a kind: whoever has more writes the name into a rule's JSON

JOINS = {"all": "全部符合", "any": "任一符合"}
tag, rule, campaign = table_of(Tag), table_of(Rule), table_of(Campaign)


@dataclass(frozen=True)
class Choices:
    """For the template of rows: kinds with their fields, and for each kind the (value, words) of its choices."""

    segment: list[tuple[str, list[tuple[str, str]]]]  # by model
    tag: list[tuple[str, str]]
    rule: list[tuple[str, str]]
    campaign: list[tuple[int, str]]  # by number, the newest first
    kinds = ROWS
    groups = GROUPS
    joins = JOINS
    rare = RARE
    yes = YES
    order_measures = ORDER_MEASURES
    attributes = ATTRIBUTES
    event_kinds = KINDS
    number_of = staticmethod(number_of)

    @property
    def measures(self) -> dict[str, str]:
        """Measure -> its name in the language that pages are written in."""
        return {name: one.chinese for name, one in MEASURES.items()}


def rule_choices(session: Session, language: str) -> Choices:
    """The segments, tags, saved rules and campaigns that there are, without counting anybody."""
    segments = [
        (translate(title, language), [(f"{model}={one.name}", name_of(one, language)) for one in segments_of(model)])
        for model, title in TITLES.items()
    ]
    tags, rules = (
        [(name, name) for name in session.scalars(select(table.c.name).order_by(table.c.name).limit(MOST))]
        for table in (tag, rule)
    )
    newest = select(campaign.c.id, campaign.c.name).order_by(campaign.c.id.desc()).limit(MOST)
    return Choices(segments, tags, rules, [(row.id, row.name) for row in session.execute(newest)])
