"""`retarget quota`, `campaign forecast`, `campaign preview` and `campaign list`: what is told before sending."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine, select

from campaigns.money.line_plan import PLANS
from service.cli import quota
from service.cli.campaign import app
from simulator.channels import ChannelOptions
from simulator.server import Simulator, SimulatorThread
from store.clock import system_clock
from store.engine import open_engine, reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, Channel, Customer
from tests.campaigns.experiments.past import add_past
from tests.factories import make_account, make_customer, make_order
from tests.service.conftest import Retarget

BOUGHT = 'rule:{"type": "orders", "measure": "count", "at_least": 1}'


@pytest.fixture
def retarget(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(app)


@pytest.fixture
def ask_quota(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    alone = typer.Typer()
    alone.callback()(lambda: None)
    quota.register(alone)
    return command_line(alone)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def create(retarget: Retarget, *words: str) -> Any:
    return retarget(
        "create", "--name", "週年慶", "--to", BOUGHT, "--text", "週年慶", "--holdout", "0", *words, "--json"
    )


def buyers(database: Engine, count: int) -> None:
    """So many who have bought; the first has refused."""
    with transaction(database) as session:
        for place in range(count):
            who = make_customer(session, name=f"客{place}")
            make_account(session, session.get_one(Channel, 1), who)
            make_order(session, who)
            if place == 0:
                session.get_one(Customer, who.id).marketing_refused_at = who.created_at


def test_quota_tells_lines_figure_and_ours(ask_quota: Retarget, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ChannelOptions(quota=500)
    with SimulatorThread(Simulator([options])) as line:
        monkeypatch.setenv("LINE_API_BASE", line.url)
        monkeypatch.setenv("LINE_CHANNEL_ACCESS_TOKEN", options.access_token)
        told = ask_quota("quota", "--json")
        (channel,) = told["channels"]
        assert (channel["limit"], channel["line_used"], channel["accepted"], channel["left"]) == (500, 0, 0, 500)
        assert channel["problem"] is None
        table = ask_quota("quota", "--plan", "high")
        assert "高用量" in table
        assert "unconfirmed" in table
        assert "500" in table
    told = ask_quota("quota", "--json")
    assert told["plan"]["plan"] == "high"
    assert told["channels"][0]["problem"] is not None  # LINE is not reached now; its last word stands
    assert told["channels"][0]["limit"] == 500


def test_the_plan_is_read_from_a_file_and_what_is_wrong_with_it_is_one_sentence(
    ask_quota: Retarget, tmp_path: Path, database: Engine
) -> None:
    path = tmp_path / "plans.json"
    plans = {name: offer.model_dump(mode="json") for name, offer in PLANS.items()}
    plans["high"]["monthly_fee"] = "1500"
    path.write_text(json.dumps({"plan": "high", "plans": plans}), encoding="utf-8")
    told = ask_quota("quota", "--prices", str(path), "--json")
    assert told["plan"]["plans"]["high"]["monthly_fee"] == "1500"
    with reading(database) as session:
        assert list(session.scalars(select(table_of(AuditEntry).c.action))) == ["change LINE plan"]
    path.write_text("{", encoding="utf-8")
    for words in (["--prices", str(path)], ["--prices", str(tmp_path / "no.json")], ["--plan", "huge"]):
        with pytest.raises(BadInput):
            ask_quota("quota", *words)


def test_forecast_tells_messages_cost_and_what_is_to_be_expected(retarget: Retarget, database: Engine) -> None:
    create(retarget)
    buyers(database, 6)
    told = retarget("forecast", "1", "--json")
    assert (told["audience"], told["messages"], told["skipped"], told["held_out"]) == (6, 5, {"refused": 1}, 0)
    assert (told["expected"]["clicks"], told["cost"]["money"]) == (None, "0")
    table = retarget("forecast", "1")
    assert "拒收行銷訊息 refused" in table
    assert "too little history" in table
    with transaction(database) as session:
        add_past(session, session.get_one(Channel, 1), 4, now=system_clock())
    told = retarget("forecast", "1", "--json")
    assert told["expected"]["clicks"]["low"] <= told["expected"]["clicks"]["middle"]
    assert told["expected"]["runs"] == 4
    assert "clicks" in retarget("forecast", "1")


def test_preview_counts_a_rule_and_shows_who_would_be_skipped(retarget: Retarget, database: Engine) -> None:
    create(retarget)
    buyers(database, 10)
    told = retarget("preview", "--to", BOUGHT, "--json")
    assert (told["people"], len(told["first"]), told["counted_at"]) == (10, 10, None)
    assert [one["reason"] for one in told["first"]] == [*[None] * 9, "refused"]
    table = retarget("preview", "--to", BOUGHT)
    assert "10 people, by the database" in table
    assert "客1" in table
    assert retarget("preview", "--to", "all", "--without", BOUGHT, "--json")["people"] == 0
    with pytest.raises(BadInput):
        retarget("preview", "--to", "rule:no")


def test_ways_of_a_rule_count_who_passes_the_gate(retarget: Retarget, database: Engine) -> None:
    create(retarget, "--way", "auto")
    buyers(database, 7)
    told = retarget("ways", "1", "--json")
    assert (told["people"], told["way"]) == (6, "multicast")
    assert "6 people" in retarget("ways", "1")


def test_list_shows_the_newest_first_with_whom_they_are_for(retarget: Retarget) -> None:
    create(retarget)
    retarget("create", "--name", "生日", "--to", "all", "--text", "生日快樂", "--on", "生日", "--priority", "2")
    told = retarget("list", "--json")
    assert [(one["name"], one["state"], one["to"]) for one in told] == [
        ("生日", "scheduled", "all"),
        ("週年慶", "draft", BOUGHT),
    ]
    assert told[0]["when"] == "生日當天 10:00"
    table = retarget("list")
    assert table.index("生日") < table.index("週年慶")
