"""The log of what was suggested, with the chance that each had of being shown: without it nobody could tell later what
exploring brought from what was chosen because it was good already."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlmodel import Session

from keywords.copy.suggestion import Mode, Suggestions
from store.models import KeywordSuggestion


@dataclass(frozen=True)
class Shown:
    """One thing that was shown: its words, the terms in it, and the chance (0..1) that this request had to show it."""

    kind: str  # term | phrase | line
    words: str
    terms: Sequence[str]
    propensity: float


def shown_of(found: Suggestions) -> list[Shown]:
    """What a request for suggestions showed."""
    kinds = [("term", one) for one in found.terms] + [("phrase", one) for one in found.phrases]
    return [Shown(kind, one.text, one.terms, one.propensity) for kind, one in kinds]


def log_shown(session: Session, shown: Sequence[Shown], *, theme: str, mode: Mode, by: str, now: datetime) -> None:
    """Write a row of KeywordSuggestion for each, under one request key."""
    key = uuid4().hex
    session.add_all(
        KeywordSuggestion(
            request_key=key,
            made_at=now,
            made_by=by,
            theme=theme,
            mode=mode,
            kind=one.kind,
            words=one.words,
            terms=list(one.terms),
            propensity=one.propensity,
        )
        for one in shown
    )
