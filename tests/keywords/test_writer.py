"""The optional writer against a local server of its protocol: what is asked, and everything that can go wrong."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from keywords.copy.compose import Wanted, compose
from keywords.copy.facts import Given
from keywords.copy.judging import Ground
from keywords.copy.settings import CopySettings
from keywords.copy.writer import MAX_ANSWER_BYTES, Ranked, Writer, WriterFailed, lines_of_answer, ranked_terms
from keywords.effects.learning import Learning
from keywords.effects.prediction import Situation
from keywords.text.tokenizer import shared_tokenizer
from service.cli import app
from store.engine import open_engine, reading, table_of
from store.models import KeywordSuggestion

WANTED = Wanted(Situation(theme="冬季服飾"))


@dataclass
class Model:
    """A stand-in for the protocol: answers what it is told to, and keeps what it was asked."""

    url: str = ""
    content: str = '["發熱衣79折，立即逛逛", "發熱衣5折"]'
    status: int = 200
    raw: bytes | None = None
    hold: threading.Event | None = None  # answer only when set
    asked: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)

    def answer(self) -> bytes:
        return (
            self.raw
            if self.raw is not None
            else json.dumps({"choices": [{"message": {"content": self.content}}]}).encode()
        )


@pytest.fixture
def model() -> Iterator[Model]:
    state = Model()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.asked.append((self.path, json.loads(body), self.headers.get("Authorization")))
            if state.hold is not None:
                state.hold.wait(10)
            answer = state.answer()
            self.send_response(state.status)
            if state.status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            try:
                self.wfile.write(answer)
            except OSError:
                return  # the caller has gone: that is what a timeout is

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield state
    if state.hold is not None:
        state.hold.set()
    server.shutdown()
    server.server_close()
    thread.join()


def ground() -> Ground:
    return Ground(Given(shared_tokenizer(), "冬季服飾", ("79折",)), CopySettings())


def ask(model: Model, **fields: Any) -> list[str]:
    where = ground()
    best = compose(WANTED, None, where, np.random.default_rng(0))
    return Writer(model.url, "tiny", **{"timeout_seconds": 5.0, **fields}).write(
        WANTED, where, best, Ranked(["發熱衣"], ["毛衣"])
    )


def test_it_is_given_the_facts_and_the_ranked_terms_and_no_more(model: Model) -> None:
    assert ask(model, key="secret") == ["發熱衣79折，立即逛逛", "發熱衣5折"]
    path, body, authorization = model.asked[0]
    assert (path, authorization, body["model"]) == ("/v1/chat/completions", "Bearer secret", "tiny")
    told = json.loads(body["messages"][1]["content"])
    assert told["優惠（逐字照抄，全部都要）"] == ["79折"]
    assert told["點擊效果好的詞（由高到低）"] == ["發熱衣"]
    assert told["避免的詞"] == ["毛衣"]
    assert told["最多字元"] == 200
    ask(model)
    assert model.asked[1][2] is None  # no key, no header


def test_the_terms_it_is_told_work_have_worked_and_fit(history: Learning) -> None:
    ranked = ranked_terms(history, ground())
    effects = [float(history.fit.effect[history.terms.index(term)]) for term in ranked.strong]
    assert ranked.strong[0] == "發熱衣"
    assert effects == sorted(effects, reverse=True)
    assert min(effects) > 0
    assert not {"毛衣", "帳篷", "滿千送百"} & {*ranked.strong}  # costs clicks; another theme's; nobody gave it
    assert "毛衣" in ranked.weak
    assert ranked_terms(None, ground()) == Ranked([], [])


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_another_status_is_told_and_never_followed(model: Model, status: int) -> None:
    model.status = status
    with pytest.raises(WriterFailed, match=f"status {status}") as caught:
        ask(model)
    assert caught.value.may_try_again
    assert len(model.asked) == 1


def test_a_slow_model_is_not_waited_for(model: Model) -> None:
    model.hold = threading.Event()
    with pytest.raises(WriterFailed, match=r"within 0\.2 seconds"):
        ask(model, timeout_seconds=0.2)


def test_nobody_there_is_told(model: Model) -> None:
    model.url = "http://127.0.0.1:1/v1"
    with pytest.raises(WriterFailed, match="can't be reached"):
        ask(model)


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 3}}]}', b"\xff\xfe"],
)
def test_junk_is_no_completion(model: Model, raw: bytes) -> None:
    model.raw = raw
    with pytest.raises(WriterFailed, match="no chat completion"):
        ask(model)


def test_an_endless_answer_is_cut_off(model: Model) -> None:
    model.raw = b"x" * (MAX_ANSWER_BYTES + 10)
    with pytest.raises(WriterFailed, match="over"):
        ask(model)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('["一", "二"]', ["一", "二"]),
        ('好的：\n```json\n["【冬】\\n79折"]\n```', ["【冬】\n79折"]),
        ("1. 一\n- 二\n\n• 三", ["一", "二", "三"]),
        ("[不是 JSON] 的一行", ["[不是 JSON] 的一行"]),
    ],
)
def test_lines_are_read_from_json_or_as_they_stand(content: str, lines: list[str]) -> None:
    assert lines_of_answer(json.dumps({"choices": [{"message": {"content": content}}]}).encode()) == lines
    with pytest.raises(WriterFailed, match="wrote nothing"):
        lines_of_answer(json.dumps({"choices": [{"message": {"content": " \n"}}]}).encode())


def test_the_key_is_never_shown() -> None:
    assert "secret" not in repr(Writer("http://x/v1", "m", "secret"))


def test_the_command_shows_what_passed_what_was_dropped_and_why_it_failed(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'a.db'}")
    monkeypatch.setenv("COPY_MODEL_URL", model.url)
    monkeypatch.setenv("COPY_MODEL_NAME", "tiny")
    asked = ["keywords", "copy", "冬季服飾", "--offer", "79折", "--json"]
    found = json.loads(CliRunner().invoke(app, asked, catch_exceptions=False).stdout)
    assert [line["by"] for line in found["lines"]] == ["built_in"] * 5 + ["writer"]
    assert found["lines"][-1]["propensity"] is None
    by_model = found["lines"][-1]
    assert found["dropped"] == [{"text": "發熱衣5折", "reason": "nobody gave 5折"}]
    assert found["writer_problem"] is None
    model.status = 500
    found = json.loads(CliRunner().invoke(app, asked, catch_exceptions=False).stdout)
    assert [line["by"] for line in found["lines"]] == ["built_in"] * 5
    assert "status 500" in found["writer_problem"]
    before = len(model.asked)
    CliRunner().invoke(app, [*asked, "--no-writer"], catch_exceptions=False)
    assert len(model.asked) == before
    engine = open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with reading(engine) as session:  # all that was shown: the model's line too, whose chance nobody knows
        logged = session.scalars(select(KeywordSuggestion).order_by(table_of(KeywordSuggestion).c.id)).all()
    engine.dispose()
    assert [one.source for one in logged] == ["built_in"] * 5 + ["writer"] + ["built_in"] * 10
    assert {(one.source, one.propensity is None) for one in logged} == {("built_in", False), ("writer", True)}
    assert len({one.request_key for one in logged[:6]}) == 1
    assert (logged[5].words, logged[5].terms) == (by_model["text"], [part["term"] for part in by_model["parts"]])
