"""`retarget keywords`: which words bring clicks, what to write next, and the tools on files."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO

import click
import typer
from rich.console import Console
from rich.table import Table

from keywords.report import Report, TermRow, make_report, rank_file
from keywords.text.normal import visible
from keywords.text.tokenizer import Tokenizer, shared_tokenizer
from service.cli import keywords_copy, keywords_sharing, keywords_words, keywords_writing
from service.cli.context import print_json, settings_for_command
from service.cli.keywords_writing import AsJson, interval, odds
from service.cli.learned import learned_database
from store.engine import reading
from store.errors import BadInput

app = typer.Typer(
    help="Which words bring clicks, with honest intervals, and what to write next.",
    no_args_is_help=True,
    add_completion=False,
)

keywords_writing.register(app)
app.add_typer(keywords_words.app, name="words")
keywords_copy.register(app)
keywords_sharing.register(app)

TRENDS = {"": "", "rising": "上升 rising", "fading": "下降 fading", "worn": "疲乏 worn"}
_SHOWN = 20  # rows of a table; --json has them all


@app.command("report")
def report_command(
    theme: Annotated[str | None, typer.Option(help="Only messages filed under this theme.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only recipients of this segment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the terms that bring clicks, everything else equal, and those not tried enough."""
    settings = settings_for_command()
    with learned_database(settings) as engine, reading(engine) as session:
        report = make_report(session, theme=theme, segment=segment)
    if as_json:
        print_json(asdict(report))
    else:
        _show_report(report)


@app.command("rank")
def rank_command(
    messages: Annotated[Path, typer.Option(help="CSV or Parquet of messages with their recipients and clicks.")],
    out: Annotated[Path, typer.Option(help="CSV or Parquet to write: one row per term, the best first.")],
) -> None:
    """Rank the terms of a file of messages. Needs no database.

    Columns: message_id, campaign_id, text, segment, sent_at, recipients, clicks; optional theme, channel, format.
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


def _show_report(report: Report) -> None:
    console = Console(file=sys.stdout)
    console.print(f"{report.messages} messages, {report.recipients:,} recipients, {report.clicks:,} clicks")
    console.print(f"計算時間 last computed {report.computed_at:%Y-%m-%d %H:%M} UTC")
    console.print("效果：其他條件相同時，點擊勝算的倍數（90% 區間）")
    console.print("Effect: times the odds of a click, everything else equal (90% interval)")
    # both ends: what costs clicks is worth as much as what brings them
    best, worst = report.terms[:_SHOWN], report.terms[_SHOWN:][-_SHOWN // 2 :]
    console.print(_term_table("關鍵字 Terms", best + worst))
    if report.to_try:
        console.print(_term_table("值得再試 Terms to try", report.to_try[: _SHOWN // 2]))


def _by_variants(row: TermRow) -> str:
    """What variants alone say, and of how many campaigns; a ! where all messages say something else."""
    if row.ab_effect is None:
        return "–"
    return f"{odds(row.ab_effect)} ({row.experiments:,}){' !' if row.is_disputed else ''}"


def _term_table(title: str, rows: Sequence[TermRow]) -> Table:
    table = Table(title=title)
    counts = ("訊息 messages", "收到 recipients", "點擊 clicks")
    for heading in ("詞 term", "效果 effect", "90%", *counts, "A/B", "趨勢 trend"):
        table.add_column(heading, justify="left" if heading.startswith("詞") else "right")
    for row in rows:
        figures = (f"{row.messages:,}", f"{row.recipients:,}", f"{row.clicks:,}")
        table.add_row(row.term, odds(row.effect), interval(row), *figures, _by_variants(row), TRENDS[row.trend])
    return table
