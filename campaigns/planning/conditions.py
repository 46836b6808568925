"""Conditions of steps, and goals: what somebody did since entering (clicked, bought), or any rule of
segmentation/rules. As JSON: {"did": "click" | "buy", "is": true | false}, or the rule.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, exists, select
from sqlmodel import Session

from campaigns.planning.triggers import Language
from segmentation.engine import open_duckdb
from segmentation.reading import read_facts
from segmentation.rules.compile import matching
from segmentation.rules.naming import campaign_names
from segmentation.rules.reading import Names, read_rule
from segmentation.rules.references import References, expanded
from segmentation.rules.saved import load_rules
from segmentation.rules.types import to_builtins
from segmentation.rules.wording import sentence
from store.clock import Clock, tomorrow
from store.engine import reading, table_of
from store.errors import BadInput
from store.models import BehaviourEvent, Enrolment, SalesOrder, Tag

Condition = Mapping[str, Any]
Did = Literal["click", "buy"]

_WORDS: dict[tuple[Did, bool], tuple[str, ...]] = {
    ("click", True): ("點擊", "點擊過連結", "clicked"),
    ("click", False): ("未點擊", "沒有點擊連結", "not clicked"),
    ("buy", True): ("購買", "購買了", "bought"),
    ("buy", False): ("未購買", "沒有購買", "not bought"),
}

enrolment, event, order = table_of(Enrolment), table_of(BehaviourEvent), table_of(SalesOrder)


def read_condition(session: Session, given: str | Condition) -> dict[str, Any]:
    """The condition that `given` says, as it is stored: words (`clicked`, `not bought`, 未點擊), `rule:NAME` for a
    saved rule, or JSON. Raises BadInput (RuleError for a rule)."""
    if isinstance(given, str) and not given.lstrip().startswith("{"):
        words = given.strip().lower()
        for (did, holds), alike in _WORDS.items():
            if words in alike:
                return {"did": did, "is": holds}
        if not words.startswith("rule:"):
            raise BadInput(
                f"{given!r} is not a condition: say clicked, not clicked, bought, not bought, rule:NAME or JSON"
            )
        given = {"type": "rule", "name": given.strip().removeprefix("rule:").strip()}
    values = _values(given)
    if "did" in values:
        if values.keys() != {"did", "is"} or (values["did"], values["is"]) not in _WORDS:
            raise BadInput('a condition by what was done is {"did": "click" or "buy", "is": true or false}')
        return dict(values)
    rules = load_rules(session)
    rule = read_rule(dict(values), Names(rules=rules, tags=set(session.scalars(select(table_of(Tag).c.name)))))
    expanded(rule, References(rules))
    return to_builtins(rule)


def _values(given: str | Condition) -> Condition:
    if not isinstance(given, str):
        return given
    try:
        found: Condition = json.loads(given)
    except ValueError as error:
        raise BadInput(f"this condition is not JSON: {error}") from error
    return found


def condition_words(session: Session, condition: Condition, language: Language) -> str:
    """The condition for people."""
    if "did" in condition:
        return _WORDS[condition["did"], condition["is"]][1 if language == "zh" else 2]
    rule = read_rule(dict(condition))
    return sentence(rule, language, campaign_names(session, rule))


def is_rule(condition: Condition | None) -> bool:
    """Whether it is asked of the facts in bulk, by `who_fits`, rather than by SQL, in `since_entering`."""
    return condition is not None and "did" not in condition


def since_entering(condition: Condition) -> Any:
    """SQL on `enrolment`: whether somebody did what a condition names, or did not, since entering the campaign."""
    if condition["did"] == "click":
        done = exists().where(
            event.c.customer_id == enrolment.c.customer_id,
            event.c.occurred_at >= enrolment.c.entered_at,
            event.c.kind == "click",
            event.c.campaign_id == enrolment.c.campaign_id,
        )
    else:
        done = exists().where(
            order.c.customer_id == enrolment.c.customer_id,
            order.c.ordered_at >= enrolment.c.entered_at,
            order.c.status == "paid",
        )
    return done if condition["is"] else ~done


def who_fits(
    engine: Engine, condition: Condition, customer_ids: Sequence[int], *, zone: ZoneInfo, clock: Clock
) -> set[int]:
    """Those of `customer_ids` who fit a rule now, by all that is known up to now. Reads only."""
    if not customer_ids:
        return set()
    with reading(engine) as session:
        references = References(load_rules(session))
    with open_duckdb(zone) as connection:
        facts = read_facts(connection, engine, customer_ids=sorted(set(customer_ids)))
        rules = {"fits": read_rule(dict(condition))}
        matched = matching(facts, rules, tomorrow(clock, zone), zone, references=references)
        found = connection.to_pyarrow(matched.filter(matched.fits).select("customer_id"))
    return set(found["customer_id"].to_pylist())
