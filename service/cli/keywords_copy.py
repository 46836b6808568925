"""`retarget keywords copy` and `settings`: whole lines for a theme, and the brand's rules for them."""

import json
import sys
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from keywords.copy.compose import AT_LEAST, Dropped, Line, Wanted, compose, judge_written
from keywords.copy.data import FORMS
from keywords.copy.facts import Given
from keywords.copy.judging import Ground, Notice
from keywords.copy.recent import recent_texts
from keywords.copy.settings import NAME, change_settings, read_settings
from keywords.copy.shown import Shown, log_shown
from keywords.copy.suggestion import Mode
from keywords.copy.writer import Writer, WriterFailed
from keywords.effects.current import current_learning
from keywords.effects.learning import Learning
from keywords.effects.prediction import Situation
from keywords.text.brand import brand_tokenizer
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.keywords_writing import AsJson, At, Segment, moment_of, odds, rate_words
from service.cli.learned import learned_database
from service.settings import Settings
from store.choices import chosen
from store.clock import system_clock
from store.engine import reading, transaction
from store.errors import BadInput

_WEAK = 10  # terms that cost clicks, for the writer to avoid


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
        learning, ground = _read(engine, settings, given, segment, system_clock())
        lines = compose(wanted, learning, ground, np.random.default_rng(seed))
        with transaction(engine) as session:
            shown = [Shown("line", line.text, line.terms, line.propensity or 1.0) for line in lines]
            log_shown(session, shown, theme=theme, mode=mode, by="command line", now=system_clock())
    written, dropped, problem = _ask_writer(settings, wanted, learning, ground, lines) if writer else ([], [], None)
    if as_json:
        found = {"lines": [asdict(line) for line in [*lines, *written]], "dropped": [vars(one) for one in dropped]}
        print_json({**found, "writer_problem": problem})
    else:
        _show([*lines, *written], dropped, problem)


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
            wanted = dict(change_of(words, lists=("blocked", "approval", "cleared")) for words in changes)
            change_settings(session, wanted, actor="command line", now=system_clock())
        now, own = read_settings(session).model_dump(mode="json"), chosen(session, NAME)
    if as_json:
        print_json({"settings": now, "chosen": sorted(own)})
        return
    table = Table("setting", "value", "")
    for name, value in now.items():
        said = "、".join(value) if isinstance(value, list) else str(value)
        table.add_row(name, said, "chosen" if name in own else "default")
    Console().print(table)


def change_of(words: str, *, lists: Collection[str]) -> tuple[str, Any]:
    """The setting and value of NAME=VALUE, a value of None for NAME=; those of `lists` have words between commas.
    Raises BadInput."""
    name, sign, value = words.partition("=")
    if not sign:
        raise BadInput(f"{words!r} is not NAME=VALUE")
    if value == "":
        return name, None
    if name in lists:
        return name, [word.strip() for word in value.replace("，", ",").replace("、", ",").split(",") if word.strip()]
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _read(
    engine: Engine, settings: Settings, given: Given, segment: str | None, now: datetime
) -> tuple[Learning | None, Ground]:
    with reading(engine) as session:
        rules = read_settings(session)
        since = now - timedelta(days=rules.worn_days)
        recent = recent_texts(session, given.tokenizer, since=since, segment=segment)
        return current_learning(session), Ground(given, rules, recent)


def _ask_writer(
    settings: Settings, wanted: Wanted, learning: Learning | None, ground: Ground, lines: list[Line]
) -> tuple[list[Line], list[Dropped], str | None]:
    """The writer's lines, those that broke a rule, and why it didn't write; all empty where there is none."""
    if not settings.copy_model_url:
        return [], [], None
    writer = Writer(
        settings.copy_model_url,
        settings.copy_model_name,
        settings.copy_model_key.get_secret_value(),
        settings.copy_model_timeout_seconds,
    )
    weak: list[str] = []
    if learning is not None:
        order = np.argsort(learning.fit.effect)[:_WEAK]
        weak = [learning.terms[i] for i in order if learning.fit.high[i] < 0]
    try:
        written = writer.write(wanted, ground, lines, weak)
    except WriterFailed as error:
        return [], [], str(error)
    return *judge_written(written, wanted, learning, ground), None


def _show(lines: list[Line], dropped: list[Dropped], problem: str | None) -> None:
    console = Console(file=sys.stdout)
    table = Table(title="文案 Copy", show_lines=True)
    for heading in ("文案 line", "預測點擊率 predicted rate", "用詞 terms", "注意 notices"):
        table.add_column(heading)
    for line in lines:
        rate = rate_words(line.prediction) if line.prediction else "還沒有發送結果 nothing sent yet"
        terms = " ".join(f"{part.term}{odds(part.effect)}" if part.messages else f"{part.term}?" for part in line.parts)
        source = "" if line.by == "template" else "（模型 by the model）"
        table.add_row(line.text + source, rate, terms, "\n".join(_notice_words(one) for one in line.notices))
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
