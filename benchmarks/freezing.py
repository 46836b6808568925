"""Freezing a run over everybody: holdout, two variants and the three caps, after two earlier runs that count towards
them; and how long SQLite's writers would have to wait for a slice.

The goal is stated for a million people with nothing else at work on the machine.
"""

import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, event, func, select, text, update

from benchmarks.figures import Figure
from benchmarks.servers import database
from campaigns.audience.freezing import freeze_run
from campaigns.settings import change_settings
from store.engine import is_sqlite, reading, table_of, transaction
from store.migrate import upgrade
from store.models import Campaign, CampaignRun, CampaignStep, Channel, Delivery, Variant

FOLDER = Path("var/bench")
ZONE = ZoneInfo("Asia/Taipei")
PEOPLE = {"quick": 100_000, "full": 1_000_000}
GOAL_SECONDS = 10.0
NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)
EARLIER = 2  # runs to everybody that count towards the caps


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" or "full"."""
    figures = []
    for kind in ("sqlite", "postgresql"):
        with database(kind, FOLDER / f"freezing-{kind}") as engine:
            figures += _measure(engine, kind, scale)
    return figures


def _measure(engine: Engine, kind: str, scale: str) -> list[Figure]:
    people = PEOPLE[scale]
    upgrade(engine)
    _fill(engine, people)
    for number in range(EARLIER):
        run_id = _plan(engine, "push", number)
        freeze_run(engine, run_id, zone=ZONE, clock=lambda: NOW - timedelta(days=3))
        _send(engine, run_id)
    with transaction(engine) as session:
        caps = {"cap_day": 2, "cap_week": 4, "cap_month": 8}
        change_settings(session, caps, actor="benchmark", now=NOW)
    figures = []
    for number, way in enumerate(("push", "multicast"), EARLIER):
        run_id = _plan(engine, way, number)
        slices = _watch(engine)
        start, cpu = time.perf_counter(), time.process_time()
        freeze_run(engine, run_id, zone=ZONE, clock=lambda: NOW)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        with reading(engine) as session:
            delivery = table_of(Delivery)
            count = session.scalar(select(func.count()).where(delivery.c.run_id == run_id)) or 0
        if count != people:
            raise RuntimeError(f"{count} of {people} were frozen")
        goal = {"goal": f"at most {GOAL_SECONDS:g} s", "met": seconds <= GOAL_SECONDS} if scale == "full" else {}
        figures.append(Figure(f"{kind}: {people:,} people, {way}", seconds, "s", **goal))  # type: ignore[arg-type]
        name = f"{kind}: a slice's transaction, {way}, median of {len(slices)}"
        figures.append(Figure(name, statistics.median(slices) * 1000, "ms"))
        if is_sqlite(engine):  # it works in this process
            figures.append(Figure(f"{kind}: processor time, {way}", cpu, "s"))
            figures.append(Figure(f"{kind}: the longest, {way}", max(slices) * 1000, "ms"))
        _send(engine, run_id)
    engine.dispose()
    return figures


def _watch(engine: Engine) -> list[float]:
    """A list that gets the seconds of each transaction from now on."""
    seconds: list[float] = []
    begun: dict[int, float] = {}

    def begin(connection: object) -> None:
        begun[id(connection)] = time.perf_counter()

    def commit(connection: object) -> None:
        seconds.append(time.perf_counter() - begun.get(id(connection), time.perf_counter()))

    event.listen(engine, "begin", begin)
    event.listen(engine, "commit", commit)
    return seconds


def _fill(engine: Engine, people: int) -> None:
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {people})"
    account = "'U' || substr('00000000000000000000000000000000' || i, -32)"
    if not is_sqlite(engine):
        account = "'U' || lpad(i::text, 32, '0')"
    states = "'E', 'E', 'E', 'E', 'active', '2026-01-01 00:00:00.000000'"
    statements = (
        "INSERT INTO customer (id, member_id, attributes, refusal_changed_ms, created_at)"
        f" {numbers} SELECT i, 'm' || i, '{{}}', 0, '2026-01-01 00:00:00.000000' FROM n",
        "INSERT INTO line_account"
        " (id, channel_id, line_user_id, customer_id, is_following, follow_changed_ms, profile_tries)"
        f" {numbers} SELECT i, 1, {account}, i, TRUE, 0, 0 FROM n",
        "INSERT INTO customer_segment"
        " (customer_id, rfm8, nesl, nes, nesl_personal, nes_personal, activity, computed_at)"
        f" {numbers} SELECT i, CASE i % 2 WHEN 0 THEN 'important_value' ELSE 'ordinary_win_back' END, {states} FROM n",
    )
    with transaction(engine) as session:
        session.add(Channel(id=1, name="main"))
    with engine.begin() as connection:
        for statement in statements:
            if not is_sqlite(engine):
                statement = statement.replace("'2026-01-01 00:00:00.000000'", "TIMESTAMPTZ '2026-01-01Z'")
            connection.execute(text(statement.replace(":", "\\:")))
    _analyze(engine)


def _plan(engine: Engine, way: str, number: int) -> int:
    """A run of a campaign of its own, with two variants."""
    with transaction(engine) as session:
        audience = {"any_of": ["all"], "none_of": []}
        campaign = Campaign(channel_id=1, name=f"run {number}", way=way, audience=audience, created_at=NOW)
        session.add(campaign)
        session.flush()
        assert campaign.id is not None
        session.add(CampaignStep(campaign_id=campaign.id, step_number=1))
        variants = [
            Variant(campaign_id=campaign.id, name=name, messages=[{"type": "text", "text": name}]) for name in "AB"
        ]
        session.add_all(variants)
        session.flush()
        rest: dict[str, Any] = {"weight": 1.0, "languages": {}}
        frozen = [{"variant_id": v.id, "name": v.name, "messages": v.messages, **rest} for v in variants]
        made = CampaignRun(campaign_id=campaign.id, scheduled_for=NOW, fired_at=NOW, variants=frozen, way=way)
        session.add(made)
        session.flush()
        return made.id or 0


def _send(engine: Engine, run_id: int) -> None:
    """As if it had been sent; and what PostgreSQL's autovacuum does by itself between two campaigns."""
    delivery, run = table_of(Delivery), table_of(CampaignRun)
    with transaction(engine) as session:
        chosen = (delivery.c.run_id == run_id, delivery.c.state == "chosen")
        session.execute(update(delivery).where(*chosen).values(state="accepted", sent_at=NOW))
        session.execute(update(run).where(run.c.id == run_id).values(state="sent", finished_at=NOW))
    _analyze(engine)


def _analyze(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if is_sqlite(engine) else "VACUUM ANALYZE")
