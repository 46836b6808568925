"""`retarget campaign preview`: how many an audience means, and who they are, before anything is saved."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from campaigns.audience.preview import Preview, preview
from campaigns.audience.target import KINDS, Audience
from console.words.catalog import translate
from console.words.names import REASONS
from service.channels import channel_ids, channel_named
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock


def register(app: typer.Typer) -> None:
    """Add the command to `retarget campaign`."""
    app.command("preview")(show_preview)


def show_preview(
    to: Annotated[list[str], typer.Option(help=f"Whom: {KINDS}, or rule:{{…}}; repeat it: any of these.")],
    without: Annotated[list[str] | None, typer.Option(help="Whom to leave out, in the same words; repeat it.")] = None,
    channel: Annotated[str | None, typer.Option(help="Which LINE account, if there are several.")] = None,
    priority: Annotated[int, typer.Option(help="The campaign's priority.")] = 0,
    uncapped: Annotated[bool, typer.Option("--uncapped", help="A service message: no cap holds for it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Count an audience, and show ten of it with why each would be skipped now. Saves nothing."""
    settings = settings_for_command()
    named = channel_named(settings, channel)
    with opened_database(settings) as engine:
        found = preview(
            engine,
            Audience(tuple(to), tuple(without or ())),
            snapshot_folder=settings.snapshot_folder,
            channel_id=channel_ids(engine, settings)[named.name],
            is_capped=not uncapped,
            priority=priority,
            zone=settings.zone,
            clock=system_clock,
        )
    if as_json:
        print_json(found.to_json())
        return
    _show(found)


def _show(found: Preview) -> None:
    by = "the database" if found.counted_at is None else f"the snapshot of {found.counted_at:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{found.people:,} people, by {by}; those who are skipped are among them")
    table = Table("id", "會員 member", "姓名 name", "分群 segment", "略過 skipped")
    for one in found.first:
        why = "" if one.reason is None else f"{REASONS[one.reason]} {translate(REASONS[one.reason], 'en')}"
        table.add_row(str(one.customer_id), one.member_id or "–", one.name or "–", one.segment or "–", why)
    Console().print(table)
