"""`retarget tag`: make tags, put them on and take them off, and see whose they are and why."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlmodel import Session

from segmentation.rfm import start_of_day
from segmentation.tags import catalogue, hand
from segmentation.tags.definitions import COMPUTED, GROUP_TAGS, Kind
from segmentation.tags.history import (
    Assignment,
    assignments_of,
    members_at,
    newest_sizes,
    size_now,
    sizes_on_days,
    tags_of,
)
from segmentation.tags.measures import MEASURES
from service.cli import tag_preferences
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.days import day_option
from store.asked import SEGMENTS, ask_for
from store.clock import system_clock, today
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import Customer, Tag

app = typer.Typer(help="Tags: make, put on, take off, and why.", no_args_is_help=True, add_completion=False)
tag_preferences.register(app)

ACTOR = "command line"
DAYS_SHOWN = 14

Name = Annotated[str, typer.Argument(metavar="NAME", help="The tag's name.")]
Members = Annotated[list[str], typer.Argument(metavar="CUSTOMER…", help="Member ids; with --ids, ids of this service.")]
Member = Annotated[str, typer.Argument(metavar="CUSTOMER", help="A member id; with --ids, an id of this service.")]
ByIds = Annotated[bool, typer.Option("--ids", help="Customers are named by this service's ids.")]
Note = Annotated[str | None, typer.Option(help="Why, for the history.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RuleFile = Annotated[Path | None, typer.Option(help="A JSON file with the rule (see docs/rules.md).")]


@app.command("list")
def list_tags(as_json: AsJson = False) -> None:
    """Every tag: what it states, who puts it on, and how many had it when everybody was last computed."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        tags, sizes = catalogue.all_tags(session), newest_sizes(session)
    if as_json:
        print_json([{**_described(one), "customers": sizes.get(one.name)} for one in tags])
        return
    table = Table("名稱 tag", "kind", "line", "source", "人數 customers", "problem")
    for one in tags:
        problem = one.problem or ("" if one.is_active else "switched off")
        table.add_row(one.name, one.kind, one.line, one.source, f"{sizes.get(one.name, '')}", problem)
    Console().print(table)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """One tag: its definition, where its line lies, how many have it now and had it on the last days."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = catalogue.tag_named(session, name)
        people, days = size_now(session, name), sizes_on_days(session, name)[-DAYS_SHOWN:]
    sizes = [{"as_of": day.as_of, "customers": day.customers, "value": day.value} for day in days]
    if as_json:
        print_json({**_described(found), "customers": people, "sizes": sizes})
        return
    for key, value in {**_described(found), "customers": people}.items():
        typer.echo(f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}")
    for day in sizes:
        typer.echo(f"  {day['as_of']}: {day['customers']:,} customers, who have paid {day['value']:,}")


@app.command()
def create(
    name: Name,
    rule: Annotated[str | None, typer.Option(help="On while this saved rule holds.")] = None,
    when: RuleFile = None,
    until_rule: Annotated[str | None, typer.Option(help="Then kept until this saved rule holds.")] = None,
    until: RuleFile = None,
    measure: Annotated[str | None, typer.Option(help=f"A line over one of {', '.join(MEASURES)}.")] = None,
    top_percent: Annotated[str | None, typer.Option(help="The top so many percent of those who have it.")] = None,
    bottom_percent: Annotated[str | None, typer.Option(help="The bottom so many percent.")] = None,
    above_mean: Annotated[bool, typer.Option("--above-mean", help="All above the mean.")] = False,
    at_least: Annotated[str | None, typer.Option(help="This value or more.")] = None,
    at_most: Annotated[str | None, typer.Option(help="This value or less.")] = None,
    group: Annotated[str | None, typer.Option(help=f"One of the groups {', '.join(GROUP_TAGS)}.")] = None,
    kind: Annotated[str | None, typer.Option(help="What it states: fact, model or predictive.")] = None,
    foretells: Annotated[str | None, typer.Option(help="What a rule's people will do: buys or churns.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a tag: by rule, by a line over a measure, of a group; with none of them, one that people put on."""
    lines = {"top_percent": top_percent, "bottom_percent": bottom_percent, "at_least": at_least, "at_most": at_most}
    rules = {"rule": rule, "when": _json(when), "until_rule": until_rule, "until": _json(until), "foretells": foretells}
    measures = {"measure": measure, **lines, "above_mean": above_mean or None}
    source, definition = _definition({"rule": rules, "measure": measures, "group": {"group": group}})
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        now = system_clock()
        made = catalogue.create_tag(session, name, source=source, definition=definition, kind=_kind(kind), now=now)
        _ask(session, source)
    if as_json:
        print_json(_described(made))
        return
    on = "people put it on" if source == "hand" else "the worker computes it now"
    typer.echo(f"tag {made.name} ({made.kind}, {made.line}, {made.source}): {on}")


def _definition(given: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The source that the options speak of, and its definition; `hand` when they say nothing."""
    said = {source: {k: v for k, v in parts.items() if v is not None} for source, parts in given.items()}
    sources = [source for source, parts in said.items() if parts]
    if len(sources) > 1:
        raise BadInput(f"a tag has one source, not {' and '.join(sources)}")
    return (sources[0], said[sources[0]]) if sources else ("hand", {})


def _kind(name: str | None) -> Kind | None:
    kinds: tuple[Kind, ...] = get_args(Kind)
    found = [kind for kind in kinds if kind == name]
    if name is not None and not found:
        raise BadInput(f"--kind {name!r} must be one of {', '.join(kinds)}")
    return found[0] if found else None


@app.command()
def put(
    name: Name,
    customers: Members,
    by_ids: ByIds = False,
    note: Note = None,
    until: Annotated[str | None, typer.Option(help="The day on which it comes off by itself, YYYY-MM-DD.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a tag of people on customers; who has it keeps it."""
    settings = settings_for_command()
    now = system_clock()
    with opened_database(settings) as engine, transaction(engine) as session:
        changed = hand.put_on(
            session,
            name,
            _ids(session, customers, by_ids),
            actor=ACTOR,
            now=now,
            note=note,
            until=None if until is None else day_option(until, "--until"),
            today=today(system_clock, settings.zone),
        )
    _print_count(changed, "put on", name, as_json)


@app.command()
def take(name: Name, customers: Members, by_ids: ByIds = False, note: Note = None, as_json: AsJson = False) -> None:
    """Take a tag of people off customers."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        ids = _ids(session, customers, by_ids)
        changed = hand.take_off(session, name, ids, actor=ACTOR, now=system_clock(), note=note)
    _print_count(changed, "taken off", name, as_json)


@app.command()
def members(
    name: Name,
    at: Annotated[str | None, typer.Option(help="Who had it at the start of this day, YYYY-MM-DD; else now.")] = None,
    as_json: AsJson = False,
) -> None:
    """The ids of the customers who have a tag, or had it at the start of a day."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = members_at(session, name, None if at is None else start_of_day(day_option(at, "--at"), settings.zone))
    if as_json:
        print_json(found)
        return
    for customer_id in found:
        typer.echo(customer_id)


@app.command()
def history(customer: Member, by_ids: ByIds = False, as_json: AsJson = False) -> None:
    """A customer's tags, now and before."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = tags_of(session, _ids(session, [customer], by_ids)[0])
    _print_assignments(found, settings.zone, as_json)


@app.command()
def why(name: Name, customer: Member, by_ids: ByIds = False, as_json: AsJson = False) -> None:
    """Why a customer has a tag, or had it and no longer has: the evidence of each time that it was on."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = assignments_of(session, name, _ids(session, [customer], by_ids)[0])
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        typer.echo(f"{name} was never on this customer")
    for one in found:
        typer.echo(_line(one, settings.zone))
        typer.echo(f"  put on because {json.dumps(one.evidence, ensure_ascii=False)}")
        if one.off_evidence is not None:
            typer.echo(f"  came off because {json.dumps(one.off_evidence, ensure_ascii=False)}")


@app.command()
def activate(name: Name, as_json: AsJson = False) -> None:
    """Let a tag be put on and taken off again."""
    _switch(name, True, as_json)


@app.command()
def deactivate(name: Name, as_json: AsJson = False) -> None:
    """Leave a tag where it is: nothing is put on or taken off any more."""
    _switch(name, False, as_json)


def _switch(name: str, is_active: bool, as_json: bool) -> None:
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        found = catalogue.set_active(session, name, is_active=is_active)
        if is_active:
            _ask(session, found.source)
    if as_json:
        print_json(_described(found))
        return
    typer.echo(f"tag {name} is switched {'on' if is_active else 'off'}")


def _ask(session: Session, source: str) -> None:
    """Have everybody's tags judged anew, where a computation puts the tag on."""
    if source in COMPUTED:
        ask_for(session, SEGMENTS, actor=ACTOR, now=system_clock(), anew=True)


def _described(tag: Tag) -> dict[str, Any]:
    names = ("name", "kind", "line", "source", "definition", "cut", "is_active", "created_at", "computed_at", "problem")
    return {name: getattr(tag, name) for name in names}


def _json(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise BadInput(f"{path} must hold a JSON object")
    return read


def _ids(session: Session, given: list[str], by_ids: bool) -> list[int]:
    """The ids of customers named on the command line. Raises NotFound, naming the first unknown one."""
    customer = table_of(Customer)
    column = customer.c.id if by_ids else customer.c.member_id
    if by_ids and not all(one.isdecimal() and int(one) < 2**63 for one in given):
        raise BadInput("with --ids, customers are named by whole numbers")
    wanted: list[Any] = [int(one) for one in given] if by_ids else list(given)
    rows = session.execute(select(column.label("named"), customer.c.id).where(column.in_(wanted)))
    found = {row.named: row.id for row in rows}
    for one in wanted:
        if one not in found:
            raise NotFound(f"there is no customer {one!r}")
    return [found[one] for one in wanted]


def _print_count(changed: int, what: str, name: str, as_json: bool) -> None:
    if as_json:
        print_json({"tag": name, "changed": changed})
        return
    typer.echo(f"{name} {what}: {changed} customers")


def _print_assignments(found: list[Assignment], zone: ZoneInfo, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        typer.echo(_line(one, zone))


def _line(one: Assignment, zone: ZoneInfo) -> str:
    since = f"{one.since.astimezone(zone):%Y-%m-%d %H:%M}"
    if one.until is not None:
        return f"{one.tag} ({one.source}): from {since} until {one.until.astimezone(zone):%Y-%m-%d %H:%M}"
    day = f", falls off on {one.falls_off_on}" if one.falls_off_on else ""
    return f"{one.tag} ({one.source}): since {since}, strength {one.strength:.2f}{day}"
