"""Who fits the rules of a run's audience: asked once, over the live facts, before the audience is frozen.

Rules are asked outside the database (segmentation/rules); who fits stands in `run_member` until the person is frozen.
A crash in between is made good by asking again: whoever fitted the first time had it right too, and stays.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Engine, bindparam, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session

from campaigns.audience.ahead import rules_ahead
from campaigns.audience.target import Audience, Targets, read_targets
from campaigns.planning.schedule import campaign_by_id
from campaigns.settings import read_settings
from segmentation.engine import kept, open_duckdb
from segmentation.leases import Held, leased, lengthened
from segmentation.reading import read_facts
from segmentation.rules.compile import compile_rules
from segmentation.rules.references import References
from segmentation.rules.saved import load_rules
from segmentation.rules.types import Rule
from store.clock import Clock, tomorrow
from store.engine import insert_for, is_sqlite, reading, transaction
from store.models import Campaign, CampaignRun, RunMember

LEASE = timedelta(seconds=12)  # kept while the rules are asked, which may take longer: who dies is taken over
SLICE = 5_000  # members written in one transaction


def find_members(engine: Engine, run_id: int, *, zone: ZoneInfo, clock: Clock) -> bool:
    """Ask a planned run's rules, and those of what is planned with a higher priority (ahead.py), and keep who fits.

    False while another worker is at it; True when it is done, or there is nothing to ask. Raises UnknownTarget and
    RuleError for what has gone or changed since, LeaseLost when this worker was too slow.
    """
    with reading(engine) as session:
        run = session.get_one(CampaignRun, run_id)
        if run.state != "planned" or run.members_at is not None or run.by_enrolment:
            return True
        targets, campaign = targets_of(session, run), session.get_one(Campaign, run.campaign_id)
        ahead = rules_ahead(session, campaign, read_settings(session), zone=zone, now=clock())
        rules, references = ahead | targets.rules(), References(load_rules(session))
    if not rules:
        return True
    with leased(engine, f"members of run {run_id}", LEASE, clock) as held:
        if held is None:
            return False
        with lengthened(engine, held):
            found = ask(engine, rules, references, zone=zone, clock=clock)
        for target, people in found.items():
            for start in range(0, len(people), SLICE):
                if not _keep(engine, held, run_id, target, people[start : start + SLICE]):
                    return True
        with transaction(engine) as session:
            held.hold(session)
            run = session.get_one(CampaignRun, run_id, with_for_update=True)
            run.members_at = clock()
            session.add(run)
    return True


def targets_of(session: Session, run: CampaignRun) -> Targets:
    """The targets of a run's campaign as they stand. Raises UnknownTarget and RuleError."""
    return read_targets(session, Audience.from_json(campaign_by_id(session, run.campaign_id).audience))


def ask(
    engine: Engine, rules: dict[str, Rule], references: References, *, zone: ZoneInfo, clock: Clock
) -> dict[str, list[int]]:
    """For each rule by its key the customers who fit it now, ascending. All that has happened up to now counts."""
    day = tomorrow(clock, zone)
    places = {f"r{place}": key for place, key in enumerate(rules)}
    asked = {name: rules[key] for name, key in places.items()}
    compiled = compile_rules(asked, day, zone, references)
    with open_duckdb(zone) as connection:
        facts = read_facts(connection, engine, "customers", *compiled.facts_needed())
        measured = compiled.measured(facts)
        columns = {name: compiled.holds(measured, name) for name in asked}
        found = kept(connection, "found", measured.select("customer_id", **columns))
        return {key: _ids(connection, found, name) for name, key in places.items()}


def _ids(connection: Any, found: Any, name: str) -> list[int]:
    fitting = found.filter(found[name]).select("customer_id").order_by("customer_id")
    ids: list[int] = connection.to_pyarrow(fitting).column("customer_id").to_pylist()
    return ids


def _keep(engine: Engine, held: Held, run_id: int, target: str, people: Sequence[int]) -> bool:
    """Write a slice of members; False when the run is no longer being planned."""
    with transaction(engine) as session:
        held.hold(session)
        if session.get_one(CampaignRun, run_id, with_for_update=True).state != "planned":
            return False
        row = insert_for(session, RunMember)
        if is_sqlite(session):
            rows = [{"run_id": run_id, "target": target, "customer_id": who} for who in people]
            session.connection().execute(row.on_conflict_do_nothing(), rows)
            return True
        ids = bindparam("ids", list(people), type_=ARRAY(BigInteger))
        given = select(literal(run_id, BigInteger), literal(target), func.unnest(cast(ids, ARRAY(BigInteger))))
        session.execute(
            row.from_select(["run_id", "target", "customer_id"], given, include_defaults=False).on_conflict_do_nothing()
        )
        return True
