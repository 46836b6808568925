"""The log of what was suggested, with the chance that each had of being shown: without it nobody could tell later what
exploring brought from what was chosen because it was good already."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlmodel import Session

from keywords.copy.compose import Line
from keywords.copy.suggestion import Mode, Suggestions
from store.models import KeywordSuggestion


@dataclass(frozen=True)
class Shown:
    """One thing that was shown: its words, the terms in it, where it is from, and the chance (0..1) that this request
    had to show it; None where nobody knows it."""

    kind: str  # term | phrase | line
    words: str
    terms: Sequence[str]
    source: str  # see KeywordSuggestion
    propensity: float | None


def shown_of(found: Suggestions) -> list[Shown]:
    """What a request for suggestions showed."""
    kinds = [("term", one) for one in found.terms] + [("phrase", one) for one in found.phrases]
    return [Shown(kind, one.text, one.terms, one.fits_by, one.propensity) for kind, one in kinds]


def shown_lines(lines: Sequence[Line]) -> list[Shown]:
    """The lines that a request showed, built and written."""
    return [Shown("line", line.text, line.terms, line.by, line.propensity) for line in lines]


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
            source=one.source,
            propensity=one.propensity,
        )
        for one in shown
    )
