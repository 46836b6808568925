"""Migrations must add up to the models, on both databases, and keep what was stored."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, make_url, select, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

import store.models  # noqa: F401  (fills the metadata)
from store.choices import chosen
from store.engine import open_engine, reading, table_of, transaction
from store.migrate import upgrade
from store.models import (
    BehaviourEvent,
    Campaign,
    CampaignRun,
    ConsentChange,
    Customer,
    CustomerSegment,
    CustomerTag,
    Delivery,
    KeywordReportDelivery,
    KeywordSuggestion,
    MessageResult,
    Narrowcast,
    ResponseDue,
    SegmentChange,
    SegmentRun,
    Tag,
    TrackedLink,
    UnitStatistic,
    Variant,
)
from tests.conftest import DATABASES

AT = "2026-10-01 02:00:00.000000"


def test_migrations_add_up_to_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, SQLModel.metadata)
    assert differences == []


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    before = set(inspect(engine).get_table_names())
    upgrade(engine)
    assert set(inspect(engine).get_table_names()) == before
    assert {"customer", "behaviour_event", "delivery", "webhook_body"} <= before


@pytest.fixture(params=DATABASES)
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without any table."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path}/old.db")
        yield engine
        engine.dispose()
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"t{uuid4().hex}"
    admin = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = open_engine(make_url(server).set(database=name).render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def put(connection: Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(values)})"), values)


def fill_0001(connection: Connection) -> None:
    """A brand at revision 0001: two people, one of whom tapped; a tag on and one off; two runs with their changes."""
    put(connection, "channel", id=1, name="main")
    for key in (1, 2):
        put(connection, "customer", id=key, attributes="{}", created_at=AT, refusal_changed_ms=0)
    put(
        connection,
        "campaign",
        id=7,
        channel_id=1,
        name="c",
        state="sent",
        target="all",
        messages="[]",
        way="push",
        holdout_percent=50000,
        conversion_days=7,
        created_at=AT,
    )
    put(connection, "tracked_link", id=3, campaign_id=7, url="https://shop.example/")
    put(
        connection,
        "campaign_run",
        id=9,
        campaign_id=7,
        scheduled_for=AT,
        state="sent",
        messages="[]",
        way="push",
        link_ids="{}",
        fired_at=AT,
        frozen_up_to=0,
    )
    click = json.dumps({"link_id": 3, "run_id": 9})
    for kind, payload in (("click", click), ("message", json.dumps({"message": {"text": "去屑"}}))):
        event = {"event_key": kind, "source": "line", "kind": kind, "channel_id": 1, "customer_id": 1}
        put(connection, "behaviour_event", **event, occurred_at=AT, received_at=AT, payload=payload)
    put(connection, "tag", id=5, name="染護")
    put(connection, "customer_tag", tag_id=5, customer_id=1, since=AT, until=AT, reason="import")
    put(connection, "customer_tag", tag_id=5, customer_id=1, since=AT, reason="import")
    _fill_segments(connection)


def _fill_segments(connection: Connection) -> None:
    for key, day, finished in ((1, "2026-09-30", AT), (2, "2026-10-01", AT), (3, "2026-10-01", None)):
        times = {"started_at": AT, "lease_until": AT, "finished_at": finished}
        state = "finished" if finished else "failed"
        counts = {"customer_count": 2, "change_count": 1, "settings": "{}"}
        put(connection, "segment_run", id=key, as_of=day, state=state, **times, **counts)
    put(connection, "customer_segment", customer_id=1, frequency=1, monetary=10000, nesl="S1", nes="S")
    put(connection, "segment_change", customer_id=2, run_id=1, nesl="never", nes="never")
    put(connection, "segment_change", customer_id=1, run_id=1, nesl="N", nes="N", rf4="new")
    put(connection, "segment_change", customer_id=1, run_id=2, old_nesl="N", nesl="S1", nes="S", old_rf4="new")


def test_rows_of_the_first_version_are_kept_and_say_the_same(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    with empty_engine.begin() as connection:
        fill_0001(connection)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        events = {event.kind: event for event in session.scalars(select(BehaviourEvent))}
        assert (events["click"].campaign_id, events["message"].campaign_id) == (7, None)
        assert events["message"].payload == {"message": {"text": "去屑"}}
        link = session.scalars(select(TrackedLink)).one()
        assert (link.url, link.topic) == ("https://shop.example/", None)
        tag = session.scalars(select(Tag)).one()
        assert (tag.name, tag.kind, tag.source, tag.is_active, tag.definition) == ("染護", "fact", "hand", True, {})
        rows = session.scalars(select(CustomerTag).order_by(table_of(CustomerTag).c.id)).all()
        said = [(r.source, r.evidence, r.strength, r.until is None, r.off_evidence) for r in rows]
        assert said == [("import", {"note": "import"}, 1.0, is_on, None) for is_on in (False, True)]
        now = session.scalars(select(CustomerSegment)).one()
        assert (now.nesl, now.nesl_personal, now.activity, now.computed_at.year) == ("S1", "never", "none", 1970)


def test_what_a_campaign_said_becomes_the_variant_of_its_step(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    said = [{"type": "text", "text": "雙11 👉"}]
    with empty_engine.begin() as connection:
        fill_0001(connection)
        connection.execute(
            text("UPDATE campaign SET target = 'tag:染護', messages = :said"), {"said": json.dumps(said)}
        )
        connection.execute(text("UPDATE campaign_run SET messages = :said"), {"said": json.dumps(said)})
        for who, state in ((1, "accepted"), (2, "skipped")):
            put(connection, "delivery", run_id=9, customer_id=who, state=state)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        assert session.get_one(Campaign, 7).audience == {"any_of": ["tag:染護"], "none_of": []}
        variant = session.scalars(select(Variant)).one()
        assert (variant.campaign_id, variant.step_number, variant.name, variant.messages) == (7, 1, "A", said)
        run = session.get_one(CampaignRun, 9)
        assert [(v["variant_id"], v["weight"], v["messages"], v["languages"]) for v in run.variants] == [
            (variant.id, 1, said, {})
        ]
        states = {d.customer_id: d.variant_id for d in session.scalars(select(Delivery))}
        assert states == {1: variant.id, 2: None}


def test_changes_by_run_become_changes_in_their_order(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    with empty_engine.begin() as connection:
        fill_0001(connection)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        changes = session.scalars(select(SegmentChange).order_by(table_of(SegmentChange).c.id)).all()
        assert [(c.customer_id, c.run_id, c.as_of, c.old_nesl, c.nesl, c.old_rf4, c.rf4) for c in changes] == [
            (1, 1, date(2026, 9, 30), None, "N", None, "new"),
            (2, 1, date(2026, 9, 30), None, "never", None, None),
            (1, 2, date(2026, 10, 1), "N", "S1", "new", None),
        ]
        assert {c.changed_at.isoformat() for c in changes} == {"2026-10-01T02:00:00+00:00"}
        assert [c.is_relabelled for c in changes] == [True, True, False], "the first run moved nobody"
        runs = session.scalars(select(SegmentRun).order_by(table_of(SegmentRun).c.id)).all()
        ids = [change.id for change in changes]
        assert [run.last_change_id for run in runs[:2]] == [ids[1], ids[2]]


def test_changes_by_other_settings_are_told_apart(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0024")
    runs = [("2026-10-01", 30), ("2026-10-02", 30), ("2026-10-02", 60), ("2026-09-01", 60), ("2026-10-03", 60)]
    runs.append(("2026-10-04", 60))
    with empty_engine.begin() as connection:
        put(connection, "customer", id=1, attributes="{}", created_at=AT, refusal_changed_ms=0)
        for key, (day, cycle) in enumerate(runs, start=1):
            settings = json.dumps({"chosen": {"cycle": cycle}})
            times = {"started_at": AT, "lease_until": AT, "finished_at": AT}
            counts = {"customer_count": 1, "change_count": 1, "last_change_id": key}
            put(connection, "segment_run", id=key, as_of=day, state="finished", **times, **counts, settings=settings)
            said = {"nesl": "N", "nes": "N", "nesl_personal": "N", "nes_personal": "N", "activity": "new"}
            put(connection, "segment_change", customer_id=1, run_id=key, as_of=day, changed_at=AT, **said)
        put(connection, "segment_change", customer_id=1, run_id=None, as_of="2026-10-05", changed_at=AT, **said)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        changes = session.scalars(select(SegmentChange).order_by(table_of(SegmentChange).c.id)).all()
    assert [c.is_relabelled for c in changes] == [True, False, True, True, True, False, False]


def test_no_id_of_a_change_is_given_again_after_its_table_was_made_anew(empty_engine: Engine) -> None:
    """Campaigns have read up to it: whoever moved next under the same id would be passed over."""
    upgrade(empty_engine, "0037")
    said = {
        "nesl": "N",
        "nes": "N",
        "nesl_personal": "N",
        "nes_personal": "N",
        "activity": "new",
        "is_relabelled": False,
    }
    said |= {"as_of": "2026-10-05", "changed_at": AT}
    with empty_engine.begin() as connection:
        put(connection, "customer", id=1, attributes="{}", created_at=AT)
        for _ in range(3):
            put(connection, "segment_change", customer_id=1, **said)
        gone = connection.execute(text("SELECT max(id) FROM segment_change")).scalar_one()
        connection.execute(text("DELETE FROM segment_change WHERE id = :gone"), {"gone": gone})
    upgrade(empty_engine)
    with empty_engine.begin() as connection:
        put(connection, "segment_change", customer_id=1, **said)
        assert connection.execute(text("SELECT max(id) FROM segment_change")).scalar_one() == gone + 1


def test_narrowcasts_of_before_are_those_of_the_plain_versions(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    with empty_engine.begin() as connection:
        fill_0001(connection)
    upgrade(empty_engine, "0004")
    with empty_engine.begin() as connection:
        run_id, variant_id = (
            connection.execute(text(f"SELECT min(id) FROM {name}")).scalar_one() for name in ("campaign_run", "variant")
        )
        one = {"run_id": run_id, "variant_id": variant_id}
        upload = {"state": "sending", "attempts": 0, "uploaded_up_to": 2, "upload_size": 9, "counts": "{}"}
        put(connection, "narrowcast", **one, **upload, retry_key="k", request_id="r")
        put(connection, "unit_statistic", id=1, **one, channel_id=1, month="2026-10", detail="{}")
    upgrade(empty_engine)
    with transaction(empty_engine) as session:
        kept = session.scalars(select(Narrowcast)).one()
        assert (kept.language, kept.state, kept.request_id, kept.uploaded_up_to) == ("", "sending", "r", 2)
        assert kept.held_up_to == 2
        assert session.scalars(select(UnitStatistic)).one().language == ""
        session.add(Narrowcast(**one, language="en", upload_size=1, retry_key="k2"))  # one beside it
    with pytest.raises(IntegrityError), transaction(empty_engine) as session:
        session.add(Narrowcast(**one, language="en", upload_size=1, retry_key="k3"))


def test_results_of_a_variant_get_its_format_and_count_as_changed_when_they_were_sent(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0001")
    with empty_engine.begin() as connection:
        fill_0001(connection)
    upgrade(empty_engine, "0003")
    said = [{"variant_id": 1, "messages": [{"type": "textV2"}, {"type": "flex"}]}]
    with empty_engine.begin() as connection:
        connection.execute(text("UPDATE campaign_run SET variants = :said"), {"said": json.dumps(said)})
        variant_id = connection.execute(text("SELECT id FROM variant")).scalar_one()
        assert variant_id == 1
        row = {"run_id": 9, "variant_id": 1, "segment": "none", "channel": "main", "message_text": "去屑"}
        put(connection, "message_result", **row, sent_at=AT, recipients=5, clicks=2)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        kept = session.scalars(select(MessageResult)).one()
    assert (kept.format, kept.message_text, kept.recipients, kept.clicks) == ("flex+text", "去屑", 5, 2)
    assert (kept.changed_at, kept.counted_by) == (kept.sent_at, "us")


def test_refusals_so_far_are_taken_from_the_audit_log(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0013")
    with empty_engine.begin() as connection:
        put(connection, "customer", id=7, attributes="{}", created_at=AT, refusal_changed_ms=0)
        for place, (action, who) in enumerate(
            (("marketing_refused", 7), ("note end of refusal", 7), ("note refusal", 8), ("export customer", 7))
        ):
            entry = {"actor": "customer", "action": action, "detail": json.dumps({"customer_id": who})}
            put(connection, "audit_entry", at=f"2026-10-0{place + 1} 02:00:00.000000", **entry)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        found = session.scalars(select(ConsentChange).order_by(table_of(ConsentChange).c.id)).all()
    assert [(one.customer_id, one.refuses, one.at.day, one.actor) for one in found] == [
        (7, True, 1, "customer"),
        (7, False, 2, "customer"),
    ]
    with reading(empty_engine) as session:  # who took a refusal back agreed then
        agreed_at = session.get_one(Customer, 7).marketing_agreed_at
    assert agreed_at is not None
    assert agreed_at.day == 2


def test_suggestions_of_before_keep_their_chance_and_a_writers_has_none(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0019")
    with empty_engine.begin() as connection:
        one = {"request_key": "k", "made_at": AT, "made_by": "anna", "theme": "冬季", "mode": "safe", "kind": "line"}
        put(connection, "keyword_suggestion", id=3, **one, words="毛衣", terms='["毛衣"]', propensity=0.25)
    upgrade(empty_engine)
    with transaction(empty_engine) as session:
        kept = session.scalars(select(KeywordSuggestion)).one()
        assert (kept.words, kept.terms, kept.propensity, kept.source) == ("毛衣", ["毛衣"], 0.25, None)
        session.add(KeywordSuggestion(**{**kept.model_dump(exclude={"id"}), "source": "writer", "propensity": None}))
    with reading(empty_engine) as session:
        assert [one.propensity for one in session.scalars(select(KeywordSuggestion))].count(None) == 1
    names = {tuple(one["column_names"]) for one in inspect(empty_engine).get_indexes("keyword_suggestion")}
    assert {("request_key",), ("made_at",)} <= names


def test_reports_go_on_only_to_marketers_who_bound_the_account_that_was_typed(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0020")
    anna, strangers = "U" + "a" * 32, "U" + "f" * 32
    with empty_engine.begin() as connection:
        put(connection, "channel", id=1, name="main", units_of_others=0)
        put(connection, "customer", id=5, attributes="{}", created_at=AT, refusal_changed_ms=0)
        about = {"follow_changed_ms": 0, "profile_tries": 0}
        put(connection, "line_account", id=7, channel_id=1, customer_id=5, line_user_id=anna, **about)
        person = {"email": "anna@brand.example", "name": "Anna", "role": "owner", "recovery_hashes": "[]"}
        put(connection, "console_user", id=3, **person, created_at=AT)
        ids = {"user_id": 3, "channel_id": 1, "line_account_id": 7}
        put(connection, "console_line", **ids, code="", after_event_id=0, asked_at=AT)
        value = json.dumps({"every": "week", "line_user_ids": [strangers, anna]})
        put(connection, "brand_setting", name="keyword_report", value=value, updated_at=AT, updated_by="anna")
        for period, recipient, state in (
            ("2026-W40", anna, "accepted"),
            ("2026-W40", strangers, "accepted"),
            ("2026-W40", "folder", "due"),
            ("2026-W41", anna, "due"),
            ("2026-W41", strangers, "due"),
        ):
            row = {"period": period, "recipient": recipient, "state": state, "messages": "[]", "retry_key": "k"}
            put(connection, "keyword_report_delivery", **row, attempts=0, made_at=AT)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        assert chosen(session, "keyword_report") == {"every": "week", "marketers": ["anna@brand.example"]}
        found = {(d.period, d.recipient): d.state for d in session.scalars(select(KeywordReportDelivery))}
    assert found == {
        ("2026-W40", "anna@brand.example"): "accepted",
        ("2026-W40", strangers): "accepted",
        ("2026-W40", "folder"): "due",
        ("2026-W41", "anna@brand.example"): "due",
        ("2026-W41", strangers): "failed",
    }


def test_runs_of_before_know_the_sides_of_their_lift(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0030")
    runs = {  # run -> campaign, step, by enrolment; the fourth was broken off
        1: (1, 1, True),
        2: (1, 1, True),
        3: (1, 2, True),
        4: (1, 1, True),
        5: (2, 1, False),
        6: (2, 1, False),
        7: (2, 1, False),
    }
    with empty_engine.begin() as connection:
        put(connection, "channel", id=1, name="main", units_of_others=0)
        about = {"channel_id": 1, "state": "sent", "audience": "{}", "way": "push", "holdout_percent": 0, "utm": "{}"}
        about |= {"conversion_days": 7, "priority": 0, "trigger_after_id": 0}
        about |= {"is_capped": True, "keeps_quiet_hours": True, "at_best_hour": False}
        for key in (1, 2):
            put(connection, "campaign", id=key, name=f"c{key}", **about, created_at=AT)
            put(connection, "campaign_step", campaign_id=key, step_number=1, wait_minutes=0)
        put(connection, "campaign_step", campaign_id=1, step_number=2, wait_minutes=60)
        for who in (11, 12, 13):
            put(connection, "customer", id=who, attributes="{}", created_at=AT, refusal_changed_ms=0)
            order = {"order_id": f"o{who}", "ordered_at": AT, "currency": "TWD", "total": 10, "status": "paid"}
            if who != 13:
                put(connection, "sales_order", id=who, customer_id=who, **order)
        empty = {"variants": "[]", "way": "push", "link_ids": "{}", "state": "sent", "frozen_up_to": 0}
        for key, (campaign_id, step, by_enrolment) in runs.items():
            at = f"2026-10-0{key} 02:00:00.000000"
            place = {"campaign_id": campaign_id, "step_number": step, "by_enrolment": by_enrolment}
            times = dict.fromkeys(("scheduled_for", "fired_at"), at) | {"tallied_at": None if key == 7 else at}
            put(connection, "campaign_run", id=key, **place, **times, **empty)
        tallies = [(1, 8, "accepted", 2), (1, 0, "held_out", 1), (1, 0, "skipped", 9)]
        tallies += [(2, 8, "skipped", 1), (2, 8, "unknown", 1)]
        tallies += [(3, 8, "accepted", 2), (4, 8, "accepted", 2), (5, 8, "accepted", 50), (6, 8, "accepted", 20)]
        cell = {"batch_number": 0, "segment": "none", "by_reply": False}
        for key, variant_id, state, people in tallies:
            put(
                connection,
                "run_tally",
                run_id=key,
                variant_id=variant_id,
                state=state,
                reason="",
                people=people,
                **cell,
            )
        broken = {"variant_id": 8, "state": "skipped", "reason": "cancelled", "people": 1}
        put(connection, "run_tally", run_id=4, **broken, **cell)
        sent = [(1, 11, "accepted"), (1, 12, "accepted"), (1, 13, "held_out")]
        sent += [(2, 11, "unknown"), (2, 13, "skipped"), (3, 11, "accepted")]
        for key, who, state in sent:
            given = {"variant_id": None if state == "held_out" else 8, "by_reply": False}
            put(connection, "delivery", run_id=key, customer_id=who, state=state, **given)
    upgrade(empty_engine)
    with reading(empty_engine) as session:
        found = {
            one.id: (one.compared_sent, one.compared_held, one.compared_again)
            for one in session.scalars(select(CampaignRun))
        }
        due = session.scalars(select(table_of(ResponseDue).c.customer_id)).all()
    assert found == {
        1: (2, 1, 3),
        2: (2, 0, 2 + 2 * 2),  # both were in the first
        3: (0, 0, 0),
        4: (0, 0, 0),
        5: (50, 0, 50),
        6: (20, 0, 20 + 2 * 20),
        7: (None, None, None),
    }
    assert sorted(due) == [11, 12]


def test_an_id_of_the_log_or_of_the_history_is_never_given_twice(
    new_database_url: Callable[[str], str],
) -> None:
    engine = open_engine(new_database_url("sqlite"))
    with engine.begin() as connection:
        put(connection, "customer", id=1, attributes="{}", created_at=AT, refusal_changed_ms=0)
        ids = []
        for _ in range(2):
            put(connection, "customer_change", customer_id=1, noted_at=AT)
            ids.append(connection.execute(text("SELECT max(id) FROM customer_change")).scalar_one())
            connection.execute(text("DELETE FROM customer_change"))
    engine.dispose()
    assert ids[1] > ids[0]
