"""`retarget import`: exit codes, and a report for people and for programs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.imports import app
from store.errors import BadInput

HEADER = "order_id,customer_id,ordered_at,amount\n"


@pytest.fixture(autouse=True)
def _own_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_a_file_with_some_bad_rows_is_a_success_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(f"{HEADER}A,1,2026-01-05,1\nB,1,2026-01-05,x\n")
    result = run("orders", "o.csv", "--refused", "bad.csv")
    assert result.exit_code == 0
    assert "1 orders added" in result.output
    assert "refused 1: amount is not a plain number (first in row 3)" in result.output
    assert (tmp_path / "bad.csv").read_text().splitlines()[1].startswith("amount is not a plain number,3,B,1")
    again = json.loads(run("orders", "o.csv", "--json").output.splitlines()[-1])
    assert (again["read"], again["added"], again["unchanged"], again["refused"]) == (2, 0, 1, 1)
    assert again["first_refused"] == [{"row": 3, "reason": "amount is not a plain number"}]


def test_a_file_of_bad_rows_only_is_a_failure_that_still_reports(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(f"{HEADER}B,1,2026-01-05,x\n")
    result = run("orders", "o.csv", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output.splitlines()[-1])["refused"] == 1


def test_a_file_without_rows_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("sku,name\n")
    assert run("products", "p.csv").exit_code == 0


def test_line_accounts_go_to_the_only_channel_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"customer_id,line_user_id\n1,U{'a' * 32}\n")
    assert run("customers", "c.csv").exit_code == 0
    assert "1 unchanged" in run("customers", "c.csv", "--channel", "main").output
    wrong = run("customers", "c.csv", "--channel", "nowhere").exception
    assert isinstance(wrong, BadInput)
    assert "there is no channel 'nowhere'" in str(wrong)
