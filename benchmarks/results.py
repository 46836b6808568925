"""The results page of a run with a million deliveries: over, and in the middle of being sent; and what keeps it fast.

Each database is measured in a process of its own. One in twenty taps, one in fifty buys, one in three hundred blocks.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from benchmarks.figures import Figure
from benchmarks.servers import database
from campaigns.results.catch_up import catch_up
from campaigns.results.tally import tally_batches
from console.access import sessions
from console.access.guard import TOKEN
from console.access.roles import Role
from console.access.users import make_user, user_by_email
from console.frame.site import Site
from console.pages import create_console
from service.logging import set_up_logging
from store.clock import system_clock
from store.engine import is_sqlite, transaction
from store.migrate import upgrade

FOLDER = Path("benchmarks/data")
DELIVERIES = {"quick": 100_000, "full": 1_000_000}
GOAL_MS = 300.0
VIEWS = 11
EMAIL = "bench@example.com"
NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" or "full"."""
    people, figures = DELIVERIES[scale], []
    for kind in ("sqlite", "postgresql"):
        command = [sys.executable, "-m", "benchmarks.results", kind, str(people)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for name, key in (("over", "over_ms"), ("half sent, 20 batches in hand", "sending_ms")):
            figures.append(
                Figure(
                    f"{kind}: page of a run of {people:,}, {name}, median",
                    *(found[key], "ms"),
                    goal=f"below {GOAL_MS:g} ms",
                    met=found[key] < GOAL_MS if scale == "full" else None,
                )
            )
        figures += [
            Figure(f"{kind}: the same page counted from all rows", found["counted_ms"], "ms"),
            Figure(f"{kind}: tallying all of it, once", found["tally_seconds"], "s"),
            Figure(f"{kind}: longest transaction of it", found["longest_ms"], "ms"),
            Figure(f"{kind}: working out all that people did", found["responses_seconds"], "s"),
        ]
    return figures


def measure(kind: str, people: int) -> dict[str, float]:
    """The figures on a fresh database of `kind`."""
    with database(kind, FOLDER / f"results-{kind}") as engine:
        return _measure_on(engine, people)


def _measure_on(engine: Engine, people: int) -> dict[str, float]:
    upgrade(engine)
    _fill(engine, people)
    page = _page(engine)
    found = {"counted_ms": _median_ms(page, views=3)}
    longest, start, tallied = 0.0, time.perf_counter(), 1
    while tallied:
        began = time.perf_counter()
        with transaction(engine) as session:
            tallied = tally_batches(session)
        longest = max(longest, time.perf_counter() - began)
    found |= {"tally_seconds": time.perf_counter() - start, "longest_ms": longest * 1000}
    start = time.perf_counter()
    catch_up(engine, system_clock)
    found["responses_seconds"] = time.perf_counter() - start
    in_hand = "UPDATE send_batch SET state = 'claimed', is_tallied = FALSE WHERE batch_number BETWEEN 101 AND 120"
    _execute(engine, in_hand)
    found["sending_ms"] = _median_ms(page)
    _execute(engine, "UPDATE send_batch SET state = 'done'")
    _execute(engine, "UPDATE campaign_run SET state = 'sent', finished_at = fired_at")
    catch_up(engine, system_clock)
    found["over_ms"] = _median_ms(page)
    engine.dispose()
    return found


def _page(engine: Engine) -> Callable[[], None]:
    app = Flask("bench")
    app.secret_key = "a key of benchmarks"  # noqa: S105
    app.register_blueprint(create_console(Site(engine, ZoneInfo("Asia/Taipei"), system_clock)))
    client = signed_in_client(app, engine)

    def get() -> None:
        answer = client.get("/console/campaigns/1")
        assert answer.status_code == 200, answer.status

    return get


def signed_in_client(app: Flask, engine: Engine) -> FlaskClient:
    """A browser in which an owner is signed in to the console of `app`."""
    client = app.test_client()
    now = system_clock()
    with transaction(engine) as session:
        one = user_by_email(session, EMAIL) or make_user(
            session, email=EMAIL, name="bench", role=Role.OWNER, actor="bench", now=now
        )
        token = sessions.begin(session, one.id or 0, user_agent="bench", now=now)
    with client.session_transaction() as cookie:
        cookie[TOKEN] = token
    return client


def _median_ms(work: Callable[[], None], views: int = VIEWS) -> float:
    def one() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return statistics.median(one() for _ in range(views)) * 1000


def _execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _fill(engine: Engine, people: int) -> None:
    """One push run, half sent, and what its people did."""
    at = "'2026-11-02 04:00:00.000000'" if is_sqlite(engine) else "timestamptz '2026-11-02 04:00:00+00'"
    message = '[{"type": "text", "text": "x"}]'
    frozen = ", ".join(f'{{"variant_id": {n}, "name": "{n}", "messages": {message}}}' for n in (1, 2))
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {people})"
    segment = "CASE i % 9 WHEN 0 THEN NULL ELSE 'segment' || (i % 9) END"
    state = f"CASE WHEN i % 20 = 0 THEN 'held_out' WHEN i > {people // 2} THEN 'chosen' ELSE 'accepted' END"
    _execute(
        engine,
        "INSERT INTO channel (id, name) VALUES (1, 'main')",
        "INSERT INTO campaign (id, channel_id, name, state, audience, way, holdout_percent, conversion_days, priority,"
        " is_capped, keeps_quiet_hours, at_best_hour, trigger_after_id, created_at)"
        f" VALUES (1, 1, 'c', 'sending', '{{\"any_of\": [\"all\"], \"none_of\": []}}', 'push', 50000, 7, 0,"
        f" TRUE, TRUE, FALSE, 0, {at})",
        "INSERT INTO campaign_step (campaign_id, step_number, wait_minutes) VALUES (1, 1, 0)",
        *(
            "INSERT INTO variant (id, campaign_id, step_number, name, weight, messages, languages)"
            f" VALUES ({n}, 1, 1, '{n}', 1, '{message}', '{{}}')"
            for n in (1, 2)
        ),
        "INSERT INTO campaign_run (id, campaign_id, step_number, scheduled_for, state, variants, way, link_ids,"
        " by_enrolment, fired_at, frozen_up_to, frozen_at)"
        f" VALUES (1, 1, 1, {at}, 'sending', '[{frozen}]', 'push', '{{}}', FALSE, {at}, 0, {at})",
        "INSERT INTO tracked_link (id, campaign_id, url) VALUES (1, 1, 'https://a.example')",
        f"INSERT INTO customer (id, attributes, created_at, refusal_changed_ms) {numbers}"
        f" SELECT i, '{{}}', {at}, 0 FROM n",
        "INSERT INTO send_batch (run_id, batch_number, recipient_count, wave, state, attempts, is_tallied)"
        f" {numbers} SELECT 1, i, 500, 0, CASE WHEN i > {people // 1000} THEN 'due' ELSE 'done' END, 1, FALSE FROM n"
        f" WHERE i <= {people // 500}",
        "INSERT INTO delivery (run_id, customer_id, variant_id, segment, state, batch_number, by_reply, sent_at)"
        f" {numbers} SELECT 1, i, CASE WHEN i % 20 = 0 THEN NULL ELSE 1 + i % 2 END, {segment}, {state},"
        f" CASE WHEN i % 20 = 0 THEN NULL ELSE 1 + (i - 1) / 500 END, FALSE,"
        f" CASE WHEN i % 20 <> 0 AND i <= {people // 2} THEN {at} END FROM n",
        "INSERT INTO click (link_id, run_id, customer_id, clicked_at, kind, user_agent, has_event)"
        f" {numbers} SELECT 1, 1, i, {at}, 'person', 'Line/14', TRUE FROM n WHERE i % 20 = 1",
        "INSERT INTO sales_order (order_id, customer_id, ordered_at, currency, total, status)"
        f" {numbers} SELECT 'o' || i, i, {at}, 'TWD', 10000 * (100 + i % 977), 'paid' FROM n WHERE i % 50 < 1 + i % 2",
        "INSERT INTO behaviour_event"
        " (event_key, source, kind, channel_id, customer_id, occurred_at, received_at, payload)"
        f" {numbers} SELECT 'e' || i, 'line', 'unfollow', 1, i, {at}, {at}, '{{}}' FROM n WHERE i % 300 = 1",
        f"INSERT INTO response_due (customer_id) {numbers} SELECT i FROM n"
        " WHERE i % 20 = 1 OR i % 50 < 1 + i % 2 OR i % 300 = 1",
    )
    _execute(engine, "ANALYZE")


if __name__ == "__main__":
    set_up_logging("WARNING")
    sys.stdout.write(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
