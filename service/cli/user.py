"""`retarget user`: who may sign in to the console."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from console.access import users
from console.access.roles import Role
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading, transaction
from store.errors import NotFound

app = typer.Typer(help="Who may sign in to the console: invite, list, disable.", no_args_is_help=True)

ACTOR = "command line"
Email = Annotated[str, typer.Argument(help="The address of the account.")]


@app.command()
def invite(
    email: Email,
    role: Annotated[Role, typer.Option(help="What the account may do; kept as it is for one that exists.")] = (
        Role.MARKETER
    ),
    name: Annotated[str, typer.Option(help="What they are called.")] = "",
) -> None:
    """Print a link, good for one use within 48 hours, that lets somebody set a password: a new account, or one that
    forgot. Audited."""
    settings, now = settings_for_command(), system_clock()
    with opened_database(settings) as engine, transaction(engine) as session:
        one = users.user_by_email(session, email)
        if one is None:
            one = users.make_user(session, email=email, name=name, role=role, actor=ACTOR, now=now)
        token = users.invite(session, one, actor=ACTOR, now=now)
    typer.echo(f"{settings.public_base_url}/console/welcome/{token}")


@app.command("list")
def list_users(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False) -> None:
    """Show every account with its role and its last sign-in."""
    with opened_database(settings_for_command()) as engine, reading(engine) as session:
        found = [
            {
                "email": one.email,
                "name": one.name,
                "role": one.role,
                "last_login_at": one.last_login_at,
                "second_factor": one.totp_secret is not None,
                "disabled": one.disabled_at is not None,
            }
            for one in users.all_users(session)
        ]
    if as_json:
        print_json(found)
        return
    table = Table("email", "name", "role", "last sign-in", "")
    for one in found:
        state = "disabled" if one["disabled"] else "second factor" if one["second_factor"] else ""
        table.add_row(str(one["email"]), str(one["name"]), str(one["role"]), str(one["last_login_at"] or "–"), state)
    Console().print(table)


@app.command()
def disable(email: Email) -> None:
    """They can't sign in any more and are signed out at once. Never the last owner. Audited."""
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        one = users.user_by_email(session, email)
        if one is None or one.id is None:
            raise NotFound(f"there is no account {email}")
        users.disable(session, one.id, actor=ACTOR, now=system_clock())
