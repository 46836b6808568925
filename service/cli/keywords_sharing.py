"""`retarget keywords export` and `schedule`: the report for others, as a file and on a schedule."""

from datetime import UTC
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console
from rich.table import Table

from console.keywords.report_file import ENDINGS, note_export, write_report
from keywords.sharing.deliveries import newest_deliveries
from keywords.sharing.parts import report_parts
from keywords.sharing.schedule import NAME, change_settings, read_settings
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.keywords_choices import changes_of, show_choices
from service.cli.keywords_writing import AsJson
from service.cli.learned import learned_database
from store.choices import chosen
from store.clock import system_clock
from store.engine import reading, transaction

_LISTED = 20  # deliveries shown, the newest


def register(app: typer.Typer) -> None:
    """Add the commands to the group `keywords`."""
    app.command("export")(export_command)
    app.command("schedule")(schedule_command)


def export_command(
    out: Annotated[Path, typer.Argument(help=f"File to write; its ending says what: {', '.join(ENDINGS)}.")],
    theme: Annotated[str | None, typer.Option(help="Only messages filed under this theme.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only recipients of this segment.")] = None,
) -> None:
    """Write the report to a table or to one page that may be passed on: all, each theme, each segment. Audited."""
    settings, now = settings_for_command(), system_clock()
    with learned_database(settings) as engine:
        with reading(engine) as session:
            parts = report_parts(session, theme=theme, segment=segment)
        rows = write_report(out, parts, made_at=now, zone=settings.zone)
        with transaction(engine) as session:
            note_export(session, out, rows, actor="command line", now=now)
    click.echo(f"{rows} rows of {len(parts)} parts written to {out}", err=True)


def schedule_command(
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, or NAME= to go back to the default: every=week. Repeat it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show or change who gets the report when, by LINE or as files; and what became of the last ones. Audited."""
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        if changes:
            wanted = changes_of(changes, lists=("marketers",))
            change_settings(session, wanted, actor="command line", now=system_clock())
        now, own = read_settings(session).model_dump(mode="json"), chosen(session, NAME)
        sent = newest_deliveries(session, _LISTED)
    if as_json:
        print_json({"settings": now, "chosen": sorted(own), "deliveries": [vars(one) for one in sent]})
        return
    show_choices(now, own)
    if sent:
        became = Table("period", "recipient", "state", "at (UTC)", "problem")
        for row in sent:
            at = row.done_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if row.done_at else ""
            became.add_row(row.period, row.recipient, row.state, at, row.problem or "")
        Console().print(became)
