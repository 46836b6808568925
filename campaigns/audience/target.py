"""Whom a campaign is for: `all`, `MODEL=SEGMENT` or `tag:NAME`, read into a condition on customers."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select, true
from sqlmodel import Session

from segmentation.models import MODELS
from store.engine import table_of
from store.errors import BadInput
from store.models import Customer, CustomerSegment, CustomerTag, Tag


class UnknownTarget(BadInput):
    """The target names no segment or tag that exists."""


@dataclass(frozen=True)
class Target:
    """A checked target. `kind` is all, segment or tag; `name` the model or the tag; `segment` the segment."""

    kind: str
    name: str = ""
    segment: str = ""


def parse_target(session: Session, words: str) -> Target:
    """The target that `words` name. Raises UnknownTarget, saying what there is instead."""
    if words == "all":
        return Target("all")
    if words.startswith("tag:"):
        name = words.removeprefix("tag:")
        if session.execute(select(table_of(Tag).c.id).where(table_of(Tag).c.name == name)).first() is None:
            raise UnknownTarget(f"there is no tag {name!r}")
        return Target("tag", name)
    model, sign, segment = words.partition("=")
    if not sign:
        raise UnknownTarget(f"{words!r} is not a target: say all, MODEL=SEGMENT or tag:NAME")
    if model not in MODELS:
        raise UnknownTarget(f"there is no model {model!r}; the models are {', '.join(MODELS)}")
    segments = [s.name for s in MODELS[model]]
    if segment not in segments:
        raise UnknownTarget(f"{model} has no segment {segment!r}; it has {', '.join(segments)}")
    return Target("segment", model, segment)


def matches(target: Target) -> Any:
    """An SQL condition on the `customer` table: true for those the target means."""
    customer = table_of(Customer)
    if target.kind == "segment":
        segment = table_of(CustomerSegment).alias()  # the audience's own query joins this table too
        return exists().where(segment.c.customer_id == customer.c.id, segment.c[target.name] == target.segment)
    if target.kind == "tag":
        tag, on = table_of(Tag).alias(), table_of(CustomerTag).alias()
        return exists().where(
            on.c.customer_id == customer.c.id, on.c.until.is_(None), on.c.tag_id == tag.c.id, tag.c.name == target.name
        )
    return true()
