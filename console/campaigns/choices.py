"""What an audience can be chosen from, with the people that each choice means where that is kept."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session

from campaigns.audience.lists import list_sizes
from console.segments.segment_words import TITLES, name_of
from console.segments.sizes import read_sizes
from console.words.catalog import translate
from segmentation.models import segments_of
from segmentation.rules.saved import load_rules
from segmentation.tags.sizes import TAG_MODEL
from store.engine import table_of
from store.models import Tag

MOST = 500  # of a kind: more are written as words by whoever has so many


@dataclass(frozen=True)
class Choice:
    """A target as campaigns write it, what it is called, and how many people it means (None: not counted)."""

    target: str
    name: str
    people: int | None


def audience_choices(session: Session, language: str) -> list[tuple[str, list[Choice]]]:
    """(title, choices) of each group; groups without a choice are left out."""
    groups = [(translate("全部", language), [Choice("all", translate("所有人", language), None)])]
    for model, title in TITLES.items():
        sizes = read_sizes(session, model, 1).newest
        found = [
            Choice(
                f"{model}={one.name}", name_of(one, language), sizes[one.name].customers if one.name in sizes else None
            )
            for one in segments_of(model)
        ]
        groups.append((translate(title, language), found))
    tag = table_of(Tag)
    names = session.scalars(select(tag.c.name).order_by(tag.c.name).limit(MOST)).all()
    sizes = read_sizes(session, TAG_MODEL, 1, names=names).newest
    tags = [Choice(f"tag:{name}", name, sizes[name].customers if name in sizes else None) for name in names]
    lists = [Choice(f"list:{one.name}", one.name, one.people) for one in list_sizes(session)[:MOST]]
    rules = [Choice(f"rule:{name}", name, None) for name in sorted(load_rules(session))[:MOST]]
    for title, found in (("標籤", tags), ("名單", lists), ("規則", rules)):
        groups.append((translate(title, language), found))
    return [(title, found) for title, found in groups if found]
