"""The keyword report: which terms bring clicks, how sure that is, and which have not been tried enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pyarrow import csv, parquet
from sqlmodel import Session

from keywords.effects.deviations import Deviations
from keywords.effects.learning import Learning, learn, learn_from_cuts
from keywords.effects.messages import Messages, read_messages
from keywords.effects.stored import require_learning
from keywords.text.tokenizer import Tokenizer
from store.errors import BadInput

ENOUGH_MESSAGES = 8  # below it, a term whose interval still spans nil is one to try
RANK_COLUMNS = ("term", "effect", "low", "high", "messages", "clicks", "experiments")
MORE_COLUMNS = ("ab_effect", "ab_low", "ab_high", "is_disputed", "trend", "words")  # after them


@dataclass(frozen=True)
class SegmentEffect:
    """A term's effect in one segment: log-odds with their 90 % interval."""

    segment: str
    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class TermRow:
    """One term. `effect` is log-odds, everything else equal; `low` and `high` bound its 90 % interval."""

    term: str
    effect: float
    low: float
    high: float
    probability_positive: float  # 0..1
    messages: int
    recipients: int
    clicks: int
    experiments: int  # sendings in which one segment got variants with and without it
    ab_effect: float | None = None  # by those variants alone; None: there are none, like the next two
    ab_low: float | None = None
    ab_high: float | None = None
    is_disputed: bool = False  # the variants say something else than all messages do, by more than two standard errors
    trend: str = ""  # rising | fading | worn (by repetition); "": neither is proven
    words: tuple[str, ...] = ()  # of a phrase, whose effect is what it adds to theirs; (): a word
    segments: tuple[SegmentEffect, ...] = ()  # where the data carries it; the most different from the main effect first


@dataclass(frozen=True)
class Report:
    """What the messages teach."""

    terms: list[TermRow]  # greatest effect first
    to_try: list[TermRow]  # few uses, still open: the most that might be in it first
    messages: int
    recipients: int
    clicks: int
    left_out: int  # results without recipients
    computed_at: datetime  # when all results were last learned from, aware UTC


def term_rows(learning: Learning) -> list[TermRow]:
    """All terms, the greatest effect first."""
    fit = learning.fit
    order = np.argsort(-fit.effect, kind="stable")
    return [
        TermRow(
            term=learning.terms[i],
            effect=float(fit.effect[i]),
            low=float(fit.low[i]),
            high=float(fit.high[i]),
            probability_positive=float(fit.probability_positive[i]),
            messages=int(learning.message_count[i]),
            recipients=int(learning.recipient_count[i]),
            clicks=int(learning.click_count[i]),
            experiments=int(learning.experiment_count[i]),
            words=learning.phrases.get(learning.terms[i], ()),
            **_beside(learning, int(i)),
        )
        for i in order
    ]


def _beside(learning: Learning, place: int) -> dict[str, Any]:
    """What there is beside a term's effect."""
    tried, apart = learning.experiments, learning.deviations
    if tried is None or apart is None:
        return {}
    by_variants = (_known(values[place]) for values in (tried.effect, tried.low, tried.high))
    segments = [
        SegmentEffect(name, *(float(values[row, place]) for values in vars(apart.by_segment).values()))
        for row, name in enumerate(learning.messages.segment_names)
        if not np.isnan(apart.by_segment.effect[row, place])
    ]
    main = float(learning.fit.effect[place])
    return {
        **dict(zip(("ab_effect", "ab_low", "ab_high"), by_variants, strict=True)),
        "is_disputed": bool(tried.is_disputed[place]),
        "trend": _trend(apart, place),
        "segments": tuple(sorted(segments, key=lambda one: -abs(one.effect - main))),
    }


def _trend(apart: Deviations, place: int) -> str:
    """Worn goes first: it is something to be done about (use it less)."""
    if apart.wear.high[place] < 0:
        return "worn"
    if apart.trend.low[place] > 0:
        return "rising"
    return "fading" if apart.trend.high[place] < 0 else ""


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def make_report(session: Session, *, theme: str | None = None, segment: str | None = None) -> Report:
    """The report on all stored results as they were learned from last; fits nothing. Reads only.

    On those of one theme or segment alone it fits a model to them, from the kept cuts (then with wider intervals).
    Raises NothingToLearn when no result is stored for them.
    """
    stored = require_learning(session)
    learning = stored.learning
    if theme is not None or segment is not None:
        messages = learning.messages
        learning = learn_from_cuts(messages.part(_chosen(messages, theme, segment)), stored.cuts)
    rows = term_rows(learning)
    open_rows = [row for row in rows if row.messages < ENOUGH_MESSAGES and row.low < 0 < row.high]
    messages = learning.messages
    return Report(
        terms=rows,
        to_try=sorted(open_rows, key=lambda row: -row.high),
        messages=len(np.unique(messages.message)),
        recipients=int(messages.recipients.sum()),
        clicks=int(messages.clicks.sum()),
        left_out=messages.left_out,
        computed_at=stored.computed_at,
    )


def _chosen(messages: Messages, theme: str | None, segment: str | None) -> NDArray[np.bool_]:
    chosen = np.ones(len(messages), dtype=np.bool_)
    if theme is not None:
        of_theme = np.array([name == theme for name in messages.theme_names], dtype=np.bool_)
        chosen &= of_theme[messages.theme] if messages.theme is not None else False
    if segment is not None:
        chosen &= np.array([name == segment for name in messages.segment_names], dtype=np.bool_)[messages.segment]
    return chosen


def rank_file(messages: Path, out: Path, tokenizer: Tokenizer, zone: ZoneInfo) -> Learning:
    """Rank the terms of a file of messages into another, CSV or Parquet by the names' endings; columns RANK_COLUMNS and
    MORE_COLUMNS.

    Returns what was learned. Raises BadInput (see `read_messages`), also for an `out` that can't be written.
    """
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise BadInput(f"{out.name} must end in .csv or .parquet")
    learning = learn(read_messages(messages, zone), tokenizer)
    _write(term_rows(learning), out)
    return learning


def _value(row: TermRow, name: str) -> Any:
    return " ".join(row.words) if name == "words" else getattr(row, name)


def _write(rows: Sequence[TermRow], out: Path) -> None:
    numbers = ("effect", "low", "high", "ab_effect", "ab_low", "ab_high")
    kinds = {**dict.fromkeys(("term", "trend", "words"), pa.string()), "is_disputed": pa.bool_()}
    kinds |= dict.fromkeys(numbers, pa.float64())
    names = (*RANK_COLUMNS, *MORE_COLUMNS)
    table = pa.table(
        {name: pa.array([_value(row, name) for row in rows], kinds.get(name, pa.int64())) for name in names}
    )
    try:
        if out.suffix.lower() == ".csv":
            csv.write_csv(table, out)
        else:
            parquet.write_table(table, out)
    except OSError as error:
        raise BadInput(f"{out} can't be written: {error}") from error
