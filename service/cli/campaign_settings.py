"""`retarget campaign settings`: what the brand has chosen for all its campaigns."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from campaigns.settings import change_settings, chosen, read_settings
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import transaction
from store.errors import BadInput


def register(app: typer.Typer) -> None:
    """Add the command to the group `campaign`."""
    app.command("settings")(settings)


def settings(
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, or NAME= to go back to the default; repeat it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Show or change the brand's rules for all campaigns: quiet hours, block limit, consent to ads … Audited."""
    wanted = dict(_change(words) for words in changes or ())
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        if wanted:
            change_settings(session, wanted, actor="command line", now=system_clock())
        now, own = read_settings(session).as_dict(), chosen(session)
    if as_json:
        print_json({"settings": now, "chosen": sorted(own)})
        return
    table = Table("setting", "value", "")
    for name, value in now.items():
        table.add_row(name, "none" if value is None else str(value), "chosen" if name in own else "default")
    Console().print(table)


def _change(words: str) -> tuple[str, Any]:
    name, sign, value = words.partition("=")
    if not sign:
        raise BadInput(f"{words!r} is not NAME=VALUE")
    if value == "":
        return name, None
    try:
        return name, json.loads(value, parse_float=str)
    except ValueError:
        return name, value  # plain words
