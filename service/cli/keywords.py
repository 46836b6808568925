"""`retarget keywords`: which words bring clicks, what to write next, and the tools on files."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO

import click
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sqlmodel import Session

from keywords.copy.suggestion import Mode, Suggestion, Suggestions, suggest
from keywords.effects.learning import NothingToLearn, learn
from keywords.effects.messages import stored_messages
from keywords.report import Report, TermRow, make_report, rank_file
from keywords.text.normal import visible
from keywords.text.tokenizer import Tokenizer, shared_tokenizer
from service.cli.context import open_database, print_json, settings_for_command
from service.settings import Settings
from store.engine import reading
from store.errors import BadInput

app = typer.Typer(
    help="Which words bring clicks, with honest intervals, and what to write next.",
    no_args_is_help=True,
    add_completion=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
_SHOWN = 20  # rows of a table; --json has them all


@app.command("report")
def report_command(
    theme: Annotated[str | None, typer.Option(help="Only messages filed under this theme.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only recipients of this segment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the terms that bring clicks, everything else equal, and those not tried enough."""
    settings = settings_for_command()
    with _reading(settings) as session:
        report = make_report(session, shared_tokenizer(), settings.zone, theme=theme, segment=segment)
    if as_json:
        print_json(asdict(report))
    else:
        _show_report(report)


@app.command("suggest")
def suggest_command(
    theme: Annotated[str, typer.Argument(help="What the campaign is about, such as 冬季服飾促銷.")],
    explore: Annotated[bool, typer.Option("--explore", help="Leave room for terms not yet proven.")] = False,
    seed: Annotated[int | None, typer.Option(help="Repeat the same exploration.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many terms.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Suggest terms and phrases for a theme, ranked by the clicks they promise."""
    settings = settings_for_command()
    tokenizer = shared_tokenizer()
    with _reading(settings) as session:
        messages = stored_messages(session, settings.zone)
    try:
        learning = learn(messages, tokenizer)
    except NothingToLearn:
        learning = None
    mode: Mode = "explore" if explore else "safe"
    found = suggest(theme, learning, tokenizer, np.random.default_rng(seed), mode=mode, count=count)
    if as_json:
        print_json(asdict(found))
    else:
        _show_suggestions(theme, found)


@app.command("rank")
def rank_command(
    messages: Annotated[Path, typer.Option(help="CSV or Parquet of messages with their recipients and clicks.")],
    out: Annotated[Path, typer.Option(help="CSV or Parquet to write: one row per term, the best first.")],
) -> None:
    """Rank the terms of a file of messages. Needs no database.

    Columns: message_id, campaign_id, text, segment, sent_at, recipients, clicks; optional theme, channel.
    """
    settings = settings_for_command()
    learning = rank_file(messages, out, shared_tokenizer(), settings.zone)
    left_out = learning.messages.left_out
    note = f"; {left_out} rows left out for want of recipients or clicks" if left_out else ""
    click.echo(f"{len(learning.terms)} terms of {len(learning.messages)} rows written to {out}{note}", err=True)


@app.command("tokenize")
def tokenize_command(
    file: Annotated[Path | None, typer.Argument(help="UTF-8 text; standard input when not given.")] = None,
) -> None:
    """Cut lines into tokens: one line out for each line in, tokens separated by /. Needs no database."""
    tokenizer = shared_tokenizer()
    output = sys.stdout.buffer
    for line in _lines(file):
        output.write(f"{_cut(tokenizer, line)}\n".encode())
    output.flush()


@contextmanager
def _reading(settings: Settings) -> Iterator[Session]:
    engine = open_database(settings)
    try:
        with reading(engine) as session:
            yield session
    finally:
        engine.dispose()


def _cut(tokenizer: Tokenizer, line: str) -> str:
    return "/".join(visible(line[token.start : token.end]) for token in tokenizer.tokenize(line))


def _lines(file: Path | None) -> Iterator[str]:
    if file is None:
        yield from _decoded(sys.stdin.buffer, "standard input")
        return
    try:
        with file.open("rb") as stream:
            yield from _decoded(stream, file.name)
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}") from error


def _decoded(stream: BinaryIO, name: str) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        try:
            yield line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{name}, line {number}: not UTF-8 text") from error


def _odds(log_odds: float) -> str:
    return f"×{np.exp(log_odds):.2f}"


def _interval(row: TermRow | Suggestion) -> str:
    return f"{_odds(row.low)} – {_odds(row.high)}"


def _show_report(report: Report) -> None:
    console = Console(file=sys.stdout)
    console.print(f"{report.messages} messages, {report.recipients:,} recipients, {report.clicks:,} clicks")
    console.print("效果：其他條件相同時，點擊勝算的倍數（90% 區間）")
    console.print("Effect: times the odds of a click, everything else equal (90% interval)")
    # both ends: what costs clicks is worth as much as what brings them
    best, worst = report.terms[:_SHOWN], report.terms[_SHOWN:][-_SHOWN // 2 :]
    console.print(_term_table("關鍵字 Terms", best + worst))
    if report.to_try:
        console.print(_term_table("值得再試 Terms to try", report.to_try[: _SHOWN // 2]))


def _term_table(title: str, rows: Sequence[TermRow]) -> Table:
    table = Table(title=title)
    for heading in ("詞 term", "效果 effect", "90%", "訊息 messages", "收到 recipients", "點擊 clicks", "A/B"):
        table.add_column(heading, justify="left" if heading.startswith("詞") else "right")
    for row in rows:
        counts = (f"{row.messages:,}", f"{row.recipients:,}", f"{row.clicks:,}", f"{row.experiments:,}")
        table.add_row(row.term, _odds(row.effect), _interval(row), *counts)
    return table


def _show_suggestions(theme: str, found: Suggestions) -> None:
    console = Console(file=sys.stdout)
    if not found.terms:
        console.print(f"沒有找到適合「{theme}」的詞。No term is known that fits this theme.", markup=False)
        return
    for title, rows in (("詞 Terms", found.terms), ("組合 Phrases", found.phrases)):
        table = Table(title=title)
        for heading in ("建議 suggestion", "效果 effect", "90%", "訊息 messages", "依據 from"):
            table.add_column(heading, justify="left" if heading.startswith(("建議", "依據")) else "right")
        for row in rows:
            table.add_row(row.text, _odds(row.effect), _interval(row), f"{row.messages:,}", row.fits_by)
        if rows:
            console.print(table)
