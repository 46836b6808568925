"""`retarget keywords copy` and `settings`: whole lines for a theme, and the brand's rules for them."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from campaigns.results.lately import sent_lately
from keywords.copy.compose import AT_LEAST, Dropped, Line, Wanted, compose
from keywords.copy.data import FORMS
from keywords.copy.facts import Given
from keywords.copy.ground import ground_for
from keywords.copy.judging import Ground, Notice
from keywords.copy.settings import NAME, change_settings, read_settings
from keywords.copy.shown import log_shown, shown_lines
from keywords.copy.suggestion import Mode
from keywords.copy.writer import Written, ask
from keywords.effects.current import current_learning
from keywords.effects.learning import Learning
from keywords.effects.prediction import Situation
from keywords.text.brand import brand_tokenizer
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.keywords_choices import changes_of, show_choices
from service.cli.keywords_writing import AsJson, At, Segment, moment_of, odds, rate_words
from service.cli.learned import learned_database
from service.copy_writer import writer_of
from service.settings import Settings
from store.choices import chosen
from store.clock import system_clock
from store.engine import reading, transaction

_SOURCES = {"own": "", "built_in": "（內建句型 built in）", "writer": "（模型 by the model）"}


def register(app: typer.Typer) -> None:
    """Add the commands to the group `keywords`."""
    app.command("copy")(copy_command)
    app.command("settings")(settings_command)


def copy_command(
    theme: Annotated[str, typer.Argument(help="What the campaign is about, such as 冬季服飾促銷.")],
    offer: Annotated[
        list[str] | None, typer.Option(help="What you give, word for word: 全館79折, 12/31前. Repeat it.")
    ] = None,
    product: Annotated[
        list[str] | None, typer.Option(help="What you sell; else what fits the theme. Repeat it.")
    ] = None,
    segment: Segment = None,
    at: At = None,
    form: Annotated[
        str, typer.Option(help=f"Which form: {', '.join(FORMS)} (alt: a Flex message's altText).")
    ] = "message",
    count: Annotated[int, typer.Option(min=1, max=50, help="How many lines.")] = AT_LEAST,
    explore: Annotated[bool, typer.Option("--explore", help="Leave room for terms not yet proven.")] = False,
    seed: Annotated[int | None, typer.Option(help="Repeat the same exploration.")] = None,
    writer: Annotated[bool, typer.Option("--writer/--no-writer", help="Ask the model of COPY_MODEL_URL too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Whole lines for a theme, each with its predicted click rate. Says no offer, price, count or date but yours."""
    settings = settings_for_command()
    mode: Mode = "explore" if explore else "safe"
    wanted = Wanted(Situation.at(moment_of(at), settings.zone, segment=segment, theme=theme), form, count, mode)
    with learned_database(settings) as engine:
        with reading(engine) as session:
            tokenizer = brand_tokenizer(session)
        given = Given(tokenizer, theme, tuple(offer or ()), tuple(product or ()))
        learning, ground = _read(engine, given, segment, system_clock())
        built = compose(wanted, learning, ground, np.random.default_rng(seed))
        more = _ask_writer(settings, wanted, learning, ground, built) if writer else Written()
        lines = [*built, *more.lines]
        with transaction(engine) as session:
            log_shown(session, shown_lines(lines), theme=theme, mode=mode, by="command line", now=system_clock())
    if as_json:
        found = {"lines": [asdict(line) for line in lines], "dropped": [vars(one) for one in more.dropped]}
        print_json({**found, "writer_problem": more.problem})
    else:
        _show(lines, more.dropped, more.problem)
        if len(built) < count:
            few = "可用的範本、商品與詞只夠寫這些句 Templates, products and words make no more lines than these."
            Console(file=sys.stdout).print(few, markup=False)


def settings_command(
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, words as 特價王,神奇; NAME= goes back to the default. Repeat it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show or change the brand's rules for copy: words blocked or to be approved, lengths, when a word is worn."""
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        if changes:
            wanted = changes_of(changes, lists=("blocked", "approval", "cleared"))
            change_settings(session, wanted, actor="command line", now=system_clock())
        now, own = read_settings(session).model_dump(mode="json"), chosen(session, NAME)
    if as_json:
        print_json({"settings": now, "chosen": sorted(own)})
        return
    show_choices(now, own)


def _read(engine: Engine, given: Given, segment: str | None, now: datetime) -> tuple[Learning | None, Ground]:
    with reading(engine) as session:
        return current_learning(session), ground_for(session, given, sent_lately, segment=segment, now=now)


def _ask_writer(
    settings: Settings, wanted: Wanted, learning: Learning | None, ground: Ground, lines: list[Line]
) -> Written:
    writer = writer_of(settings)
    return Written() if writer is None else ask(writer, wanted, learning, ground, lines)


def _show(lines: Sequence[Line], dropped: Sequence[Dropped], problem: str | None) -> None:
    console = Console(file=sys.stdout)
    table = Table(title="文案 Copy", show_lines=True)
    for heading in ("文案 line", "預測點擊率 predicted rate", "用詞 terms", "注意 notices", "出現機率 chance"):
        table.add_column(heading)
    for line in lines:
        rate = rate_words(line.prediction) if line.prediction else "還沒有發送結果 nothing sent yet"
        terms = " ".join(f"{part.term}{odds(part.effect)}" if part.messages else f"{part.term}?" for part in line.parts)
        chance = "不明 not known" if line.propensity is None else f"{line.propensity:.0%}"
        notices = "\n".join(_notice_words(one) for one in line.notices)
        table.add_row(line.text + _SOURCES[line.by], rate, terms, notices, chance)
    console.print(table)
    for one in dropped:
        console.print(f"已捨棄 dropped: {one.text.splitlines()[0]} … {one.reason}", markup=False)
    if problem is not None:
        console.print(f"模型沒有寫 the model did not write: {problem}", markup=False)


def _notice_words(notice: Notice) -> str:
    if notice.kind == "approval":
        return f"須審核 needs approval: {notice.words}（{notice.why}）"
    if notice.kind == "worn":
        return f"近來常用 worn: {notice.words} × {notice.count}"
    return f"與近期訊息相似 much like a recent message: {notice.words.splitlines()[0][:30]}"
