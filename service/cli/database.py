"""`retarget db`: the schema."""

import typer

from service.cli.context import settings_for_command
from store.engine import open_engine
from store.migrate import upgrade

app = typer.Typer(help="The database's schema.", no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """The database's schema."""


@app.command("upgrade")
def upgrade_database() -> None:
    """Bring the database at DATABASE_URL to the newest schema. Repeating it changes nothing."""
    settings = settings_for_command()
    engine = open_engine(settings.database_url)
    upgrade(engine)
    typer.echo(f"{engine.url.render_as_string(hide_password=True)} is at the newest schema")
