"""`retarget sample`: a small brand to look at, loaded and removed whole."""

import typer

from service.channels import channel_ids
from service.cli.context import opened_database, settings_for_command
from service.sample.load import load_sample
from service.sample.remove import remove_sample
from store.clock import system_clock

app = typer.Typer(help="Sample data: loaded and removed whole.", no_args_is_help=True)

ACTOR = "command line"


@app.command("load")
def load() -> None:
    """Load a small brand: customers, products, orders, events and past campaigns with taps. Nothing is ever sent to its
    people. Refused while it is in."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        channel_ids(engine, settings)  # the brand's own channels come first
        counts = load_sample(engine, zone=settings.zone, currency=settings.currency, actor=ACTOR, clock=system_clock)
    typer.echo(f"loaded {', '.join(f'{count:,} {name}' for name, count in counts.items())}")


@app.command("remove")
def remove() -> None:
    """Remove the sample and all that hangs on it; what is the brand's own stays."""
    with opened_database(settings_for_command()) as engine:
        removed = remove_sample(engine, actor=ACTOR, clock=system_clock)
    typer.echo(f"removed {removed:,} rows")
