"""The `retarget` command: one typed command line for everything, one file per group of commands.

A command's file is imported only when that command is asked for: together they bring in every library that we have,
which takes seconds.
Every expected failure is one sentence on standard error and exit code 1; a wrong command line is exit code 2.
"""

import sys
from importlib import import_module
from typing import Any

import click
import typer
from sqlalchemy.exc import ArgumentError, OperationalError
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from store.errors import ExpectedError

# Command -> the file in this folder that has it, and what it does in one line, in the order of the help.
COMMANDS = {
    "up": ("running", "Run web server and worker together, for one machine."),
    "serve": ("running", "Run the web server: webhook, tracked links and console, at HOST and PORT."),
    "worker": ("running", "Run the scheduler and the sending."),
    "demo": ("demo", "Play the whole loop with a simulated LINE."),
    "simulator": ("simulator", "Serve a LINE look-alike with people living in it, until Ctrl-C."),
    "db": ("database", "The database's schema."),
    "user": ("user", "Who may sign in to the console: invite, list, disable."),
    "import": ("imports", "Customers, orders, products and events from CSV, Excel, Parquet or JSON lines files."),
    "customer": ("customer", "One person's data: all of it as JSON, or erased."),
    "sample": ("sample", "Sample data: loaded and removed whole."),
    "product": ("product", "Labels for products: proposed from their words, approved by a person."),
    "segment": ("segment", "RFM and NESL segments: compute, show, who moved, settings, or from plain files."),
    "rule": ("rule", "Rules: check, save, count, and why."),
    "tag": ("tag", "Tags: make, put on, take off, and why."),
    "list": ("lists", "Lists of people, as audiences."),
    "predict": ("predict", "Chance to buy, expected orders and spend, learned from the brand's own orders."),
    "demand": ("demand", "What growing segments and tags look at, tap, ask for and buy."),
    "campaign": ("campaign", "Plan, look at and steer campaigns."),
    "experiment": ("experiment", "Plan and judge experiments."),
    "quota": ("quota", "Messages left this month, by LINE's figure and by ours, and the plan."),
    "link": ("link", "Links for a shop's wall: made, listed, printed as QR codes."),
    "keywords": ("keywords", "Which words bring clicks, with honest intervals, and what to write next."),
    "bench": ("bench", "Measure, and say whether the goals of docs/benchmarks.md are met."),
}


class LazyCommands(TyperGroup):
    """A group whose commands are imported when asked for, and for its own help not at all."""

    _is_told = False  # while the help is being written

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, by the lines of COMMANDS."""
        self._is_told = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_told = False

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of COMMANDS, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None for an unknown name. A file has a group of its own as `app`, or adds single commands
        by `register`."""
        if cmd_name not in COMMANDS:
            return None
        file, line = COMMANDS[cmd_name]
        if self._is_told:
            return TyperCommand(cmd_name, help=line)
        module = import_module(f"service.cli.{file}")
        if hasattr(module, "app"):
            group = get_command(module.app)
            group.name = cmd_name
            return group
        singles = typer.Typer(add_completion=False)
        singles.callback()(_nothing)  # with a callback Typer keeps a group even around a single command
        module.register(singles)
        return get_command(singles).commands[cmd_name]  # type: ignore[attr-defined]


def _nothing() -> None:
    """Only keeps single commands in a group."""


app = typer.Typer(
    name="retarget",
    help="Retargeting for LINE Official Accounts.",
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.callback()(_nothing)


def main() -> None:
    """Run the command line; the console script `retarget`."""
    try:
        app()
    except ExpectedError as error:
        click.echo(f"retarget: {error}", err=True)
        sys.exit(error.exit_code)
    except (OperationalError, ArgumentError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        click.echo(f"retarget: the database at DATABASE_URL can't be used: {reason}", err=True)
        sys.exit(1)
