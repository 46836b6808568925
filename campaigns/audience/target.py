"""Whom a campaign is for: who is in any of some targets and in none of others, read into a condition on customers.

A target is a word: `all`, `MODEL=SEGMENT`, `tag:NAME` or `list:NAME`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, exists, not_, or_, select, true
from sqlmodel import Session

from segmentation.models import MODELS
from store.engine import table_of
from store.errors import BadInput
from store.models import Customer, CustomerList, CustomerListMember, CustomerSegment, CustomerTag, Tag


class UnknownTarget(BadInput):
    """The target names no segment, tag or list that exists."""


@dataclass(frozen=True)
class Audience:
    """Those in any of `any_of` and in none of `none_of`, each a target's words."""

    any_of: Sequence[str]
    none_of: Sequence[str] = ()

    def to_json(self) -> dict[str, list[str]]:
        """As it stands in Campaign.audience."""
        return {"any_of": list(self.any_of), "none_of": list(self.none_of)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Audience":
        """Of Campaign.audience."""
        return cls(tuple(stored["any_of"]), tuple(stored["none_of"]))

    def __str__(self) -> str:
        """`all`, or `rf11=champions + tag:VIP - list:staff`."""
        return " - ".join([" + ".join(self.any_of), *self.none_of])


@dataclass(frozen=True)
class Target:
    """A checked target. `kind` is all, segment, tag or list; `name` the model, tag or list; `segment` the segment."""

    kind: str
    name: str = ""
    segment: str = ""


def check_audience(session: Session, audience: Audience) -> None:
    """Raise UnknownTarget, saying what there is instead, unless all that `audience` names exists."""
    condition_of(session, audience)


def condition_of(session: Session, audience: Audience) -> Any:
    """An SQL condition on the `customer` table: true for those whom `audience` means. Raises UnknownTarget."""
    if not audience.any_of:
        raise UnknownTarget("an audience needs at least one target: all, MODEL=SEGMENT, tag:NAME or list:NAME")
    wanted = [matches(parse_target(session, words)) for words in audience.any_of]
    unwanted = [matches(parse_target(session, words)) for words in audience.none_of]
    return and_(or_(*wanted), *(not_(condition) for condition in unwanted))


def parse_target(session: Session, words: str) -> Target:
    """The target that `words` name. Raises UnknownTarget, saying what there is instead."""
    if words == "all":
        return Target("all")
    for kind, named in (("tag", Tag), ("list", CustomerList)):
        if words.startswith(f"{kind}:"):
            name = words.removeprefix(f"{kind}:")
            if session.execute(select(table_of(named).c.id).where(table_of(named).c.name == name)).first() is None:
                raise UnknownTarget(f"there is no {kind} {name!r}")
            return Target(kind, name)
    model, sign, segment = words.partition("=")
    if not sign:
        raise UnknownTarget(f"{words!r} is not a target: say all, MODEL=SEGMENT, tag:NAME or list:NAME")
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
    if target.kind == "list":
        named, member = table_of(CustomerList).alias(), table_of(CustomerListMember).alias()
        return exists().where(
            member.c.customer_id == customer.c.id, member.c.list_id == named.c.id, named.c.name == target.name
        )
    return true()
