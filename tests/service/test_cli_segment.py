"""`retarget segment`: what its tables show, and what a program gets, on both databases."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
from rich.console import Console
from sqlalchemy import Engine
from typer.testing import CliRunner

from segmentation.history import SegmentSize
from segmentation.models import RF11
from service.cli.days import day_option
from service.cli.segment import _table, app
from store.engine import transaction
from store.errors import BadInput, NotFound
from tests.factories import make_customer, make_order
from tests.service.conftest import Retarget

TAIPEI = ZoneInfo("Asia/Taipei")


@pytest.fixture
def retarget(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(app)


def buy(engine: Engine, days_ago: int, customer_id: int | None = None) -> int:
    with transaction(engine) as session:
        customer = make_customer(session, **({"id": customer_id} if customer_id else {}))
        make_order(session, customer, ordered_at=datetime.now(UTC) - timedelta(days=days_ago), total=Decimal(10))
        return customer.id or 0


def test_advice_is_shown_whole_in_a_narrow_terminal() -> None:
    shown = io.StringIO()
    sizes = [SegmentSize(segment, 23_570, Decimal("1234567.89")) for segment in RF11]
    Console(file=shown, width=80).print(_table("rf11", sizes))
    assert "…" not in shown.getvalue()


def test_what_was_bought_today_counts_and_is_one_day_away(engine: Engine, retarget: Retarget) -> None:
    buy(engine, 0)
    with pytest.raises(BadInput, match="no segments have been computed"):
        retarget("show")
    result = retarget("run", "--json")
    assert (result["customer_count"], result["change_count"]) == (1, 1)
    shown = retarget("show", "--model", "nesl", "--json")
    assert {row["name"]: row["customers"] for row in shown["models"]["nesl"]}["N"] == 1
    assert shown["settings"]["scores"]["r"]["cut_points"] == [1, 1, 1, 1]
    assert (shown["waiting"], shown["is_stuck"]) == (0, False)
    assert retarget("run", "--json")["unchanged"] is True


def test_nothing_is_stored_for_a_day_that_lies_ahead(engine: Engine, retarget: Retarget) -> None:
    buy(engine, 0)
    ahead = datetime.now(ZoneInfo("Asia/Taipei")).date() + timedelta(days=2)
    with pytest.raises(BadInput, match=f"--as-of {ahead} lies ahead"):
        retarget("run", "--as-of", str(ahead))
    assert retarget("run", "--as-of", str(ahead - timedelta(days=1)), "--json")["customer_count"] == 1


def test_a_run_for_a_day_of_the_past_says_that_tags_were_left(engine: Engine, retarget: Retarget) -> None:
    buy(engine, 40)
    assert "tags" not in retarget("run")
    before = str(datetime.now(UTC).date() - timedelta(days=20))
    assert "tags were left as they are" in retarget("run", "--as-of", before)
    assert retarget("run", "--as-of", before, "--json")["is_past"] is True
    assert retarget("run", "--json")["is_past"] is False


def test_moves_are_a_matrix_a_feed_and_a_customers_history(engine: Engine, retarget: Retarget) -> None:
    who = buy(engine, 40)
    today = datetime.now(UTC).date()
    retarget("run", "--as-of", str(today - timedelta(days=20)))
    retarget("run")
    span = ("--from", str(today - timedelta(days=15)), "--to", str(today + timedelta(days=1)))
    matrix = retarget("moves", "--model", "nesl", *span, "--json")
    assert matrix["transitions"] == [{"from": "N", "to": "S1", "customers": 1}]
    assert "瞌睡客" in retarget("moves", "--model", "nesl", *span)
    feed = retarget("movements", "--model", "nesl", "--to", "S1", "--json")
    assert [(move["customer_id"], move["before"], move["after"]) for move in feed] == [(who, "N", "S1")]
    assert retarget("movements", "--model", "nesl", "--after-id", str(feed[-1]["id"]), "--json") == []
    assert [move["after"] for move in retarget("history", str(who), "--json")["nesl"]] == ["N", "S1"]
    told, on = retarget("history", str(who)), [today - timedelta(days=21), datetime.now(TAIPEI).date()]
    assert f"nesl: {on[0]} 新客 N → {on[1]} 瞌睡客 S1\n" in told
    last = ("moves", "--model", "nesl", "--from", str(on[1] - timedelta(days=1)), "--to", str(on[1]), "--json")
    assert retarget(*last)["transitions"] == matrix["transitions"], "the day that `history` names"
    for words, said in (
        (("moves", "--model", "nothing"), "no model"),
        (("moves", "--model", "nesl", "--from", "2026-02-30"), "--from"),
        (("moves", "--model", "nesl", "--from", "2026-02-03", "--to", "2026-02-01"), "must not be after"),
        (("movements", "--model", "nesl", "--to", "champions"), "no segment of nesl"),
        (("history", "999"), "no customer 999"),
    ):
        with pytest.raises((BadInput, NotFound), match=said):
            retarget(*words)


def test_settings_are_chosen_shown_and_taken_up_by_the_next_run(engine: Engine, retarget: Retarget) -> None:
    buy(engine, 20)
    assert "cycle = 30" in retarget("settings")
    changed = retarget("settings", "cycle=10", "f_orders=1,2,3,4", "--json")
    assert (changed["settings"]["cycle"], changed["chosen"]) == (10, ["cycle", "f_orders"])
    settings = retarget("run", "--json")["settings"]
    assert (settings["cycle_days"], settings["scores"]["f"]["cut_points"]) == (10, [1, 2, 3, 4])
    assert retarget("run", "--cycle", "60", "--json")["settings"]["cycle_days"] == 60
    assert retarget("settings", "cycle=", "--json")["chosen"] == ["f_orders"]
    with pytest.raises(BadInput, match="NAME=VALUE"):
        retarget("settings", "cycle")


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "2200-01-01"])
def test_a_day_beyond_the_centuries_that_are_reckoned_with_is_refused(day: str) -> None:
    with pytest.raises(BadInput, match=f"--at {day} is outside 1900-2199"):
        day_option(day, "--at")
    assert [day_option(one).year for one in ("1900-01-01", "2199-12-31")] == [1900, 2199]


@pytest.mark.parametrize("days", ["0", "36501", "9999999"])
def test_a_look_back_beyond_a_century_is_refused(tmp_path: Path, days: str) -> None:
    words = ["files", "--orders", "o.csv", "--as-of", "2026-11-30", "--out", str(tmp_path / "out.csv")]
    result = CliRunner().invoke(app, [*words, "--look-back", days])
    assert (result.exit_code, "--look-back" in result.output) == (2, True)
