"""Whom a campaign is for: who is in any of some targets and in none of others, read into a condition on customers.

A target is a word: `all`, `MODEL=SEGMENT`, `tag:NAME`, `list:NAME`, `rule:NAME` (a saved rule) or `rule:{…}` (a rule
written there, as JSON: docs/rules.md). Rules can't be asked inside the database: who fits them stands in `run_member`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, exists, not_, or_, select, true
from sqlmodel import Session

from segmentation.history import in_segment
from segmentation.models import MODELS
from segmentation.rules.reading import Names, read_rule
from segmentation.rules.references import References, expanded
from segmentation.rules.saved import load_rules
from segmentation.rules.types import Rule, RuleReference
from store.engine import table_of
from store.errors import BadInput
from store.models import Customer, CustomerList, CustomerListMember, CustomerSegment, CustomerTag, RunMember, Tag

KINDS = "all, MODEL=SEGMENT, tag:NAME, list:NAME or rule:NAME"


class UnknownTarget(BadInput):
    """The target names no segment, tag, list or rule that exists."""


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
    """A checked target. `kind` is all, segment, tag, list or rule; `name` the model, tag, list or saved rule; `segment`
    the segment; `rule` what is asked."""

    kind: str
    name: str = ""
    segment: str = ""
    rule: Rule | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether its people are found by an index, in the order of their ids."""
        return self.kind in ("tag", "list", "rule")


@dataclass(frozen=True)
class Targets:
    """A checked audience."""

    wanted: Sequence[Target]
    unwanted: Sequence[Target]

    def rules(self) -> dict[str, Rule]:
        """What is to be asked of facts: RunMember.target -> rule."""
        return {member_key(t): t.rule for t in (*self.wanted, *self.unwanted) if t.rule is not None}

    @property
    def alone(self) -> Target | None:
        """The one segment, tag or list that is wanted; None where it is something else, or several."""
        (first, *others) = self.wanted
        return first if not others and first.rule is None and first.kind != "all" else None

    def is_narrow(self) -> bool:
        """Whether the people of all that is wanted are found by indexes."""
        return all(target.is_narrow for target in self.wanted)

    def condition(self, run_id: int) -> Any:
        """SQL on the `customer` table: true for those whom it means, rules by the members of a run."""
        return self.condition_by(lambda target: matches(target, run_id))

    def condition_by(self, matching: Callable[[Target], Any]) -> Any:
        """The same with `matching` to say whom a target means, as SQL on the `customer` table."""
        wanted = or_(*(matching(target) for target in self.wanted))
        return and_(wanted, *(not_(matching(target)) for target in self.unwanted))

    def exclusion(self, run_id: int) -> Any:
        """The part of it that leaves people out."""
        return and_(true(), *(not_(matches(target, run_id)) for target in self.unwanted))


def check_audience(session: Session, audience: Audience) -> None:
    """Raise UnknownTarget, saying what there is instead, unless all that `audience` names exists, and RuleError for a
    rule that can't be used."""
    read_targets(session, audience)


def read_targets(session: Session, audience: Audience) -> Targets:
    """The targets of an audience, checked. Raises UnknownTarget and RuleError."""
    if not audience.any_of:
        raise UnknownTarget(f"an audience needs at least one target: {KINDS}")
    wanted, unwanted = (
        [parse_target(session, words) for words in part] for part in (audience.any_of, audience.none_of)
    )
    return Targets(wanted, unwanted)


def parse_target(session: Session, words: str) -> Target:
    """The target that `words` name. Raises UnknownTarget, saying what there is instead, and RuleError."""
    if words == "all":
        return Target("all")
    if words.startswith("rule:"):
        return _rule_target(session, words.removeprefix("rule:"))
    for kind, named in (("tag", Tag), ("list", CustomerList)):
        if words.startswith(f"{kind}:"):
            name = words.removeprefix(f"{kind}:")
            if session.execute(select(table_of(named).c.id).where(table_of(named).c.name == name)).first() is None:
                raise UnknownTarget(f"there is no {kind} {name!r}")
            return Target(kind, name)
    model, sign, segment = words.partition("=")
    if not sign:
        raise UnknownTarget(f"{words!r} is not a target: say {KINDS}")
    if model not in MODELS:
        raise UnknownTarget(f"there is no model {model!r}; the models are {', '.join(MODELS)}")
    segments = [s.name for s in MODELS[model]]
    if segment not in segments:
        raise UnknownTarget(f"{model} has no segment {segment!r}; it has {', '.join(segments)}")
    return Target("segment", model, segment)


def _rule_target(session: Session, given: str) -> Target:
    rules = load_rules(session)
    if not given.startswith("{"):
        if given not in rules:
            raise UnknownTarget(f"there is no saved rule {given!r}")
        expanded(rules[given], References(rules))
        return Target("rule", given, rule=RuleReference(name=given))
    rule = read_rule(given, Names(rules=rules, tags=set(session.scalars(select(table_of(Tag).c.name)))))
    expanded(rule, References(rules))
    return Target("rule", rule=rule)


def member_key(target: Target) -> str:
    """RunMember.target of a rule: the name of a saved one, a digest of one that was written in the audience."""
    return target.name or "{" + hashlib.sha256(repr(target.rule).encode()).hexdigest()[:16]


def matches(target: Target, run_id: int) -> Any:
    """SQL on the `customer` table: true for those the target means, a rule's by the members of a run."""
    customer = table_of(Customer)
    if target.kind == "all":
        return true()
    if target.kind == "segment":
        segment = table_of(CustomerSegment).alias()  # the audience's own query joins this table too
        return exists().where(segment.c.customer_id == customer.c.id, segment.c[target.name] == target.segment)
    return exists(members(target, run_id, lambda customer_id: customer_id == customer.c.id).correlate(customer))


def all_of(target: Target) -> Any:
    """SELECT of the customer ids that a segment, tag or list means, by its own index, however many customers there
    are: asked of each customer, it would take a third of a second for a million. For a page of customers it is dear:
    all of them are read for each page."""
    if target.kind != "segment":
        return members(target, 0, lambda customer_id: customer_id.is_not(None))
    segment = table_of(CustomerSegment).alias()
    return select(segment.c.customer_id.label("id")).where(in_segment(segment, target.name, target.segment))


def members(target: Target, run_id: int, of: Any) -> Any:
    """SELECT of the customer ids that a narrow target means, `of` being a condition on their column; by an index."""
    if target.kind == "tag":
        tag, on = table_of(Tag).alias(), table_of(CustomerTag).alias()
        current = (on.c.until.is_(None), on.c.tag_id == tag.c.id, tag.c.name == target.name)
        return select(on.c.customer_id.label("id")).where(*current, of(on.c.customer_id))
    if target.kind == "list":
        named, member = table_of(CustomerList).alias(), table_of(CustomerListMember).alias()
        listed = (member.c.list_id == named.c.id, named.c.name == target.name)
        return select(member.c.customer_id.label("id")).where(*listed, of(member.c.customer_id))
    found = table_of(RunMember).alias()
    of_run = (found.c.run_id == run_id, found.c.target == member_key(target))
    return select(found.c.customer_id.label("id")).where(*of_run, of(found.c.customer_id))
