"""The `retarget` command: one typed command line for everything, one file per group of commands.

A command's file is imported only when that command is asked for: together they bring in every library that we have.
Every expected failure is one sentence on standard error and exit code 1; a wrong command line is exit code 2.
"""

import sys
from importlib import import_module
from typing import Any

import click
import typer
from sqlalchemy.exc import ArgumentError, OperationalError
from typer.core import TyperGroup
from typer.main import get_command

from store.errors import ExpectedError

# Command -> the file in this folder that has it, in the order of the help.
COMMANDS = {
    "up": "running",
    "serve": "running",
    "worker": "running",
    "demo": "demo",
    "simulator": "simulator",
    "db": "database",
    "user": "user",
    "import": "imports",
    "customer": "customer",
    "sample": "sample",
    "product": "product",
    "segment": "segment",
    "rule": "rule",
    "tag": "tag",
    "list": "lists",
    "predict": "predict",
    "demand": "demand",
    "campaign": "campaign",
    "experiment": "experiment",
    "quota": "quota",
    "link": "link",
    "keywords": "keywords",
    "bench": "bench",
}


class LazyCommands(TyperGroup):
    """A group whose commands are imported when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of COMMANDS, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None for an unknown name. A file has a group of its own as `app`, or adds single commands
        by `register`."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"service.cli.{COMMANDS[cmd_name]}")
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
