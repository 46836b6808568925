"""Tags for preferences: one for each value that enough people prefer, made by whole computations."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from segmentation.preference.settings import CATEGORY, LABEL, PRICE, PROMOTION, TOPIC, WORD, PreferenceSettings
from segmentation.tags.catalogue import create_tag
from store.engine import table_of
from store.models import Tag

Table = Any
tag = table_of(Tag)

TITLES = {
    LABEL: "商品標籤",
    CATEGORY: "商品類別",
    PROMOTION: "促銷方式",
    PRICE: "價格敏感度",
    TOPIC: "點擊主題",
    WORD: "聊天用詞",
}
# A tap on a link puts on the tag of the topic's own name, and people name theirs like the words they say.
_NEVER_BARE = (TOPIC, WORD)
_LONGEST = 60  # of the value in a name


def wanted_values(connection: Any, settings: PreferenceSettings) -> list[tuple[str, str]]:
    """The (dimension, value) that deserve a tag by the newest `preferences` on this connection, which must have been
    of the whole population: at least `least_people` have it, and at most `most_share` of those known in the
    dimension."""
    parts = connection.table("preference_known")
    people = parts.group_by("dimension").aggregate(known=parts.people.sum())
    found = connection.table("preference")
    held = found.filter(found.is_on)
    on = held.group_by(["dimension", "value"]).aggregate(people=held.count())
    joined = on.inner_join(people, "dimension")
    enough = (joined.people >= settings.least_people) & (joined.people <= joined.known * settings.most_share)
    rows = connection.to_pyarrow(joined.filter(enough).select("dimension", "value").order_by(["dimension", "value"]))
    return [(row["dimension"], row["value"]) for row in rows.to_pylist()]


def create_preference_tags(session: Session, wanted: Iterable[tuple[str, str]], now: datetime) -> list[Tag]:
    """Make the tags that aren't there yet, switched off ones included; returns the new ones. A tag is called like its
    value where that name is free, else 偏好：value, else with the dimension added."""
    taken = set(session.scalars(select(tag.c.name)))
    definitions = session.scalars(select(tag.c.definition).where(tag.c.source == "preference"))
    there = {(found.get("dimension"), found.get("value")) for found in definitions}
    made = []
    for dimension, value in wanted:
        if (dimension, value) in there:
            continue
        name = next(name for name in _names(dimension, value) if name not in taken)
        definition = {"dimension": dimension, "value": value}
        made.append(create_tag(session, name, source="preference", definition=definition, now=now))
        taken.add(name)
    return made


def _names(dimension: str, value: str) -> Iterator[str]:
    """Names for a value's tag, the best first, without end."""
    plain = "".join(sign for sign in value.replace(";", "；") if sign.isprintable()).strip()[:_LONGEST].strip()
    if plain and dimension not in _NEVER_BARE:
        yield plain
    yield f"偏好：{plain}"
    number = 1
    while True:
        yield f"偏好：{plain}（{TITLES[dimension]}{number if number > 1 else ''}）"
        number += 1
