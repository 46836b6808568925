"""The brand's own words, which no dictionary has, and whether words that say the same are counted as one: chosen by the
marketer, stored, noted in the audit trail, and known to whatever cuts texts for the brand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from keywords.text.normal import normalise
from keywords.text.tokenizer import Tokenizer, shared_tokenizer
from store.engine import insert_for, table_of
from store.errors import BadInput
from store.models import AuditEntry, BrandSetting

NAME = "words"  # its row of BrandSetting
MAX_CHARACTERS, MAX_WORDS = 40, 5_000
setting = table_of(BrandSetting)


@dataclass(frozen=True)
class BrandWords:
    """What the brand has chosen for the cutting of its texts."""

    words: frozenset[str] = frozenset()  # kept whole wherever they stand
    is_folded: bool = False  # variants (特價, 折扣) count as one term, and simplified as traditional characters


def read_words(session: Session) -> BrandWords:
    """What holds now."""
    found = session.scalar(select(setting.c.value).where(setting.c.name == NAME)) or {}
    return BrandWords(frozenset(found.get("words", ())), bool(found.get("is_folded", False)))


def add_words(session: Session, words: Sequence[str], *, actor: str, now: datetime) -> BrandWords:
    """Keep these words too; those that are there already stay. Raises BadInput for one that can't be a word."""
    fresh = {_checked(word) for word in words}
    before = read_words(session)
    after = BrandWords(before.words | fresh, before.is_folded)
    if len(after.words) > MAX_WORDS:
        raise BadInput(f"a brand has at most {MAX_WORDS:,} words of its own")
    return _keep(session, before, after, {"added": sorted(fresh - before.words)}, actor, now)


def remove_words(session: Session, words: Sequence[str], *, actor: str, now: datetime) -> BrandWords:
    """Keep these words no longer. Raises BadInput, with nothing changed, for one that isn't there."""
    before, gone = read_words(session), {_checked(word) for word in words}
    if missing := sorted(gone - before.words):
        raise BadInput(f"not among the brand's words: {', '.join(missing)}")
    after = BrandWords(before.words - gone, before.is_folded)
    return _keep(session, before, after, {"removed": sorted(gone)}, actor, now)


def fold_words(session: Session, is_folded: bool, *, actor: str, now: datetime) -> BrandWords:
    """Count words that say the same as one, or no longer."""
    before = read_words(session)
    return _keep(session, before, BrandWords(before.words, is_folded), {"is_folded": is_folded}, actor, now)


def brand_tokenizer(session: Session) -> Tokenizer:
    """The tokenizer that cuts as the brand has chosen. Loaded once per process for each choice."""
    chosen = read_words(session)
    return shared_tokenizer() if chosen == BrandWords() else _tokenizer(chosen)


@lru_cache(maxsize=2)  # 70 MB each; the words change seldom
def _tokenizer(chosen: BrandWords) -> Tokenizer:
    return Tokenizer(chosen.words, fold=chosen.is_folded)


def _checked(word: str) -> str:
    normal: str = normalise(word).text.replace("\x00", "").strip()  # PostgreSQL keeps no NUL
    if not normal or len(normal) > MAX_CHARACTERS or not any(sign.isalnum() for sign in normal):
        raise BadInput(f"a word has 1 to {MAX_CHARACTERS} characters, a letter or digit among them, not {word!r}")
    return normal


def _keep(
    session: Session, before: BrandWords, after: BrandWords, detail: dict[str, Any], actor: str, now: datetime
) -> BrandWords:
    if after == before:
        return before
    row = {
        "value": {"words": sorted(after.words), "is_folded": after.is_folded},
        "updated_at": now,
        "updated_by": actor,
    }
    statement = insert_for(session, BrandSetting).values(name=NAME, **row)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
    session.add(AuditEntry(at=now, actor=actor, action="change the brand's words", detail=detail))
    return after
