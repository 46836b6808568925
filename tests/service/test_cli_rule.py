"""`retarget rule`, from a file to a count and a why."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from store.engine import open_engine, transaction
from tests.factories import make_customer, make_order

BOUGHT = {"type": "orders", "measure": "sum", "at_least": "100", "window": {"from": "2026-01-01"}}


@pytest.fixture
def call(
    new_database_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call with a command line: exit code, output and complaints. The database has three customers, one a buyer."""
    url = new_database_url("sqlite")
    monkeypatch.setenv("DATABASE_URL", url)
    engine = open_engine(url)
    with transaction(engine) as session:
        buyer = make_customer(session, member_id="A1", birthday=date(1990, 1, 1))
        make_customer(session, member_id="A2")
        make_customer(session, member_id="A3")
        make_order(session, buyer, ordered_at=datetime(2026, 2, 1, tzinfo=UTC))
    engine.dispose()

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["retarget", "rule", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def written(folder: Path, rule: Any) -> str:
    path = folder / "rule.json"
    path.write_text(json.dumps(rule), encoding="utf-8")
    return str(path)


def test_a_rule_is_checked_saved_counted_explained_and_deleted(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path, BOUGHT)
    assert call("check", file)[:2] == (
        0,
        "2026-01-01 起 購買的金額 至少 100 元\nspent on anything: at least 100 in money from 2026-01-01 on\n",
    )
    assert call("save", "買過", file)[0] == 0
    assert [rule["name"] for rule in json.loads(call("list", "--json")[1])] == ["買過"]
    assert json.loads(call("show", "買過", "--json")[1])["rule"] == {**BOUGHT, "at_least": 100}
    counted = json.loads(call("count", "買過", "--json")[1])
    assert (counted["matching"], counted["customers"], counted["source"]) == (1, 3, "the database")
    assert json.loads(call("count", file, "--as-of", "2026-02-01", "--json")[1])["matching"] == 0  # 08:00 in Taipei
    code, out, _ = call("why", "買過", "A1")
    assert code == 0
    assert "✓ 2026-01-01 起 購買的金額 至少 100 元" in out
    told = json.loads(call("why", file, "A2", "--json")[1])
    assert (told["holds"], told["found"]) == (False, "0")
    assert call("delete", "買過")[:2] == (0, "deleted the rule 買過\n")


def test_the_schema_is_printed(call: Callable[..., Any]) -> None:
    assert "$defs" in json.loads(call("schema")[1])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("count", "gone"), "there is no saved rule 'gone'"),
        (("check", "gone.json"), "the rule file gone.json can't be read"),
        (("why", "FILE", "A9"), "there is no customer 'A9'"),
        (("why", "FILE", "x", "--id"), "those are numbers"),
        (("delete", "gone"), "there is no saved rule 'gone'"),
        (("save", " ", "FILE"), "the name of a rule has 1 to 100 characters"),
    ],
)
def test_a_failure_is_one_sentence(
    call: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    file = written(tmp_path, BOUGHT)
    code, out, complaints = call(*(file if word == "FILE" else word for word in words))
    assert (code, out) == (1, "")
    assert complaint in complaints
    assert complaints.count("\n") == 1


def test_a_mistake_in_a_rule_is_told_with_its_place(call: Callable[..., Any], tmp_path: Path) -> None:
    file = written(tmp_path, {"type": "all", "of": [BOUGHT, {"type": "rule", "name": "gone"}]})
    assert call("save", "x", file) == (1, "", "retarget: $.of[1].name: there is no saved rule 'gone'\n")
