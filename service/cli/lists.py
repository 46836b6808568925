"""`retarget list`: people put together from files, as audiences of campaigns."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from campaigns.audience.lists import delete_list, import_list, list_sizes, members_of
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.imports import finish, progress_bar
from store.clock import system_clock
from store.engine import reading

app = typer.Typer(help="Lists of people, as audiences.", no_args_is_help=True, add_completion=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The list's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("import")
def import_file(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, Parquet or JSON lines with customer_id.")],
    refused: Annotated[Path | None, typer.Option(help="Write the refused rows there, as CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a list of the members in a file. Whoever is no customer is refused."""
    settings = settings_for_command()
    with opened_database(settings) as engine, progress_bar() as progress:
        report = import_list(
            engine, name, file, zone=settings.zone, clock=system_clock, progress=progress, refused_path=refused
        )
    finish(report, "people", as_json=as_json)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Every list and how many are on it."""
    with opened_database(settings_for_command()) as engine, reading(engine) as session:
        found = list_sizes(session)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table("名稱 list", "人數 people", "建立 made")
    for one in found:
        table.add_row(one.name, f"{one.people:,}", f"{one.created_at:%Y-%m-%d}")
    Console().print(table)


@app.command()
def show(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many people to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The first people on a list."""
    with opened_database(settings_for_command()) as engine, reading(engine) as session:
        found = members_of(session, name, limit=limit)
    if as_json:
        print_json([{"customer_id": who, "member_id": member_id, "name": called} for who, member_id, called in found])
        return
    table = Table("id", "會員 member", "姓名 name")
    for who, member_id, called in found:
        table.add_row(str(who), member_id or "–", called or "–")
    Console().print(table)


@app.command()
def delete(name: Name) -> None:
    """Forget a list that no campaign needs."""
    with opened_database(settings_for_command()) as engine:
        people = delete_list(engine, name, actor="command line", clock=system_clock)
    typer.echo(f"deleted the list {name} of {people:,} people")
