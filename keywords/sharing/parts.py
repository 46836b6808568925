"""The whole report and those of each theme and segment, as sections and as rows of one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from keywords.report import Report, make_report
from store.engine import table_of
from store.models import MessageResult

COLUMNS = (
    *("theme", "segment", "term", "effect", "low", "high", "times_odds", "probability_positive"),
    *("messages", "recipients", "clicks", "trend", "experiments", "ab_effect", "ab_low", "ab_high", "is_disputed"),
    *("to_try", "words"),
)

result = table_of(MessageResult)


@dataclass(frozen=True)
class Part:
    """A report on all results (both None), or on those of one theme or segment."""

    theme: str | None
    segment: str | None
    report: Report

    @property
    def title(self) -> str:
        """What it is on, in the marketer's words."""
        said = []
        if self.theme is not None:
            said.append(f"主題 Theme · {self.theme}")
        if self.segment is not None:
            said.append(f"分群 Segment · {self.segment}")
        return " · ".join(said) or "全部 All"


def report_parts(session: Session, *, theme: str | None = None, segment: str | None = None) -> list[Part]:
    """All results, then each theme, then each segment; with `theme` or `segment` theirs alone. Reads only.

    Raises NothingToLearn when no result is stored for them.
    """
    if theme is not None or segment is not None:
        return [Part(theme, segment, make_report(session, theme=theme, segment=segment))]
    parts = [Part(None, None, make_report(session))]
    parts += [Part(name, None, make_report(session, theme=name)) for name in known_themes(session)]
    parts += [Part(None, name, make_report(session, segment=name)) for name in known_segments(session)]
    return parts


def rows_of(parts: Sequence[Part]) -> Iterator[tuple[Any, ...]]:
    """A row of COLUMNS for each term of each part. Effects are log-odds, `times_odds` the same as a multiple; ab_… are
    None where no variants tell; `words` are those of a phrase, whose effect is what it adds to theirs."""
    for part in parts:
        to_try = {row.term for row in part.report.to_try}
        for row in part.report.terms:
            counts = (row.messages, row.recipients, row.clicks, row.trend, row.experiments)
            effect = (row.effect, row.low, row.high, exp(row.effect), row.probability_positive)
            variants = (row.ab_effect, row.ab_low, row.ab_high, "yes" if row.is_disputed else "")
            is_to_try = "yes" if row.term in to_try else ""
            of = part.theme or "", part.segment or "", row.term
            yield *of, *effect, *counts, *variants, is_to_try, " ".join(row.words)


def known_themes(session: Session) -> list[str]:
    """The themes that results are stored for, by name."""
    return _known(session, result.c.theme)


def known_segments(session: Session) -> list[str]:
    """The segments (rfm8; "none" for none) that results are stored for, by name."""
    return _known(session, result.c.segment)


def _known(session: Session, column: Any) -> list[str]:
    known = select(column).where(column.is_not(None), result.c.recipients > 0).distinct().order_by(column)
    return list(session.scalars(known))
