"""Which customers the list shows: what was typed into the search box, and a rule, from rows of the form or from a view.

One segment or one tag is found by its index in the database; any other rule is asked of the newest snapshot of the
facts (of the database before the first), as the count of a rule being written is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlmodel import Session

from console.customers.search import searched
from console.frame.site import Site
from console.rules.form import Row, as_rows, filled, new_row, read_form, rule_of
from segmentation.engine import open_duckdb
from segmentation.history import in_segment
from segmentation.reading import read_facts
from segmentation.rules.compile import compile_rules
from segmentation.rules.listing import Listed, list_matching
from segmentation.rules.reading import Names, read_rule
from segmentation.rules.references import References, expanded
from segmentation.rules.saved import load_rules
from segmentation.rules.types import AllOf, AnyOf, Attribute, InSegment, Rule, Tagged, to_builtins
from segmentation.snapshot import newest_snapshot, read_snapshot, written_at
from store.clock import tomorrow
from store.engine import reading, table_of
from store.models import Customer, CustomerSegment, CustomerTag, Tag

EMPTY = Row("all", rows=(new_row("segment"), new_row("tag")))  # what stands in the form before anything is filled in
MAX_WORDS = 100

customer, segments = table_of(Customer), table_of(CustomerSegment)
tag, held = table_of(Tag), table_of(CustomerTag)


@dataclass(frozen=True)
class Filter:
    """`words` of the search box (empty: none), the rows of the form, and the rule that they make (None: everybody)."""

    words: str
    rows: Row
    rule: Rule | None

    @property
    def is_indexed(self) -> bool:
        """Whether the database finds these people by an index alone."""
        return self.rule is None or (not self.words and _single(self.rule) is not None)


def read_filter(session: Session, args: Mapping[str, str], kept: Mapping[str, Any] | None) -> Filter:
    """The filter that a request asks for; `kept`: the rule of the view that it names, where its rows say nothing else.
    Raises RuleError for what can't be used."""
    words = args.get("q", "").replace("\x00", "").strip()[:MAX_WORDS]  # PostgreSQL compares with no NUL
    rows = filled(read_form(args))
    if not rows.rows and kept is not None:
        return Filter(words, as_rows(kept) or EMPTY, check_rule(session, kept))
    if not rows.rows:
        return Filter(words, EMPTY, None)
    return Filter(words, rows, check_rule(session, rule_of(rows)))


def check_rule(session: Session, given: str | dict[str, Any] | Mapping[str, Any]) -> Rule:
    """The rule, whose saved rules and tags must exist. Raises RuleError."""
    rules = load_rules(session)
    names = Names(rules=rules, tags=set(session.scalars(select(tag.c.name))))
    rule = read_rule(given if isinstance(given, str) else json.dumps(given), names)
    expanded(rule, References(rules))
    return rule


def _single(rule: Rule) -> InSegment | Tagged | None:
    """The one segment as of now, or the one tag, that is all the rule asks for."""
    while isinstance(rule, AllOf | AnyOf) and len(rule.of) == 1:
        rule = rule.of[0]
    if isinstance(rule, InSegment) and rule.days_ago is None and rule.on is None and len(rule.in_) == 1:
        return rule
    return rule if isinstance(rule, Tagged) and rule.days is None and rule.strength is None else None


def page_of(session: Session, chosen: Filter, after: int, limit: int) -> Select[Any]:
    """At most `limit` customers of an indexed filter above the id `after`, by id: paging by key stays fast on the last
    page too."""
    one = None if chosen.rule is None else _single(chosen.rule)
    if isinstance(one, InSegment):  # in the order of the index of that model's segments
        is_theirs = in_segment(segments, one.model, one.in_[0], by_customer=True)
        mine = _shown(segments.c.customer_id, after, limit).where(is_theirs)
        return mine.select_from(segments.join(customer, customer.c.id == segments.c.customer_id))
    if isinstance(one, Tagged):
        named = select(tag.c.id).where(tag.c.name == one.name).scalar_subquery()
        mine = _shown(held.c.customer_id, after, limit).where(held.c.tag_id == named, held.c.until.is_(None))
        return mine.select_from(_with_segments(held.join(customer, customer.c.id == held.c.customer_id)))
    shown = _shown(customer.c.id, after, limit).select_from(_with_segments(customer))
    return shown.where(searched(session, chosen.words, after, limit)) if chosen.words else shown


def page_of_ids(ids: list[int]) -> Select[Any]:
    """These customers, by id."""
    shown = _shown(customer.c.id, 0, len(ids)).where(customer.c.id.in_(ids))
    return shown.select_from(_with_segments(customer))


def _with_segments(people: Any) -> Any:
    return people.outerjoin(segments, segments.c.customer_id == customer.c.id)


def _shown(key: Any, after: int, limit: int) -> Select[Any]:
    columns = (customer.c.id, customer.c.member_id, customer.c.name, customer.c.city, segments.c.rf11, segments.c.nesl)
    return select(*columns).where(key > after).order_by(key).limit(limit)


def ask(site: Site, chosen: Filter, after: int, limit: int) -> tuple[Listed, datetime | None]:
    """Who fits a filter that no index answers, and the time of the snapshot that was asked (None: the database). Raises
    RuleError."""
    assert chosen.rule is not None
    rule = chosen.rule if not chosen.words else AllOf(of=(_by_words(chosen.words), chosen.rule))
    with reading(site.engine) as session:
        references = References(load_rules(session))
    day = tomorrow(site.clock, site.zone)
    newest = newest_snapshot(site.snapshot_folder)
    with open_duckdb(site.zone) as connection:
        needed = {"customers", *compile_rules({"list": rule}, day, site.zone, references).facts_needed()}
        if newest is None:
            facts = read_facts(connection, site.engine, *needed)
        else:
            facts = read_snapshot(connection, site.snapshot_folder, *needed)
        found = list_matching(connection, facts, rule, day, site.zone, references, after=after, limit=limit)
    return found, None if newest is None else written_at(newest)


def _by_words(words: str) -> Rule:
    return AnyOf(of=(Attribute(name="member_id", contains=words), Attribute(name="name", contains=words)))


def target_of(rule: Rule) -> str:
    """The audience that means the same people, as campaigns write it."""
    one = _single(rule)
    if isinstance(one, InSegment):
        return f"{one.model}={one.in_[0]}"
    return f"tag:{one.name}" if one is not None else f"rule:{json.dumps(to_builtins(rule), ensure_ascii=False)}"
