"""What was learned is kept, renewed only where results changed, and the same as if it were learned from the start."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, delete, select, update

from keywords.effects import stored
from keywords.effects.learning import learn
from keywords.effects.lessons import lessons_of
from keywords.effects.messages import read_messages
from keywords.effects.stored import renew_learning, require_learning, stored_learning
from keywords.text.tokenizer import Token, shared_tokenizer
from store.engine import reading, table_of, transaction
from store.models import KeywordLearning, MessageResult, TextCut
from tests.factories import make_campaign, make_channel, make_run
from tests.keywords.test_report import MONDAY, TAIPEI, store_results, write

result = table_of(MessageResult)


class Counting:
    """A tokenizer that remembers what it cut."""

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.lines: list[str] = []

    def tokenize(self, line: str) -> list[Token]:
        self.lines.append(line)
        return shared_tokenizer().tokenize(line)


def renew(engine: Engine, tokenizer: Any = None, days: int = 0) -> bool:
    moment = MONDAY + timedelta(days=days)
    return renew_learning(engine, tokenizer or shared_tokenizer(), zone=TAIPEI, clock=lambda: moment)


def add_run(engine: Engine, text: str, *, clicks: int, days: int) -> int:
    with transaction(engine) as session:
        campaign = make_campaign(session, make_channel(session), theme="冬季")
        moment = MONDAY + timedelta(days=days)
        run = make_run(session, campaign, scheduled_for=moment, fired_at=moment)
        assert run.id is not None
        row: dict[str, Any] = {"run_id": run.id, "segment": "important_value", "theme": "冬季", "channel": "main"}
        row |= {"variant_id": run.variants[0]["variant_id"], "sent_at": moment, "changed_at": moment}
        session.add(MessageResult(**row, message_text=text, recipients=4_000, clicks=clicks))
        return run.id


def test_only_new_texts_are_cut_and_nothing_is_done_where_nothing_changed(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 40)
    tokenizer = Counting()
    assert renew(engine, tokenizer)
    assert len(tokenizer.lines) == len(set(tokenizer.lines)) == 4
    assert not renew(engine, tokenizer, days=1)
    add_run(engine, "買一送一 發熱衣", clicks=900, days=100)
    assert renew(engine, tokenizer, days=101)
    assert tokenizer.lines[4:] == ["買一送一 發熱衣"]
    with reading(engine) as session:
        found = require_learning(session)
    assert found.computed_at == MONDAY + timedelta(days=101)
    assert len(np.unique(found.learning.messages.message)) == 41


def test_learning_on_says_what_learning_from_the_start_says(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 60)
    renew(engine)
    add_run(engine, "買一送一 發熱衣", clicks=500, days=100)
    with transaction(engine) as session:
        session.execute(update(result).where(result.c.run_id == 1).values(clicks=300, changed_at=MONDAY))
    renew(engine)
    with transaction(engine) as session:
        gone_on = require_learning(session).learning
        session.execute(delete(table_of(KeywordLearning)))
    renew(engine)
    with reading(engine) as session:
        anew = require_learning(session).learning
    assert gone_on.terms == anew.terms
    np.testing.assert_allclose(gone_on.fit.effect, anew.fit.effect, atol=5e-3)
    np.testing.assert_allclose(gone_on.fit.high - gone_on.fit.low, anew.fit.high - anew.fit.low, rtol=0.05)
    assert gone_on.messages.clicks.sum() == anew.messages.clicks.sum()


def test_results_that_are_gone_are_no_longer_learned_from(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 20)
    renew(engine)
    with transaction(engine) as session:
        session.execute(delete(result).where(result.c.run_id > 10))
    assert renew(engine)
    with reading(engine) as session:
        assert len(np.unique(require_learning(session).learning.messages.run)) == 10
    with transaction(engine) as session:
        session.execute(delete(result))
    assert renew(engine)
    with reading(engine) as session:
        assert stored_learning(session) is None
    assert not renew(engine)


def test_other_words_have_every_text_cut_anew(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 12)
    renew(engine, Counting("1"))
    changed = Counting("2")
    assert renew(engine, changed)
    assert len(changed.lines) == 4
    with reading(engine) as session:
        assert {row.cut_with for row in session.scalars(select(TextCut))} == {"2"}
        assert require_learning(session).cut_with == "2"


def test_many_texts_are_kept_in_short_writes_and_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_TEXTS_AT_ONCE", 3)
    monkeypatch.setattr(stored, "_ASK_BY_KEY", 2)
    for number in range(8):
        add_run(engine, f"買一送一 詞{number}", clicks=100 + number, days=number)
    renew(engine)
    with transaction(engine) as session:
        session.execute(delete(table_of(KeywordLearning)))
    again = Counting(shared_tokenizer().version)
    assert renew(engine, again)
    assert again.lines == []
    with reading(engine) as session:
        assert "買一送一" in require_learning(session).learning.terms


def test_a_run_teaches_what_changes_when_it_is_taken_out(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 40)
    renew(engine)
    with reading(engine) as session:
        without = require_learning(session).learning
    run_id = add_run(engine, "買一送一 宅配", clicks=2_500, days=100)
    renew(engine)
    with reading(engine) as session:
        learning = require_learning(session).learning
    by_term = {lesson.term: lesson for lesson in lessons_of(learning, run_id)}
    assert set(by_term) == {"買一送一", "宅配"}
    offer = by_term["買一送一"]
    assert offer.after.effect > offer.before.effect
    assert offer.before.effect == pytest.approx(float(without.fit.effect[without.terms.index("買一送一")]), abs=0.06)
    assert offer.before.high - offer.before.low > offer.after.high - offer.after.low
    assert offer.experiment is None
    assert lessons_of(learning, 10**9) == []


def test_the_versions_of_a_run_alone_say_what_one_of_them_added(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        for word, clicks in (("買一送一 免運", 600), ("免運", 400)):
            rows += [f"{number}{word},{number},{word},s{s},2026-11-02 10:00,10000,{clicks + s}" for s in range(2)]
    learning = learn(read_messages(write(tmp_path / "in.csv", *rows), TAIPEI), shared_tokenizer())
    of_run = np.where(learning.messages.campaign == 3, 7, -1)
    learning = replace(learning, messages=replace(learning.messages, run=of_run))
    by_term = {lesson.term: lesson for lesson in lessons_of(learning, 7)}
    tried = by_term["買一送一"]
    assert tried.segments == 2
    assert tried.experiment is not None
    expected = np.log(600 / 9400) - np.log(400 / 9600)
    assert tried.experiment.effect == pytest.approx(expected, abs=0.02)
    assert tried.experiment.low < expected < tried.experiment.high
    assert (by_term["免運"].experiment, by_term["免運"].segments) == (None, 0)  # both versions had it
