"""`retarget campaign` as a marketer or a program meets it, on both databases."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine, select, update
from typer.testing import CliRunner

from campaigns.audience import freezing
from campaigns.planning import schedule
from campaigns.results.tally import forget_tally
from campaigns.sending.claims import Outcome, record_outcomes
from service.cli.campaign import app
from service.settings import Settings
from simulator.channels import ChannelOptions, Friend
from simulator.server import Simulator, SimulatorThread
from store.engine import open_engine, reading, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.models import Campaign, Channel, Customer, Delivery, TrackedLink, Variant
from tests.factories import make_account, make_customer
from tests.service.conftest import Retarget


@pytest.fixture
def retarget(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(app)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def create(retarget: Retarget, *words: str) -> Any:
    return retarget("create", "--name", "週年慶", "--to", "all", "--text", "您好 {{ name }}", *words, "--json")


def test_created_listed_shown_paused_resumed_and_cancelled(retarget: Retarget) -> None:
    assert create(retarget, "--at", "2099-01-01T10:00") == {"id": 1, "state": "scheduled"}
    assert create(retarget) == {"id": 2, "state": "draft"}
    listed = retarget("list", "--json")
    assert [(c["id"], c["state"], c["name"]) for c in listed] == [(2, "draft", "週年慶"), (1, "scheduled", "週年慶")]
    assert listed[1]["next_fire_at"] == "2099-01-01T02:00:00+00:00"  # ten in Taipei
    for word, state in (("pause", "paused"), ("resume", "scheduled"), ("cancel", "cancelled")):
        assert retarget(word, "1", "--json") == {"id": 1, "state": state}
    shown = retarget("show", "1", "--json")
    assert shown["deliveries"] == dict.fromkeys(["chosen", "held_out", "skipped", "accepted", "failed", "unknown"], 0)
    assert (shown["id"], shown["state"], shown["clicks"], shown["conversions"], shown["runs"]) == (
        1,
        "cancelled",
        0,
        0,
        0,
    )


def test_a_service_message_is_planned_without_caps(retarget: Retarget, database: Engine) -> None:
    create(retarget)
    create(retarget, "--uncapped", "--conversion-days", "14")
    create(retarget, "--uncapped", "--holdout", "10")  # else nobody: all are to get a parcel's notice
    with reading(database) as session:
        made = session.scalars(select(Campaign).order_by(table_of(Campaign).c.id)).all()
    found = [(one.is_capped, one.holdout_percent, one.conversion_days) for one in made]
    assert found == [
        (True, Decimal(5), 7),
        (False, Decimal(0), 14),
        (False, Decimal(10), 7),
    ]


def test_for_people_there_are_words_and_tables(retarget: Retarget) -> None:
    create(retarget, "--at", "2099-01-01T10:00")
    assert "週年慶" in retarget("list")
    assert "2099-01-01 10:00" in retarget("show", "1")
    assert retarget("pause", "1") == "campaign 1 (週年慶) is paused, next at 2099-01-01 10:00\n"


def test_a_run_in_progress_is_shown_as_it_stands(retarget: Retarget, database: Engine) -> None:
    create(retarget, "--at", "now", "--holdout", "0")
    settings = Settings()
    with transaction(database) as session:
        channel = session.get_one(Channel, 1)
        customers = [make_customer(session) for _ in range(3)]
        for customer in customers:
            make_account(session, channel, customer)
        session.get_one(Customer, customers[2].id).marketing_refused_at = customers[2].created_at
        now = session.get_one(Campaign, 1).created_at
        (run_id,) = schedule.fire_due(session, zone=settings.zone, now=now)
        while freezing.freeze_slice(session, run_id, zone=settings.zone, now=now):
            pass
        record_outcomes(session, run_id, [Outcome(customers[0].id or 0, "accepted", sent_at=now)])
    shown = retarget("show", "1", "--json")
    assert (shown["state"], shown["runs"]) == ("sending", 1)
    assert (shown["deliveries"]["accepted"], shown["deliveries"]["chosen"], shown["skipped"]) == (1, 1, {"refused": 1})
    with transaction(database) as session:
        session.execute(update(table_of(Delivery)).values(state="failed", reason="400: 壞了"))
        forget_tally(session, run_id)
    assert "400: 壞了" in retarget("show", "1")


@pytest.mark.parametrize("wrap", [False, True])
def test_messages_come_from_a_file(retarget: Retarget, tmp_path: Path, wrap: bool) -> None:
    messages = [{"type": "text", "text": "看 https://a.example"}]
    path = tmp_path / "messages.json"
    path.write_text(json.dumps({"messages": messages} if wrap else messages), encoding="utf-8")
    made = retarget("create", "--name", "n", "--to", "all", "--messages", str(path), "--way", "multicast", "--json")
    assert made["state"] == "draft"


def test_a_sequence_on_an_event_and_one_by_the_calendar_are_shown_in_words(retarget: Retarget) -> None:
    content = ["--to", "all", "--text", "a"]
    steps = ["--wait", "30m", "--step", "3d [not clicked]: 還在嗎", "--goal", "bought"]
    made = retarget("create", "--name", "wake", *content, "--on", "nesl:E→S1", *steps, "--best-hour", "--json")
    assert made["state"] == "scheduled"
    monthly = ["--calendar", "last workday of every month at 10:00", "--ignore-quiet-hours", "--priority", "3"]
    retarget("create", "--name", "monthly", *content, *monthly)
    by_name = {one["name"]: one for one in retarget("list", "--json")}
    assert by_name["wake"]["when"] == "當顧客由主力客 E變為瞌睡客 S1"
    assert by_name["monthly"]["recurs"] == "每月最後一個工作日 10:00"
    coming = retarget("calendar", "--days", "62", "--json")
    assert {one["name"] for one in coming["firings"]} == {"monthly"}
    assert len(coming["firings"]) in (2, 3)
    assert [one["name"] for one in coming["listening"]] == ["wake"]


def test_a_draft_with_a_trigger_listens_once_it_is_scheduled(retarget: Retarget, database: Engine) -> None:
    on_birthday = ("--on", "生日")
    assert create(retarget, *on_birthday, "--draft") == {"id": 1, "state": "draft"}
    assert retarget("calendar", "--json")["listening"] == []
    with reading(database) as session:
        assert session.get_one(Campaign, 1).trigger_since is None
    with pytest.raises(BadInput, match="either recurs or has a trigger"):
        retarget("schedule", "1", "--cron", "0 10 * * *")
    assert retarget("schedule", "1", "--at", "2099-01-01T10:00", "--json") == {"id": 1, "state": "scheduled"}
    assert len(retarget("calendar", "--json")["listening"]) == 1
    with reading(database) as session:
        assert session.get_one(Campaign, 1).trigger_since.isoformat() == "2099-01-01T02:00:00+00:00"  # type: ignore[union-attr]
    with pytest.raises(BadInput, match="gets its time when it is scheduled"):
        create(retarget, *on_birthday, "--draft", "--at", "now")


def test_a_later_step_may_have_variants(retarget: Retarget, tmp_path: Path, database: Engine) -> None:
    for name in "ab":
        content = {"messages": [{"type": "text", "text": name}], "languages": {"en": [{"type": "text", "text": name}]}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    create(retarget, "--step", f"3d [not clicked]: @{tmp_path}/a.json @{tmp_path}/b.json", "--step", "1d: 再見")
    with reading(database) as session:
        variant = table_of(Variant).c
        found = session.execute(select(variant.step_number, variant.name).order_by(variant.id)).all()
    assert [tuple(row) for row in found] == [(1, "A"), (2, "A"), (2, "B"), (3, "A")]
    with pytest.raises(BadInput, match="can't be read"):
        create(retarget, "--step", f"3d: @{tmp_path}/a.json @{tmp_path}/c.json")


@pytest.mark.parametrize(
    "words",
    [
        ["create", "--name", "n", "--to", "all"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--messages", "b.json"],
        ["create", "--name", "n", "--to", "all", "--messages", "missing.json"],
        ["create", "--name", "n", "--to", "nobody", "--text", "a"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--at", "tomorrow"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--at", "2001-01-01T10:00"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--at", "0001-01-01T00:00"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--at", "9999-12-31T23:59-12:00"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--holdout", "many"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--holdout", "nan"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--holdout", "0.00001"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--cron", "whenever"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--calendar", "sometimes"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--calendar", "每天 10:00", "--cron", "0 10 * * *"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--on", "whenever"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--wait", "soon"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--step", "b"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--step", "3d [perhaps]: b"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--goal", "fame"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--channel", "other"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--way", "pigeon"],
        ["create", "--name", "n", "--to", "all", "--text", "a", "--conversion-days", "91"],
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_made(retarget: Retarget, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        retarget(*words)
    assert "\n" not in str(caught.value)
    assert retarget("list", "--json") == []


@pytest.mark.parametrize("content", ["", "{", "\ufeff[]", "[" * 100_000, '[{"type":"text","text":"\\ud800"}]', "NaN"])
def test_a_file_that_holds_no_messages_is_refused(retarget: Retarget, tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput):
        retarget("create", "--name", "n", "--to", "all", "--messages", str(path))


@pytest.mark.parametrize("word", ["show", "pause", "resume", "cancel"])
def test_an_unknown_campaign_is_not_found(retarget: Retarget, word: str) -> None:
    with pytest.raises(NotFound, match="12345"):
        retarget(word, "12345")


def test_an_id_beyond_the_databases_numbers_is_a_wrong_command_line(retarget: Retarget) -> None:
    for number in (str(2**63), "0", "-1", "x"):
        assert CliRunner().invoke(app, ["show", "--", number]).exit_code == 2


def test_a_draft_cant_be_paused_and_the_sentence_says_why(retarget: Retarget) -> None:
    create(retarget)
    with pytest.raises(ExpectedError, match="campaign 1 is draft"):
        retarget("pause", "1")


def test_a_test_message_reaches_one_person_with_its_fields_filled_in(
    retarget: Retarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatorThread(Simulator()) as line:
        line.platform.add_friends([Friend("U" + "a" * 32, "愛咪")])
        monkeypatch.setenv("LINE_API_BASE", line.url)
        monkeypatch.setenv("LINE_CHANNEL_ACCESS_TOKEN", ChannelOptions().access_token)
        create(retarget)
        assert "request id" in retarget("send-test", "1", "--to", "U" + "a" * 32, "--name", "小明")
        (entry,) = line.platform.channels[0].ledger.entries
        assert entry.messages[0]["text"] == "您好 小明"
        with pytest.raises(ExpectedError, match="400"):
            retarget("send-test", "1", "--to", "U" + "b" * 32)


def test_links_are_given_topics_and_a_topic_for_no_link_is_refused(retarget: Retarget, database: Engine) -> None:
    text = ("--text", "看看 https://shop.example/c?a=1 與 https://shop.example/d")
    given = ("create", "--name", "n", "--to", "all", *text)
    retarget(*given, "--topic", "https://shop.example/c?a=1=維他命 C", "--json")
    with reading(database) as session:
        topics = {link.url: link.topic for link in session.scalars(select(TrackedLink))}
    assert topics == {"https://shop.example/c?a=1": "維他命 C", "https://shop.example/d": None}
    with pytest.raises(BadInput, match=r"no link 'https.*/x' to give a topic"):
        retarget(*given, "--topic", "https://shop.example/x=維他命 C")
    with pytest.raises(BadInput, match="must be a link and its topic"):
        retarget(*given, "--topic", "維他命 C")
    with pytest.raises(BadInput, match="can't be a tag's name"):
        retarget(*given, "--topic", "https://shop.example/d=a;b")


def test_ways_say_what_is_possible_how_long_it_takes_and_what_it_costs(retarget: Retarget, database: Engine) -> None:
    create(retarget)
    with transaction(database) as session:
        channel = session.get_one(Channel, 1)
        people = [make_customer(session) for _ in range(3)]
        for person in people:
            make_account(session, channel, person)
        session.get_one(Customer, people[2].id).marketing_refused_at = people[2].created_at
    told = retarget("ways", "1", "--json")
    assert (told["people"], told["way"], told["auto"]) == (2, "push", "push")
    ways = {way["name"]: way for way in told["ways"]}
    assert (ways["push"]["is_possible"], ways["push"]["messages"]) == (True, 2)
    assert ways["multicast"]["why_not"] == ["one body goes to everyone, and the content has fields"]
    table = retarget("ways", "1", "--people", "1000000")
    assert "8 min" in table  # 500 seconds at LINE's 2,000 pushes a second
    assert "1,000,000" in table
    with pytest.raises(NotFound):
        retarget("ways", "2")


def test_auto_chooses_the_way_and_one_that_can_not_be_is_refused(retarget: Retarget) -> None:
    assert create(retarget, "--way", "auto") == {"id": 1, "state": "draft"}
    assert retarget("list", "--json")[0]["way"] == "push"
    with pytest.raises(BadInput, match="field"):
        create(retarget, "--way", "narrowcast")
