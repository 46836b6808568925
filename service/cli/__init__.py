"""The `retarget` command: one typed command line for everything, one file per group of commands.

Every expected failure is one sentence on standard error and exit code 1; a wrong command line is exit code 2.
"""

import sys

import click
import typer

from service.cli import campaign, database, demo, imports, keywords, running, segment, simulator
from store.errors import ExpectedError

app = typer.Typer(
    name="retarget",
    help="Retargeting for LINE Official Accounts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
running.register(app)
demo.register(app)
app.add_typer(database.app, name="db")
app.add_typer(imports.app, name="import")
app.add_typer(segment.app, name="segment")
app.add_typer(campaign.app, name="campaign")
app.add_typer(keywords.app, name="keywords")
simulator.register(app)


def main() -> None:
    """Run the command line; the console script `retarget`."""
    try:
        app()
    except ExpectedError as error:
        click.echo(f"retarget: {error}", err=True)
        sys.exit(error.exit_code)
