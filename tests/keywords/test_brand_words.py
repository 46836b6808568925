"""The brand's own words are stored, audited and known to whatever cuts its texts; variants are folded where chosen."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlmodel import Session
from typer.testing import CliRunner

from keywords.effects.stored import require_learning
from keywords.text.brand import BrandWords, add_words, brand_tokenizer, fold_words, read_words, remove_words
from keywords.text.tokenizer import Tokenizer, shared_tokenizer
from keywords.text.vocabulary import terms_of
from service.brand_words import tokenize_for_brand
from service.cli import app
from service.settings import Settings
from service.worker import learn_keywords
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry
from tests.keywords.test_report import MONDAY
from tests.keywords.test_stored import add_run

WORD = "極潤賦活露"
runner = CliRunner()


def test_words_are_kept_whole_for_all_who_cut_and_changes_are_audited(session: Session) -> None:
    assert brand_tokenizer(session) is shared_tokenizer()
    assert WORD not in terms_of(shared_tokenizer().tokenize(f"全新{WORD}上市"))
    add_words(session, [WORD, f" {WORD} ", "Ａ＋精萃"], actor="ann", now=MONDAY)
    assert read_words(session) == BrandWords(frozenset({WORD, "A+精萃"}))
    assert WORD in terms_of(brand_tokenizer(session).tokenize(f"全新{WORD}上市"))
    assert WORD in tokenize_for_brand(session)([f"全新{WORD}上市"])[0]
    add_words(session, [WORD], actor="ann", now=MONDAY)  # nothing changes, nothing is noted
    remove_words(session, [WORD], actor="ben", now=MONDAY)
    assert read_words(session).words == {"A+精萃"}
    noted = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id)).all()
    assert [(entry.actor, entry.detail) for entry in noted] == [
        ("ann", {"added": ["A+精萃", WORD]}),
        ("ben", {"removed": [WORD]}),
    ]


@pytest.mark.parametrize("word", ["", "  ", "！？", "長" * 41, "\u200b"])
def test_what_can_be_no_word_is_refused(session: Session, word: str) -> None:
    with pytest.raises(BadInput, match="a word has 1 to 40 characters"):
        add_words(session, ["好詞", word], actor="ann", now=MONDAY)
    assert read_words(session) == BrandWords()
    with pytest.raises(BadInput, match="not among the brand's words: 好詞"):
        remove_words(session, ["好詞"], actor="ann", now=MONDAY)


def test_variants_and_simplified_characters_are_counted_as_one_where_that_is_chosen(session: Session) -> None:
    line = "特价 面膜 七折，免運費 双十一"
    fold_words(session, True, actor="ann", now=MONDAY)
    tokens = brand_tokenizer(session).tokenize(line)
    assert [token.term for token in tokens] == ["優惠", "面膜", "七折", ",", "免運", "雙11"]
    assert [line[token.start : token.end] for token in tokens] == ["特价", "面膜", "七折", "，", "免運費", "双十一"]
    assert tokens[2].group == "折扣:60-79%"
    assert "特價" in terms_of(shared_tokenizer().tokenize("特價"))
    fold_words(session, False, actor="ann", now=MONDAY)
    assert brand_tokenizer(session) is shared_tokenizer()


def test_tokenizers_that_cut_otherwise_have_other_versions() -> None:
    versions = {Tokenizer().version, Tokenizer(["甲乙"]).version, Tokenizer(fold=True).version}
    assert len(versions) == 3
    assert Tokenizer().version == shared_tokenizer().version


def test_a_new_word_has_the_stored_texts_cut_anew_by_the_next_learning(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(database_url="sqlite://")
    for number in range(4):
        add_run(engine, f"全新{WORD}上市", clicks=100 + number, days=number)
    learn_keywords(engine, settings, lambda: MONDAY)
    with transaction(engine) as session:
        assert WORD not in require_learning(session).learning.terms
        add_words(session, [WORD], actor="ann", now=MONDAY)
    learn_keywords(engine, settings, lambda: MONDAY)
    with reading(engine) as session:
        assert WORD in require_learning(session).learning.terms


def test_words_are_edited_on_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'words.db'}")
    assert "2 words" in runner.invoke(app, ["keywords", "words", "add", WORD, "A+精萃"]).stderr
    assert runner.invoke(app, ["keywords", "words", "remove", "A+精萃"]).exit_code == 0
    assert "variants are folded" in runner.invoke(app, ["keywords", "words", "fold", "true"]).stderr
    assert runner.invoke(app, ["keywords", "words", "list"]).stdout == f"{WORD}\n"
    assert '"is_folded": true' in runner.invoke(app, ["keywords", "words", "list", "--json"]).stdout
