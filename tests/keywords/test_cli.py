"""`retarget keywords` as a person or a program meets it."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from service.cli import app
from store.engine import reading, transaction
from store.errors import BadInput
from store.models import KeywordSuggestion
from tests.keywords.test_report import HEADER, store_results, write

runner = CliRunner()


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'unused.db'}")
    monkeypatch.setenv("COLUMNS", "200")


def test_each_line_in_is_one_line_out_with_every_token_in_order() -> None:
    lines = "全館７折起！ 滿千送百🎉\n\n  \nsale {{ name }}\r\n最後一行"
    result = runner.invoke(app, ["keywords", "tokenize"], input=lines.encode())
    assert result.exit_code == 0
    assert result.stdout == "全館/７折/起/！/滿千送百/🎉\n\n\nsale/{{ name }}\n最後/一行\n"


def test_a_file_is_cut_like_standard_input_and_bad_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes("\ufeff買一送一 NT$100\n".encode())
    assert runner.invoke(app, ["keywords", "tokenize", str(tmp_path / "in.txt")]).stdout == "買一送一/NT$100\n"
    (tmp_path / "bad.txt").write_bytes(b"ok\n\xa4\xa4\n")
    for name, message in (("bad.txt", "bad.txt, line 2: not UTF-8 text"), ("none.txt", "can't be read")):
        with pytest.raises(BadInput, match=message):
            runner.invoke(app, ["keywords", "tokenize", str(tmp_path / name)], catch_exceptions=False)


def test_rank_writes_its_file_and_touches_no_database(tmp_path: Path) -> None:
    rows = [f"{i},{i},sale{' now' * (i % 2)},s,2026-11-02 10:00,1000,{10 + i % 2 * 20}" for i in range(30)]
    write(tmp_path / "in.csv", *rows, "x,x,sale,s,2026-11-02 10:00,1000,")
    result = runner.invoke(app, ["keywords", "rank", "--messages", "in.csv", "--out", "out.csv"])
    assert result.exit_code == 0
    assert "1 rows left out" in result.stderr
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith('"term","effect","low","high"')
    assert not (tmp_path / "unused.db").exists()


def test_the_report_and_suggestions_are_there_for_programs_and_people(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with transaction(engine) as session:
        store_results(session, 40)
    report = json.loads(runner.invoke(app, ["keywords", "report", "--theme", "冬季", "--json"]).stdout)
    assert report["messages"] == 40
    assert {"term", "effect", "low", "high", "messages", "recipients", "clicks", "experiments"} <= set(
        report["terms"][0]
    )
    assert "買一送一" in runner.invoke(app, ["keywords", "report"]).stdout
    found = json.loads(
        runner.invoke(app, ["keywords", "suggest", "冬季促銷", "--json", "--explore", "--seed", "1"]).stdout
    )
    assert found["mode"] == "explore"
    assert len(found["terms"]) == 10
    assert "買一送一" in runner.invoke(app, ["keywords", "suggest", "冬季促銷", "--count", "30"]).stdout
    with reading(engine) as session:
        rows = session.scalars(select(KeywordSuggestion)).all()
    assert {(row.mode, row.made_by) for row in rows} == {("explore", "command line"), ("safe", "command line")}


def test_a_text_is_scored_for_programs_and_people(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with transaction(engine) as session:
        store_results(session, 40)
    asked = ["keywords", "score", "買一送一 羽絨外套", "--theme", "冬季", "--at", "2026-12-01T12:00"]
    good, poor = (
        json.loads(runner.invoke(app, [*asked, "--segment", segment, "--json"]).stdout)
        for segment in ("important_value", "ordinary_win_back")
    )
    assert good["prediction"]["rate"] > poor["prediction"]["rate"]
    assert good["prediction"]["low"] < good["prediction"]["rate"] < good["prediction"]["high"]
    assert {part["term"]: part["verdict"] for part in good["parts"]} == {"買一送一": "carries", "羽絨外套": "unknown"}
    shown = runner.invoke(app, asked).stdout
    assert "加分 carries" in shown
    assert "預測點擊率" in shown
    with pytest.raises(BadInput, match="is not a time"):
        runner.invoke(app, ["keywords", "score", "x", "--at", "tonight"], catch_exceptions=False)


def test_with_nothing_sent_a_score_says_so() -> None:
    assert "還沒有發送結果" in runner.invoke(app, ["keywords", "score", "限時下殺"]).stdout


def test_with_nothing_sent_the_report_says_so_and_suggestions_still_come() -> None:
    with pytest.raises(BadInput, match="nothing can be learned yet"):
        runner.invoke(app, ["keywords", "report"], catch_exceptions=False)
    assert "發熱衣" in runner.invoke(app, ["keywords", "suggest", "冬季"]).stdout
    assert "沒有找到" in runner.invoke(app, ["keywords", "suggest", "量子力學"]).stdout


def test_rank_names_the_missing_column() -> None:
    write(Path("in.csv"), "1,1", header=HEADER.replace(",clicks", ""))
    with pytest.raises(BadInput, match=r"in\.csv"):
        runner.invoke(app, ["keywords", "rank", "--messages", "in.csv", "--out", "o.csv"], catch_exceptions=False)


@pytest.mark.parametrize("command", ["report", "suggest", "score", "rank", "tokenize"])
def test_every_command_has_help(command: str) -> None:
    assert runner.invoke(app, ["keywords", command, "--help"]).exit_code == 0
