"""`retarget experiment` as a marketer or a program meets it, on both databases."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine, update

from campaigns.experiments.sample_size import Design, people_needed
from campaigns.money.gain import EVERYBODY, Cut, Gains
from campaigns.settings import change_settings
from service.cli.campaign import app as campaign_app
from service.cli.experiment import app
from store.clock import system_clock
from store.engine import open_engine, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import AuditEntry, Campaign, CampaignRun, Channel, Delivery
from tests.campaigns.experiments.past import add_past
from tests.factories import LONG_AGO, make_account, make_customer, make_run
from tests.service.conftest import Retarget


@pytest.fixture
def experiment(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(app)


@pytest.fixture
def campaign(command_line: Callable[[typer.Typer], Retarget], tmp_path: Path) -> Retarget:
    """`retarget campaign`, with a draft of two variants, campaign 1, for everybody."""
    retarget = command_line(campaign_app)
    files = []
    for name in "ab":
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([{"type": "text", "text": f"{name} https://a.example"}]), encoding="utf-8")
        files += ["--messages", str(path)]
    retarget("create", "--name", "週年慶", "--to", "all", *files, "--holdout", "0", "--json")
    return retarget


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def people(database: Engine, count: int) -> list[int]:
    with transaction(database) as session:
        made = [make_customer(session) for _ in range(count)]
        for one in made:
            make_account(session, session.get_one(Channel, 1), one)
        return [one.id or 0 for one in made]


def test_size_of_plain_numbers(experiment: Retarget) -> None:
    given = ("size", "--baseline", "0.03", "--difference", "0.01")
    needed = people_needed(Design(0.03), 0.01)
    assert experiment(*given, "--per-day", "1000", "--json") == {"people": needed, "days": -(-needed // 1_000)}
    assert f"{needed:,} people in all, {-(-needed // 1_000):,} days" in experiment(*given, "--per-day", "1000")
    told = experiment("size", "--baseline", "0.03", "--people", "8000")
    assert "With 8,000 people" in told
    assert "可看出" in told


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--difference", "0.01"], "--baseline"),
        (["--baseline", "0.03"], "either --difference or --people"),
        (["--baseline", "0.03", "--people", "9", "--rule", "luck"], "anytime or fixed"),
        (["--baseline", "0.03", "--people", "9", "--outcome", "luck"], "clicks or orders"),
        (["1", "--people", "9"], "its audience"),
    ],
)
def test_what_size_can_not_tell_is_one_sentence(experiment: Retarget, words: list[str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        experiment("size", *words)


def test_size_of_a_campaign_reads_its_audience_and_the_past(
    campaign: Retarget, experiment: Retarget, database: Engine
) -> None:
    assert campaign("list", "--json")[0]["state"] == "draft"
    people(database, 30)
    with pytest.raises(BadInput, match="too little history: 0 runs"):
        experiment("size", "1")
    with transaction(database) as session:
        add_past(session, session.get_one(Channel, 1), 4, now=system_clock())
    told = experiment("size", "1", "--difference", "0.02", "--json")
    assert (told["people"], told["variants"], told["outcome"], told["baseline"]["runs"]) == (30, 2, "clicks", 4)
    assert told["baseline"]["low"] < 0.05 < told["baseline"]["high"]
    assert told["needed"] == people_needed(Design(told["baseline"]["rate"]), 0.02)
    assert told["is_enough"] is False
    table = experiment("size", "1", "--difference", "0.02")
    assert "4 runs" in table
    assert "not enough" in table
    assert "4 小時 hours" in table
    with pytest.raises(NotFound):
        experiment("size", "99", "--baseline", "0.1")


def run_of(database: Engine, who: list[int], **fields: Any) -> int:
    """A run of campaign 1 that is over: everybody got it."""
    with transaction(database) as session:
        made = make_run(session, session.get_one(Campaign, 1), state="sent", finished_at=LONG_AGO, **fields)
        variant_id = made.variants[0]["variant_id"]
        sent: dict[str, Any] = {"run_id": made.id, "state": "accepted", "sent_at": LONG_AGO, "variant_id": variant_id}
        session.add_all(Delivery(customer_id=one, **sent) for one in who)
        return made.id or 0


def test_show_tells_how_the_variants_stand(campaign: Retarget, experiment: Retarget, database: Engine) -> None:
    with pytest.raises(NotFound, match="no run yet"):
        experiment("show", "1")
    run_id = run_of(database, people(database, 3))
    told = experiment("show", "1", "--json")
    assert (told["run_id"], told["outcome"], told["winner"]) == (run_id, "clicks", None)
    assert [one["name"] for one in told["standings"]] == ["A", "B"]
    assert "winner: open" in experiment("show", "1")


def test_arms_are_compared_there_and_in_the_results(campaign: Retarget, experiment: Retarget, database: Engine) -> None:
    run_id = run_of(database, people(database, 40))
    assert campaign("results", "1", "--json")["arms"] is None
    with pytest.raises(NotFound, match="learned targeting"):
        experiment("arms", "1")
    with transaction(database) as session:
        arms = Cut(Gains({"none": 1.0}, {"none": 0.0}, False), run_id, EVERYBODY).to_json()
        session.execute(update(table_of(CampaignRun)).values(arms=arms))
    told = experiment("arms", "1", "--json")
    assert told["rule"]["sent"]["people"] + told["gain"]["sent"]["people"] == 40
    assert campaign("results", "1", "--json")["arms"] == told
    for table in (experiment("arms", "1"), campaign("results", "1")):
        assert "gain less rule" in table
        assert "too few to tell" in table


def test_holdout_tells_what_all_campaigns_bring(campaign: Retarget, experiment: Retarget, database: Engine) -> None:
    assert "nobody is held out" in experiment("holdout")
    assert experiment("holdout", "--json") == []
    people(database, 40)
    with transaction(database) as session:
        change_settings(session, {"global_holdout_percent": 50}, actor="test", now=system_clock())
        session.flush()
        session.execute(update(table_of(AuditEntry)).values(at=system_clock() - timedelta(days=400)))
    found = experiment("holdout", "--json")
    assert [one["is_over"] for one in found] == [False, True, True, True]
    assert found[0]["sent_to"]["people"] + found[0]["held_out"]["people"] == 40
    assert found[0]["since"] == found[1]["until"]
    table = experiment("holdout")
    assert "進行中" in table
    assert "too few to tell" in table
