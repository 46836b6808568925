"""`retarget tag preferences`: the lines and weights by which preference tags go on and off."""

from typing import Annotated

import typer

from segmentation.preference.choices import NAME, change_choices, read_choices
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.keywords_choices import changes_of, show_choices
from store.choices import chosen
from store.clock import system_clock
from store.engine import transaction


def register(app: typer.Typer) -> None:
    """Add the command to the group `tag`."""
    app.command("preferences")(preferences)


def preferences(
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Settings to change; JSON for lines; NAME= for the default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show or change what preference tags are judged by. Audited; the worker takes it up within a minute."""
    wanted = changes_of(changes or (), lists=())
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        if wanted:
            change_choices(session, wanted, actor="command line", now=system_clock())
        now, own = read_choices(session).as_dict(), chosen(session, NAME)
    if as_json:
        print_json({"settings": now, "chosen": sorted(own)})
        return
    show_choices(now, own)
