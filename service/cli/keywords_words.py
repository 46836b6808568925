"""`retarget keywords words`: the brand's own words, and whether words that say the same count as one."""

from collections.abc import Callable
from typing import Annotated

import click
import typer
from sqlmodel import Session

from keywords.text.brand import BrandWords, add_words, fold_words, read_words, remove_words
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.keywords_writing import AsJson
from store.clock import system_clock
from store.engine import reading, transaction

ACTOR = "command line"
Words = Annotated[list[str], typer.Argument(help="Words, such as 極潤賦活露; one with a space in quotes.")]

app = typer.Typer(help="The brand's own words, kept whole wherever its texts are cut.", no_args_is_help=True)


@app.command("add")
def add_command(words: Words) -> None:
    """Keep words whole: names of products, of campaigns, of people. All texts are cut anew by the next learning."""
    _change(lambda session: add_words(session, words, actor=ACTOR, now=system_clock()))


@app.command("remove")
def remove_command(words: Words) -> None:
    """Keep words whole no longer."""
    _change(lambda session: remove_words(session, words, actor=ACTOR, now=system_clock()))


@app.command("fold")
def fold_command(
    is_folded: Annotated[bool, typer.Argument(help="true: 特價, 優惠, 折扣 are one term; false: three.")],
) -> None:
    """Count variants of a word as one term, simplified characters as traditional ones; or no longer."""
    _change(lambda session: fold_words(session, is_folded, actor=ACTOR, now=system_clock()))


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the brand's own words."""
    with opened_database(settings_for_command()) as engine, reading(engine) as session:
        found = read_words(session)
    if as_json:
        print_json({"words": sorted(found.words), "is_folded": found.is_folded})
        return
    for word in sorted(found.words):
        click.echo(word)
    click.echo(_summary(found), err=True)


def _change(change: Callable[[Session], BrandWords]) -> None:
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        found = change(session)
    click.echo(_summary(found), err=True)


def _summary(found: BrandWords) -> str:
    return f"{len(found.words)} words of the brand's own; variants are {'' if found.is_folded else 'not '}folded"
