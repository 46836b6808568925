"""Whom an audience means now, outside a run: for a forecast, ways, an ads file, an exploration.

Rules can't be asked inside the database. A run keeps who fits them (members.py); here they are asked once, over the
live facts as a run's are, and the answers stand in the condition itself.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, and_, bindparam

from campaigns.audience.members import ask
from campaigns.audience.target import Audience, Target, Targets, all_of, matches, member_key, read_targets
from segmentation.rules.references import References
from segmentation.rules.saved import load_rules
from store.clock import Clock
from store.engine import reading, table_of
from store.models import Customer

customer = table_of(Customer)


@dataclass(frozen=True)
class AskedAudience:
    """An audience whose rules have been asked. `fitting`: rule's key -> customers who fit it, ascending."""

    targets: Targets
    fitting: Mapping[str, Sequence[int]]

    def condition(self, after: int = 0, up_to: int | None = None) -> Any:
        """SQL on the `customer` table: true for those whom it means, among those of ids above `after` up to `up_to`
        (None: all): a page of people carries its own part of the answers only, and asks of nobody else."""
        inside = customer.c.id > after if up_to is None else and_(customer.c.id > after, customer.c.id <= up_to)

        def matching(target: Target) -> Any:
            if up_to is None and target is self.targets.alone:
                return customer.c.id.in_(all_of(target))
            if target.rule is None:
                return matches(target, 0)
            key = member_key(target)
            ids = self.fitting[key]
            part = ids[bisect_right(ids, after) : len(ids) if up_to is None else bisect_right(ids, up_to)]
            # Written into the statement: as parameters they would be too many for either database.
            return customer.c.id.in_(bindparam(f"fitting_{key}", part, expanding=True, literal_execute=True))

        return and_(inside, self.targets.condition_by(matching))


def ask_audience(engine: Engine, audience: Audience, *, zone: ZoneInfo, clock: Clock) -> AskedAudience:
    """Ask an audience's rules, if it has any. Reads only; raises UnknownTarget and RuleError."""
    with reading(engine) as session:
        targets = read_targets(session, audience)
        references = References(load_rules(session))
    rules = targets.rules()
    return AskedAudience(targets, ask(engine, rules, references, zone=zone, clock=clock) if rules else {})
