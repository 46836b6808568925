"""`retarget customer`: one person's data, taken away or erased."""

from typing import Annotated

import typer

from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.ids import CustomerId
from store.clock import system_clock
from store.engine import transaction
from store.erasure import erase_person
from store.persons import export_person

app = typer.Typer(help="One person's data: all of it as JSON, or erased.", no_args_is_help=True)

ACTOR = "command line"


@app.command("export-data")
def export_data(customer_id: CustomerId) -> None:
    """Print all that is stored of a customer as JSON. Audited."""
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        print_json(export_person(session, customer_id, actor=ACTOR, now=system_clock()))


@app.command()
def erase(
    customer_id: CustomerId,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Erase who a customer is and what they said; orders and deliveries stay, of nobody. Can't be undone. Audited."""
    if not yes:
        typer.confirm(f"erase customer {customer_id} for good?", abort=True)
    with opened_database(settings_for_command()) as engine, transaction(engine) as session:
        erase_person(session, customer_id, actor=ACTOR, now=system_clock())
    typer.echo(f"erased customer {customer_id}")
