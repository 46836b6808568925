"""`retarget keywords` as a person or a program meets it."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from campaigns.results.lately import SentLately
from keywords.copy.recent import sent_texts, worn_terms
from keywords.copy.settings import CopySettings, read_settings
from keywords.text.tokenizer import shared_tokenizer
from service.cli import app
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, KeywordSuggestion, MessageResult
from tests.keywords.test_report import HEADER, MONDAY, store_results, write

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
    wide = json.loads(runner.invoke(app, ["keywords", "suggest", "冬季促銷", "--json", "--count", "30"]).stdout)
    behind = {past["text"] for row in wide["terms"] for past in row["behind"]}
    with reading(engine) as session:
        sent = set(session.scalars(select(table_of(MessageResult).c.message_text)))
    assert behind
    assert behind <= sent  # in their own words
    with reading(engine) as session:
        rows = session.scalars(select(KeywordSuggestion).order_by(table_of(KeywordSuggestion).c.id)).all()
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


def test_lines_are_written_with_their_rate_and_logged(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with transaction(engine) as session:
        store_results(session, 40)
    asked = ["keywords", "copy", "冬季促銷", "--offer", "買一送一", "--segment", "important_value", "--explore"]
    found = json.loads(runner.invoke(app, [*asked, "--at", "2026-12-01T12:00", "--json"]).stdout)
    assert len(found["lines"]) == 5
    assert all(0 < line["prediction"]["low"] < line["prediction"]["high"] < 1 for line in found["lines"])
    assert all("買一送一" in line["text"] for line in found["lines"])
    with reading(engine) as session:
        rows = session.scalars(select(KeywordSuggestion).order_by(table_of(KeywordSuggestion).c.id)).all()
    assert [row.words for row in rows] == [line["text"] for line in found["lines"]]
    assert [row.propensity for row in rows] == [line["propensity"] for line in found["lines"]]
    assert {(row.kind, row.mode, row.theme) for row in rows} == {("line", "explore", "冬季促銷")}
    assert "文案 Copy" in runner.invoke(app, [*asked, "--form", "headline"]).stdout
    with pytest.raises(BadInput, match="there is no form"):
        runner.invoke(app, [*asked, "--form", "poem"], catch_exceptions=False)


def test_what_one_segment_got_often_is_worn_for_it_alone() -> None:
    good, poor = frozenset({"important_value"}), frozenset({"ordinary_win_back"})
    texts = [
        ("買一送一 免運", good),
        ("免運 宅配", good),
        ("買一送一", poor),
        ("免運", good | poor),
        ("買一送一", good),
    ]
    sent = [SentLately(text, MONDAY - timedelta(days=day), names) for day, (text, names) in enumerate(texts)]
    every = sent_texts(sent, shared_tokenizer())
    assert [one.sent_at for one in every] == [one.sent_at for one in sent]
    # 買一送一 went with three messages, but not three times to the same people
    assert worn_terms(["買一送一", "免運", "毛衣"], every, 3) == {"免運": 3}
    assert len(sent_texts(sent, shared_tokenizer(), segment="ordinary_win_back")) == 2
    assert sent_texts(sent, shared_tokenizer(), segment="nobody") == []


def test_the_brands_rules_for_copy_are_chosen_audited_and_taken_back(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    runner.invoke(app, ["keywords", "settings", "--set", "blocked=神奇，特價王", "--set", "line_units=40"])
    found = json.loads(runner.invoke(app, ["keywords", "settings", "--json"]).stdout)
    assert found["settings"]["blocked"] == ["神奇", "特價王"]
    assert found["chosen"] == ["blocked", "line_units"]
    assert "神奇" in runner.invoke(app, ["keywords", "settings"]).stdout
    with pytest.raises(BadInput, match="神奇"):
        runner.invoke(app, ["keywords", "copy", "神奇", "--no-writer"], catch_exceptions=False)
    runner.invoke(app, ["keywords", "settings", "--set", "blocked="])
    for words, problem in (("alt_units=2000", "alt_units"), ("nothing=1", "no setting 'nothing'"), ("x", "NAME=VALUE")):
        with pytest.raises(BadInput, match=problem):
            runner.invoke(app, ["keywords", "settings", "--set", words], catch_exceptions=False)
    with reading(engine) as session:
        assert read_settings(session) == CopySettings(line_units=40)
        entries = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id)).all()
    assert [entry.detail["changed"] for entry in entries] == [["blocked", "line_units"], ["blocked"]]


@pytest.mark.parametrize("command", ["report", "suggest", "score", "copy", "settings", "rank", "tokenize"])
def test_every_command_has_help(command: str) -> None:
    assert runner.invoke(app, ["keywords", command, "--help"]).exit_code == 0
