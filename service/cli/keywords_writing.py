"""`retarget keywords suggest` and `score`: what to write next, and what a text may expect."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from keywords.copy.past import in_words
from keywords.copy.score import Score, score
from keywords.copy.shown import log_shown, shown_of
from keywords.copy.suggestion import Mode, Suggestion, Suggestions, suggest
from keywords.effects.current import current_learning
from keywords.effects.prediction import Prediction, Situation
from keywords.text.brand import brand_tokenizer
from service.cli.context import print_json, settings_for_command
from service.cli.learned import learned_database
from store.clock import system_clock
from store.engine import reading, transaction
from store.errors import BadInput

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Segment = Annotated[str | None, typer.Option(help="To whom: an RFM segment, such as important_value.")]
At = Annotated[str | None, typer.Option(help="When, local time: 2026-12-01T20:00. Its hour and weekday count.")]
_PAST = 5  # terms whose past messages are shown


def register(app: typer.Typer) -> None:
    """Add the commands to the group `keywords`."""
    app.command("suggest")(suggest_command)
    app.command("score")(score_command)


def suggest_command(
    theme: Annotated[str, typer.Argument(help="What the campaign is about, such as 冬季服飾促銷.")],
    explore: Annotated[bool, typer.Option("--explore", help="Leave room for terms not yet proven.")] = False,
    seed: Annotated[int | None, typer.Option(help="Repeat the same exploration.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many terms.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Suggest terms and phrases for a theme, ranked by the clicks they promise. What is shown is logged."""
    settings = settings_for_command()
    mode: Mode = "explore" if explore else "safe"
    with learned_database(settings) as engine:
        with reading(engine) as session:
            learning, tokenizer = current_learning(session), brand_tokenizer(session)
            found = suggest(theme, learning, tokenizer, np.random.default_rng(seed), mode=mode, count=count)
            found = in_words(session, found)
        with transaction(engine) as session:
            log_shown(session, shown_of(found), theme=theme, mode=mode, by="command line", now=system_clock())
    if as_json:
        print_json(asdict(found))
    else:
        _show_suggestions(theme, found)


def score_command(
    text: Annotated[str, typer.Argument(help="The text to judge.")],
    segment: Segment = None,
    theme: Annotated[str | None, typer.Option(help="The campaign's theme.")] = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Score my copy: the click rate it may expect, which words carry or cost, and what to try instead."""
    settings = settings_for_command()
    situation = Situation.at(moment_of(at), settings.zone, segment=segment, theme=theme)
    with learned_database(settings) as engine, reading(engine) as session:
        found = score(text, current_learning(session), brand_tokenizer(session), situation)
    if as_json:
        print_json(asdict(found))
    else:
        _show_score(found)


def moment_of(words: str | None) -> datetime | None:
    """The time of `--at`; None for None. Raises BadInput."""
    try:
        return None if words is None else datetime.fromisoformat(words)
    except ValueError as error:
        raise BadInput(f"--at {words!r} is not a time such as 2026-12-01T20:00") from error


def odds(log_odds: float) -> str:
    """An effect as times the odds."""
    return f"×{np.exp(log_odds):.2f}"


def interval(row: object) -> str:
    """The `low` and `high` of a row of log-odds, as times the odds."""
    return f"{odds(row.low)} – {odds(row.high)}"  # type: ignore[attr-defined]


def rate_words(prediction: Prediction) -> str:
    """A click rate with its interval."""
    return f"{prediction.rate:.2%} ({prediction.low:.2%} – {prediction.high:.2%})"


def _show_suggestions(theme: str, found: Suggestions) -> None:
    console = Console(file=sys.stdout)
    if not found.terms:
        console.print(f"沒有找到適合「{theme}」的詞。No term is known that fits this theme.", markup=False)
        return
    for title, rows in (("詞 Terms", found.terms), ("組合 Phrases", found.phrases)):
        table = Table(title=title)
        headings = ("建議 suggestion", "效果 effect", "90%", "訊息 messages", "依據 from", "出現機率 chance")
        for heading in headings:
            table.add_column(heading, justify="left" if heading.startswith(("建議", "依據")) else "right")
        for row in rows:
            counts = (f"{row.messages:,}", row.fits_by, f"{row.propensity:.0%}")
            table.add_row(row.text, odds(row.effect), interval(row), *counts)
        if rows:
            console.print(table)
    _show_past(console, [row for row in found.terms if row.behind][:_PAST])


def _show_past(console: Console, rows: Sequence[Suggestion]) -> None:
    if not rows:
        return
    table = Table("詞 term", "過去的訊息 past message", "收到 recipients", "點擊 clicks", "%", title="依據 Behind them")
    for row in rows:
        for past in row.behind:
            counts = (f"{past.recipients:,}", f"{past.clicks:,}", f"{past.clicks / past.recipients:.1%}")
            table.add_row(row.text, past.text.replace("\n", " ")[:50], *counts)
    console.print(table)


def _show_score(found: Score) -> None:
    console = Console(file=sys.stdout)
    if found.prediction is None:
        console.print("還沒有發送結果，無法預測點擊率。Nothing was sent yet, so no click rate can be predicted.")
    else:
        console.print(f"預測點擊率 Predicted click rate: {rate_words(found.prediction)}", highlight=False)
    if found.unseen:
        console.print(f"從未發送過 Never sent to before: {', '.join(found.unseen)}", markup=False)
    table = Table(title="用詞 Words")
    for heading in ("詞 term", "效果 effect", "90%", "訊息 messages", ""):
        table.add_column(heading, justify="left" if heading.startswith("詞") else "right")
    said = {"carries": "加分 carries", "costs": "扣分 costs", "open": "未定 open", "unknown": "沒用過 unknown"}
    for part in found.parts:
        table.add_row(part.term, odds(part.effect), interval(part), f"{part.messages:,}", said[part.verdict])
    console.print(table)
    if found.replacements:
        swaps = Table("原詞 instead of", "改用 try", "效果 gain", "90%", "訊息 messages", title="可以改試 What to try")
        for one in found.replacements:
            swaps.add_row(one.term, one.by, odds(one.gain), interval(one), f"{one.messages:,}")
        console.print(swaps)
