"""`retarget rule`: check and save rules, see how many they match, and why somebody is in or not."""

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, select
from sqlmodel import Session

from campaigns.planning.rule_users import forget_rule
from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS, Facts
from segmentation.reading import read_facts
from segmentation.rules.explain import Explained
from segmentation.rules.explain import why as explain
from segmentation.rules.naming import campaign_names
from segmentation.rules.preview import count_matching
from segmentation.rules.reading import Names, read_rule
from segmentation.rules.references import References, expanded
from segmentation.rules.saved import list_rules, load_rules, rule_named, save_rule
from segmentation.rules.schema import rule_schema
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule, RuleReference, to_builtins
from segmentation.rules.wording import Language, found_words, sentence
from segmentation.snapshot import newest_snapshot, read_snapshot, written_at
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.days import day_option
from service.settings import Settings
from store.clock import system_clock, today
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import Customer, Tag

app = typer.Typer(help="Rules: check, save, count, and why.", no_args_is_help=True, add_completion=False)

File = Annotated[str, typer.Argument(metavar="FILE", help="A JSON file with the rule; - reads standard input.")]
ACTOR = "command line"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The rule's name.")]
Given = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A saved rule's name, or a .json file (- for stdin).")]
AsOf = Annotated[str | None, typer.Option(help="Count what happened before this day; tomorrow when left out: all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def check(file: File, as_json: AsJson = False) -> None:
    """Say whether a rule can be used, and what it means in words. Saves nothing."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        _show(session, _checked(session, _text(file)), as_json)


@app.command()
def save(name: Name, file: File, as_json: AsJson = False) -> None:
    """Save a rule by a name, in place of the one of that name. Tags that follow it are computed anew by the worker."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        saving = save_rule(session, name, _text(file), system_clock(), actor=ACTOR)
        _show(session, saving.rule, as_json)


@app.command("list")
def list_saved(as_json: AsJson = False) -> None:
    """Every saved rule in words."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = [(one, _words(session, one.rule)) for one in list_rules(session)]
    if as_json:
        print_json([{"name": one.name, "updated_at": one.updated_at, **words} for one, words in found])
        return
    table = Table("名稱 rule", "條件", "condition")
    for one, words in found:
        table.add_row(one.name, words["chinese"], words["english"])
    Console().print(table)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """One saved rule: in words, and its JSON."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = rule_named(session, name)
        _show(session, found.rule, as_json)
    if not as_json:
        print_json(to_builtins(found.rule))


@app.command()
def count(rule: Given, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """How many customers a rule matches: by the newest snapshot of the facts, or the database before the first."""
    settings = settings_for_command()
    day = _day(as_of, settings)
    with opened_database(settings) as engine:
        with reading(engine) as session:
            asked, references = _asked(session, rule)
            words = _words(session, asked)
        with open_duckdb(settings.zone) as connection:
            facts, source = _facts(connection, engine, settings)
            found = count_matching(connection, facts, asked, day, settings.zone, references)
    if as_json:
        print_json({**vars(found), "as_of": day, "source": source, **words})
        return
    typer.echo(words["chinese"])
    typer.echo(words["english"])
    typer.echo(f"{found.matching:,} of {found.customers:,} customers, as of {day}, by {source}")


@app.command("why")
def why_command(
    rule: Given,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="A member id; with --id, one of this service.")],
    by_id: Annotated[bool, typer.Option("--id", help="The customer is named by this service's id.")] = False,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Why a customer is in a rule or not: each part of it, what was found, and whether it holds."""
    settings = settings_for_command()
    day = _day(as_of, settings)
    with opened_database(settings) as engine:
        with reading(engine) as session:
            asked, references = _asked(session, rule)
            customer_id = _customer_id(session, customer, by_id)
        with open_duckdb(settings.zone) as connection:
            facts = read_facts(connection, engine, *_needed(), customer_ids=[customer_id])
            found = explain(connection, facts, asked, customer_id, day, settings.zone, references)
        with reading(engine) as session:
            told = _told(session, found)
    if as_json:
        print_json({"customer_id": customer_id, "as_of": day, **told})
        return
    for line in _lines(found, told, 0):
        typer.echo(line)


@app.command()
def schema() -> None:
    """The JSON Schema of rules (also in docs/rules.schema.json)."""
    print_json(rule_schema())


@app.command()
def delete(name: Name) -> None:
    """Forget a saved rule that no tag, other rule, campaign that isn't over, open draft or view needs."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        forget_rule(session, name)
    typer.echo(f"deleted the rule {name}")


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the rule file {file} can't be read: {error}") from error


def _checked(session: Session, text: str) -> Rule:
    """A rule that may be used with what is saved. Raises RuleError."""
    rules = load_rules(session)
    rule = read_rule(text, Names(rules=rules, tags=set(session.scalars(select(table_of(Tag).c.name)))))
    expanded(rule, References(rules))
    return rule


def _asked(session: Session, given: str) -> tuple[Rule, References]:
    if given == "-" or given.endswith(".json"):
        return _checked(session, _text(given)), References(load_rules(session))
    rule_named(session, given)
    return RuleReference(name=given), References(load_rules(session))


def _customer_id(session: Session, given: str, by_id: bool) -> int:
    customer = table_of(Customer)
    if by_id and not given.isdecimal():
        raise BadInput(f"{given!r} is not an id of this service: those are numbers")
    named = customer.c.id == int(given) if by_id else customer.c.member_id == given
    found = session.scalar(select(customer.c.id).where(named))
    if found is None:
        raise NotFound(f"there is no customer {given!r}")
    return int(found)


def _day(text: str | None, settings: Settings) -> date:
    return day_option(text) if text else today(system_clock, settings.zone) + timedelta(days=1)


def _needed() -> list[str]:
    """Every table but people's words, which no rule reads."""
    return [name for name in SCHEMAS if name != "words"]


def _facts(connection: Any, engine: Engine, settings: Settings) -> tuple[Facts, str]:
    """The facts to count in, and where they are from."""
    generation = newest_snapshot(settings.snapshot_folder)
    if generation is None:
        return read_facts(connection, engine, *_needed()), "the database"
    written = written_at(generation).astimezone(settings.zone)
    return read_snapshot(connection, settings.snapshot_folder), f"the snapshot of {written:%Y-%m-%d %H:%M}"


def _words(session: Session, rule: Rule) -> dict[str, Any]:
    names = campaign_names(session, rule)
    return {
        "rule": to_builtins(rule),
        "chinese": sentence(rule, "zh", names),
        "english": sentence(rule, "en", names),
    }


def _show(session: Session, rule: Rule, as_json: bool) -> None:
    words = _words(session, rule)
    if as_json:
        print_json(words)
        return
    typer.echo(words["chinese"])
    typer.echo(words["english"])


def _told(session: Session, found: Explained) -> dict[str, Any]:
    words = {"path": found.path, "holds": found.holds, "found": found.found, **_words(session, found.asked)}
    return {**words, "parts": [_told(session, part) for part in found.parts]}


def _lines(found: Explained, told: dict[str, Any], depth: int) -> Iterator[str]:
    """The tree as text; `told` as `_told` gives it."""
    mark, indent = "✓" if found.holds else "✗", "  " * depth
    if isinstance(found.asked, AllOf | AnyOf | NotOf):
        names: dict[type, str] = {AllOf: "全部符合 all of", AnyOf: "任一符合 any of", NotOf: "不符合 not"}
        yield f"{indent}{mark} {names[type(found.asked)]}"
    else:
        languages: tuple[Language, Language] = ("zh", "en")
        values = dict.fromkeys(found_words(found.asked, found.found, language) for language in languages)
        asked = f"{told['chinese']} / {told['english']}"
        yield f"{indent}{mark} {asked}" + ("" if found.parts else f": {' / '.join(values)}")
    for part, inner in zip(found.parts, told["parts"], strict=True):
        yield from _lines(part, inner, depth + 1)
