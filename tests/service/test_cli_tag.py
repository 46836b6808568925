"""`retarget tag` as a marketer or a program meets it, on both databases."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from sqlalchemy import Engine

from segmentation.rules.reading import RuleError
from segmentation.tags.catalogue import TagExists
from segmentation.tags.definitions import InvalidTag
from segmentation.tags.hand import ComputedTag
from service.cli.tag import app
from store.asked import SEGMENTS, note_done, request_for
from store.engine import open_engine, transaction
from store.errors import BadInput, NotFound
from tests.factories import make_customer, make_order
from tests.segmentation.tags.renewal import on, renew
from tests.service.conftest import Retarget

FREQUENT = {"type": "orders", "measure": "count", "at_least": 2}


@pytest.fixture
def retarget(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(app)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    with transaction(engine) as session:
        for number in (1, 2):
            customer = make_customer(session, member_id=f"A{number}")
            for days in range(number):
                make_order(session, customer, ordered_at=on(days + 1))
    yield engine
    engine.dispose()


def test_a_tag_of_people_is_made_put_on_shown_and_taken_off(retarget: Retarget, database: Engine) -> None:
    assert retarget("create", "貴賓", "--json")["source"] == "hand"
    put = ("put", "貴賓", "A1", "A2", "--note", "抽獎", "--until", "2099-01-01", "--json")
    assert retarget(*put) == {"tag": "貴賓", "changed": 2}
    assert retarget("take", "貴賓", "A2", "--json") == {"tag": "貴賓", "changed": 1}
    (now,) = retarget("history", "A1", "--json")
    assert (now["tag"], now["until"], now["falls_off_on"]) == ("貴賓", None, "2099-01-01")
    (before,) = retarget("why", "貴賓", "A2", "--json")
    assert (before["evidence"], before["off_evidence"]) == (
        {"by": "command line", "note": "抽獎"},
        {"by": "command line"},
    )
    assert retarget("show", "貴賓", "--json")["customers"] == 1
    assert len(retarget("members", "貴賓", "--json")) == 1
    assert "貴賓 (hand): since" in retarget("history", "A1")
    assert 'came off because {"by": "command line"}' in retarget("why", "貴賓", "A2")
    assert "was never on this customer" not in retarget("why", "貴賓", "A1")


def test_the_worker_is_asked_for_what_it_computes_and_for_nothing_else(retarget: Retarget, database: Engine) -> None:
    def is_asked() -> bool:
        with transaction(database) as session:
            found = request_for(session, SEGMENTS)
            asked = found is not None and found.done_at is None
            if found is not None:
                note_done(session, found, problem=None, now=found.asked_at)
        return asked

    retarget("create", "貴賓")
    retarget("activate", "貴賓")
    assert not is_asked()
    retarget("create", "大戶", "--measure", "paid_total", "--top-percent", "5")
    assert is_asked()
    retarget("deactivate", "大戶")
    assert not is_asked()
    retarget("activate", "大戶")
    assert is_asked()


def test_tags_by_rule_measure_and_group_are_made_and_say_what_they_are(
    retarget: Retarget, database: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(FREQUENT), encoding="utf-8")
    made = retarget("create", "老客戶", "--when", str(path), "--json")
    assert (made["source"], made["kind"], made["line"], made["definition"]) == (
        "rule",
        "model",
        "static",
        {"when": FREQUENT},
    )
    made = retarget("create", "大戶", "--measure", "paid_total", "--top-percent", "5", "--json")
    assert (made["kind"], made["line"]) == ("fact", "dynamic")
    assert made["definition"] == {"measure": "paid_total", "top_percent": "5"}
    made = retarget("create", "忠實", "--group", "champion", "--kind", "fact", "--json")
    assert (made["source"], made["kind"]) == ("group", "fact")
    renew(database)
    sizes = {tag["name"]: tag["customers"] for tag in retarget("list", "--json")}
    assert (sizes["老客戶"], sizes["大戶"]) == (1, 1)
    assert "老客戶" in retarget("list")
    shown = retarget("show", "老客戶")
    assert "2026-11-03: 1 customers" in shown


def test_switched_off_and_on_again(retarget: Retarget, database: Engine) -> None:
    retarget("create", "大戶", "--measure", "paid_total", "--at-least", "1")
    assert retarget("deactivate", "大戶", "--json")["is_active"] is False
    renew(database)
    assert retarget("members", "大戶", "--json") == []
    assert "switched on" in retarget("activate", "大戶")
    renew(database)
    assert len(retarget("members", "大戶", "--json")) == 2
    assert retarget("members", "大戶", "--at", "2026-11-01", "--json") == []


def test_what_cannot_be_is_one_sentence(retarget: Retarget, database: Engine, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"type": "orders", "measure": "count"}', encoding="utf-8")
    retarget("create", "大戶", "--measure", "paid_total", "--at-least", "1")
    cases: list[tuple[type[Exception], str, tuple[str, ...]]] = [
        (TagExists, "already", ("create", "大戶")),
        (RuleError, r"\$: needs a limit", ("create", "x", "--when", str(wrong))),
        (RuleError, "no saved rule '無'", ("create", "x", "--rule", "無")),
        (BadInput, "one source", ("create", "x", "--rule", "無", "--measure", "r")),
        (InvalidTag, "exactly one of", ("create", "x", "--measure", "r")),
        (InvalidTag, "exactly one of", ("create", "x", "--measure", "r", "--at-least", "1", "--at-most", "2")),
        (InvalidTag, "no measure 'height'", ("create", "x", "--measure", "height", "--at-least", "1")),
        (
            InvalidTag,
            r"above 0 and below 100.*\$.top_percent",
            ("create", "x", "--measure", "r", "--top-percent", "100"),
        ),
        (InvalidTag, r"\$.at_least", ("create", "x", "--measure", "r", "--at-least", "much")),
        (InvalidTag, r"\$.group", ("create", "x", "--group", "friends")),
        (BadInput, "--kind", ("create", "x", "--kind", "good")),
        (BadInput, "can't be read", ("create", "x", "--when", str(tmp_path / "none.json"))),
        (ComputedTag, "by a computation", ("put", "大戶", "A1")),
        (NotFound, "no customer 'A9'", ("put", "大戶", "A9")),
        (NotFound, "no tag '無'", ("show", "無")),
        (BadInput, "whole numbers", ("history", "x", "--ids")),
    ]
    for kind, sentence, words in cases:
        with pytest.raises(kind, match=sentence):
            retarget(*words)
