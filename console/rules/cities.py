"""Cities that files of customers write with or without 市 or 縣, unlike a rule. That matches nothing by itself, for
嘉義市 and 嘉義縣 are two places; it is told, so that who writes 台中 sees that most customers are of 台中市."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session

from segmentation.rules.reading import conditions
from segmentation.rules.types import TAI, Attribute, Rule
from store.engine import table_of
from store.models import Customer

ENDS = ("市", "縣")

customer = table_of(Customer)


@dataclass(frozen=True)
class OtherCity:
    """A city that the rule doesn't ask for, as most write it, and how many customers are of it."""

    name: str
    customers: int


def other_cities(session: Session, rule: Rule) -> list[OtherCity]:
    """Cities of customers that are those which `rule` asks for with or without 市 or 縣, and that it doesn't ask for;
    most customers first."""
    asked = {word.replace(*TAI) for word in _asked(rule)}
    near = {other for word in asked for other in _near(word)} - asked
    if not near:
        return []
    spelt = [*near, *(city.replace(TAI[1], TAI[0]) for city in near)]
    rows = session.execute(
        select(customer.c.city, func.count()).where(customer.c.city.in_(spelt)).group_by(customer.c.city)
    )
    found: dict[str, list[tuple[int, str]]] = {}
    for city, count in rows:
        found.setdefault(city.replace(*TAI), []).append((count, city))
    made = [OtherCity(max(ways)[1], sum(count for count, _ in ways)) for ways in found.values()]
    return sorted(made, key=lambda one: (-one.customers, one.name))


def _asked(rule: Rule) -> Iterator[str]:
    for _, part in conditions(rule):
        if isinstance(part, Attribute) and part.name == "city":
            yield from part.in_ or ()
            if isinstance(part.is_, str):
                yield part.is_


def _near(word: str) -> list[str]:
    return [word[:-1]] if len(word) > 1 and word.endswith(ENDS) else [word + end for end in ENDS]
