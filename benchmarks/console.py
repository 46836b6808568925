"""Every page of the console with a large brand in store: customers, events, orders, segments, campaigns, clicks.

Each database in a process of its own. A page is asked for once to fill its caches, then some times: the median counts.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, text
from sqlmodel import Session

from benchmarks.console_firings import fill_firings
from benchmarks.figures import Figure
from benchmarks.results import signed_in_client
from benchmarks.servers import database
from campaigns.money.outlook_kept import find_asked_outlooks
from campaigns.results.catch_up import catch_up
from campaigns.results.learning import count_message_results, store_message_results
from console.campaigns.draft_store import STEPS
from console.campaigns.draft_values import NEW
from console.frame.site import Site
from console.pages import create_console
from keywords.effects.stored import renew_learning
from keywords.text.tokenizer import shared_tokenizer
from segmentation.renew import Ground, renew_everyone
from segmentation.rules.saved import save_rule
from segmentation.settings import SegmentSettings
from segmentation.snapshot import take_snapshot
from segmentation.tags.catalogue import create_tag
from service.logging import set_up_logging
from store.clock import system_clock
from store.engine import is_sqlite, table_of, transaction
from store.migrate import upgrade
from store.models import Campaign, CampaignDraft, CampaignRun, CampaignStep, Customer, TrackedLink, Variant
from store.searchable import make_searchable

FOLDER = Path("bench-data")
# customers, events, campaigns, and runs of automations in a month
SCALES = {"quick": (60_000, 600_000, 40, 2_000), "full": (1_000_000, 10_000_000, 300, 43_000)}
GOAL_MS = 300.0
VIEWS = 5
SLOWEST = 6  # pages that are named
ZONE = ZoneInfo("Asia/Taipei")
SURNAMES = "陳林黃張李王吳劉蔡楊許鄭謝洪郭邱曾廖賴徐"
GIVEN = "美玲雅婷怡君淑芬惠麗秀珍佳穎詩涵欣妤宜庭家豪志明俊傑建宏冠宇承恩柏翰文雄國華信宏子晴品睿宥辰語彤芷若安"
WORDS = ("買一送一", "限時下殺", "新品上市", "會員獨享", "免運", "週年慶", "發熱衣", "面膜", "帳篷", "咖啡")
# What stands in an address, by the name of its part.
VALUES = {
    **dict.fromkeys(("campaign_id", "customer_id", "tag_id", "rule_id"), 1),
    "model": "nesl",
    "slug": "lift",
    "name": "campaigns",
}
E = "r0-type=segment&r0-value=nesl=E"
SEARCHES = (
    *(f"/console/customers?q={words}" for words in ("陳", "美玲", "玲", "陳美玲", "m4321", "U1000004321", "nobody")),
    *(f"/console/customers?{E}", f"/console/customers?{E}&r1-type=attribute&r1-name=city&r1-value=台北市"),
    f"/console/customers?{E}&r1-type=orders&r1-measure=count&r1-at_least=1&r1-last_days=90",
    "/console/keywords?theme=主題1",
)
TWICE = {"type": "orders", "measure": "count", "at_least": 2, "window": {"last_days": 60}}
NO_PAGES = ("static", "sign_in", "give_code", "welcome", "make_first_owner", "show_nothing")


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" or "full"."""
    figures = []
    for kind in ("sqlite", "postgresql"):
        command = [sys.executable, "-m", "benchmarks.console", kind, scale]
        found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        slow = sorted(found, key=lambda page: -found[page])
        over = sum(found[page] >= GOAL_MS for page in found)
        is_full = scale == "full"
        figures.append(
            Figure(
                f"{kind}: pages over {GOAL_MS:g} ms, of {len(found)}",
                *(float(over), "pages"),
                goal="none",
                met=over == 0 if is_full else None,
            )
        )
        figures += [Figure(f"{kind}: {page}, median", found[page], "ms") for page in slow[:SLOWEST]]
    return figures


def measure(kind: str, scale: str) -> dict[str, float]:
    """Address -> milliseconds, on a fresh database of `kind`."""
    folder = (FOLDER / f"console-{kind}").resolve()
    with database(kind, folder) as engine:
        return _measure_on(engine, folder, scale)


def _measure_on(engine: Engine, folder: Path, scale: str) -> dict[str, float]:
    upgrade(engine)
    customers, events, campaigns, firings = SCALES[scale]
    now = system_clock()
    _fill_people(engine, customers, events, now)
    _fill_campaigns(engine, customers, campaigns, now)
    with transaction(engine) as session:  # the first tag, which the pages of a tag are asked for
        create_tag(session, "兩個月內買過兩次", source="rule", definition={"when": TWICE}, now=now)
        save_rule(session, "常買", TWICE, now, actor="benchmark")
    automation = f"/console/campaigns/{fill_firings(engine, firings, now)}"
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    ground = Ground(engine, ZONE, system_clock)
    for days in (30, 0):
        renew_everyone(ground, SegmentSettings(), as_of=(now - timedelta(days=days)).date())
    catch_up(engine, system_clock)
    with transaction(engine) as session:
        store_message_results(session, count_message_results(session, now=now))
    renew_learning(engine, shared_tokenizer(), zone=ZONE, clock=system_clock)
    take_snapshot(engine, folder / "snapshot", zone=ZONE, now=now)
    site = Site(engine, ZONE, system_clock, snapshot_folder=folder / "snapshot")
    app = Flask("bench")
    app.secret_key = "a key of benchmarks"  # noqa: S105
    app.register_blueprint(create_console(site))
    app.config["WTF_CSRF_METHODS"] = []  # forms are sent without their page
    client, draft = signed_in_client(app, engine), _draft(engine, now)
    editor = [f"{draft}/{step}" for step, _ in STEPS]
    others = (automation, f"{automation}/results", *editor, *SEARCHES)
    found = {address: _median_ms(client, address) for address in (*_addresses(app), *others)}
    if find_asked_outlooks(engine, zone=ZONE, clock=system_clock) != 1:
        raise RuntimeError("the editor's check did not ask the worker for the outlook")
    found["the check, once the worker has answered"] = _median_ms(client, f"{draft}/check")
    return found | {name: _median_ms(client, *asked) for name, asked in _parts(draft).items()}


def _parts(draft: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Parts of pages that renew themselves while somebody writes: what each is called, its address and its form."""
    people, rule = f"{draft}/people", {"r0-type": "segment", "r0-value": "nesl=E", "join": "all"}
    orders = {"r1-type": "orders", "r1-measure": "count", "r1-at_least": "1", "r1-last_days": "90"}
    return {
        "the people of a segment": (people, {"any_of": "nesl=E"}),
        "of everybody": (people, {"any_of": "all"}),
        "of two segments, not of a third": (people, {"any_of": ["nesl=E", "rf4=regular"], "none_of": "rf11=lost"}),
        "of everybody but a segment": (people, {"any_of": "all", "none_of": "nesl=L"}),
        "the chat": (
            f"{draft}/preview",
            {"v0-m0-kind": "text", "v0-m0-text": "{{ name or '您' }}，週年慶", "theme": "主題1"},
        ),
        "a rule being written": ("/console/rules/said", {**rule, **orders}),
    }


def _draft(engine: Engine, now: datetime) -> str:
    """The address of a campaign to everybody in the editor."""
    text = {"kind": "text", "text": "{{ name or '您' }}，週年慶全館 8 折"}
    said = {
        "variants": [{"messages": [text], "weight": "1"}],
        "any_of": ["all"],
        "when": {**NEW["when"], "kind": "now"},
    }
    with transaction(engine) as session:
        values = {**deepcopy(NEW), **said}
        draft = CampaignDraft(name="週年慶", values=values, created_at=now, updated_at=now, updated_by="benchmark")
        session.add(draft)
        session.flush()
        return f"/console/campaigns/drafts/{draft.id}"


def _addresses(app: Flask) -> Iterator[str]:
    """Every address that a page or a part of one is got from, where VALUES has what stands in it."""
    adapter = app.url_map.bind("localhost")
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        room, _, name = rule.endpoint.partition(".")
        is_page = room == "console" and "GET" in (rule.methods or set()) and name not in NO_PAGES
        if is_page and rule.arguments <= VALUES.keys():
            yield adapter.build(rule.endpoint, {part: VALUES[part] for part in rule.arguments})


def _median_ms(client: FlaskClient, address: str, form: dict[str, Any] | None = None) -> float:
    """Of a page that is got, or of what a form asks for."""

    def ask() -> int:
        return (client.get(address) if form is None else client.post(address, data=form)).status_code

    if (status := ask()) != 200:
        raise RuntimeError(f"{address} answers {status}")
    found = []
    for _ in range(VIEWS):
        start = time.perf_counter()
        ask()
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1000


def _fill_people(engine: Engine, customers: int, events: int, now: datetime) -> None:
    """Customers with a Chinese name and an account; two orders and ten events on average, those of low numbers more."""
    name = (
        f"substr('{SURNAMES}', CAST(1 + i % {len(SURNAMES)} AS INTEGER), 1)"
        f" || substr('{GIVEN}', CAST(1 + ((i * 7919) % 1000003) % {len(GIVEN)} AS INTEGER), 1)"
        f" || substr('{GIVEN}', CAST(1 + ((i * 104729) % 1000033) % {len(GIVEN)} AS INTEGER), 1)"
    )
    who = (
        f"1 + CAST(({customers} - 1) * ((i * 7919) % 1000003) / 1000003.0 * ((i * 104729) % 1000) / 1000.0 AS INTEGER)"
    )
    kinds = "CASE i % 4 WHEN 0 THEN 'message' WHEN 1 THEN 'product_view' WHEN 2 THEN 'click' ELSE 'postback' END"
    at, when = _moment(engine, now), _spread(engine, now)
    people, acts, orders = (_numbers(engine, count) for count in (customers, events, customers * 2))
    statements = [
        "INSERT INTO channel (id, name, units_of_others) VALUES (1, 'main', 0)",
        f"{people} INSERT INTO customer (id, member_id, name, city, attributes, created_at, refusal_changed_ms)"
        f" SELECT i, 'm' || i, {name}, CASE i % 3 WHEN 0 THEN '台北市' ELSE '台中市' END, '{{}}', {at}, 0 FROM n",
        f"{people} INSERT INTO line_account (channel_id, line_user_id, customer_id, is_following, follow_changed_ms,"
        f" profile_tries) SELECT 1, 'U' || (1000000000 + i), i, TRUE, 0, 0 FROM n",
        f"{orders} INSERT INTO sales_order (order_id, customer_id, ordered_at, currency, total, status)"
        f" SELECT 'o' || i, {who}, {when}, 'TWD', 10000 * (100 + i % 977), 'paid' FROM n",
        f"{acts} INSERT INTO behaviour_event (event_key, source, kind, channel_id, customer_id, occurred_at,"
        f" received_at, payload) SELECT 'e' || i, 'line', {kinds}, 1, {who}, {when}, {at}, '{{}}' FROM n",
    ]
    for statement in statements:
        with engine.begin() as connection:
            connection.execute(text(statement))
    with transaction(engine) as session:
        make_searchable(session, select(table_of(Customer).c.id))


def _fill_campaigns(engine: Engine, customers: int, campaigns: int, now: datetime) -> None:
    """One campaign a day, each sent to one in two hundred, of whom one in twenty tapped."""
    size = customers // 200
    batches = -(-size // 500)
    for number in range(1, campaigns + 1):
        at = now - timedelta(days=campaigns - number, hours=3)
        with transaction(engine) as session:
            run_id, variants, link_id = _campaign(session, number, at)
        first = (number * 37 % 199) * size + 1
        moment = _moment(engine, at)
        with engine.begin() as connection:
            connection.execute(
                text(
                    f"{_numbers(engine, size)} INSERT INTO delivery (run_id, customer_id, variant_id, segment, state,"
                    f" batch_number, by_reply, sent_at) SELECT {run_id}, {first} + i, CASE WHEN i % 20 = 0 THEN NULL"
                    f" WHEN i % 2 = 0 THEN {variants[0]} ELSE {variants[1]} END, 'important_value',"
                    f" CASE WHEN i % 20 = 0 THEN 'held_out' ELSE 'accepted' END,"
                    f" CASE WHEN i % 20 = 0 THEN NULL ELSE 1 + (i - 1) / 500 END, FALSE, {moment} FROM n"
                )
            )
            connection.execute(
                text(
                    f"{_numbers(engine, size)} INSERT INTO click (link_id, run_id, customer_id, clicked_at, kind,"
                    f" user_agent, has_event) SELECT {link_id}, {run_id}, {first} + i, {moment}, 'person', 'Line/14',"
                    " TRUE FROM n WHERE i % 20 = 1"
                )
            )
            connection.execute(
                text(
                    f"{_numbers(engine, batches)} INSERT INTO send_batch (run_id, batch_number, recipient_count,"
                    f" wave, state, attempts, is_tallied) SELECT {run_id}, i, 500, 0, 'done', 1, FALSE FROM n"
                )
            )


def _campaign(session: Session, number: int, at: datetime) -> tuple[int, tuple[int, int], int]:
    """Run id, the two variants' ids and the link's id of a campaign that was sent at `at`."""
    words = f"{WORDS[number % 10]} {WORDS[number * 3 % 10]}"
    fields: dict[str, Any] = {"state": "sent", "way": "push", "theme": f"主題{number % 6}", "created_at": at}
    audience = {"any_of": ["all"], "none_of": []}
    campaign = Campaign(channel_id=1, name=f"活動 {number}", audience=audience, **fields)
    session.add(campaign)
    session.flush()
    assert campaign.id is not None
    session.add(CampaignStep(campaign_id=campaign.id, step_number=1))
    texts = (words, f"{words} {WORDS[number * 7 % 10]}")
    made = [
        Variant(campaign_id=campaign.id, name="AB"[place], messages=[{"type": "text", "text": said}])
        for place, said in enumerate(texts)
    ]
    link = TrackedLink(campaign_id=campaign.id, url="https://a.example")
    session.add_all([*made, link])
    session.flush()
    frozen: list[dict[str, Any]] = [
        {"variant_id": one.id, "name": one.name, "weight": 1, "messages": one.messages, "languages": {}} for one in made
    ]
    times: dict[str, Any] = {"scheduled_for": at, "fired_at": at, "frozen_at": at, "finished_at": at}
    run = CampaignRun(campaign_id=campaign.id, state="sent", variants=frozen, way="push", **times)
    session.add(run)
    session.flush()
    return run.id or 0, (made[0].id or 0, made[1].id or 0), link.id or 0


def _numbers(engine: Engine, count: int) -> str:
    """SQL: WITH n(i) of 1..count."""
    if is_sqlite(engine):
        return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    return f"WITH n(i) AS (SELECT CAST(g AS BIGINT) FROM generate_series(1, {count}) AS g)"


def _moment(engine: Engine, at: datetime) -> str:
    said = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"'{said}.000000'" if is_sqlite(engine) else f"TIMESTAMPTZ '{said}+00'"


def _spread(engine: Engine, now: datetime) -> str:
    """SQL: a moment within the last two years, by i."""
    minutes = "((i * 15485863) % 1051200)"
    said = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if is_sqlite(engine):
        return f"strftime('%Y-%m-%d %H:%M:%f000', '{said}', '-' || {minutes} || ' minutes')"
    return f"TIMESTAMPTZ '{said}+00' - make_interval(mins => CAST({minutes} AS INTEGER))"


if __name__ == "__main__":
    set_up_logging("WARNING")
    sys.stdout.write(json.dumps(measure(sys.argv[1], sys.argv[2])))
