"""`retarget import`: customers, orders, products and events from files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine
from sqlmodel import select

from service.cli.context import open_database, print_json, settings_for_command
from service.settings import Settings
from store.clock import system_clock
from store.engine import transaction
from store.errors import BadInput
from store.imports import ImportReport, import_customers, import_events, import_orders, import_products
from store.models import Channel

app = typer.Typer(
    help="Customers, orders, products and events from CSV, Excel, Parquet or JSON lines files.",
    no_args_is_help=True,
    add_completion=False,
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .xlsx, .parquet or .jsonl file.")]
RefusedOption = Annotated[
    Path | None, typer.Option("--refused", metavar="FILE", help="Write all refused rows and why to this CSV file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command("customers")
def customers(
    file: FileArgument,
    channel: Annotated[
        str | None, typer.Option(help="Channel of the line_user_id column; needed only when there are several.")
    ] = None,
    refused: RefusedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import customers: customer_id, optional line_user_id, name, gender, birthday, city, language, tags ("a;b");
    every other column becomes an attribute. An empty cell leaves what is stored."""
    with _opened() as (settings, engine), progress_bar() as progress:
        channel_id = _channel_id(engine, settings, channel)
        report = import_customers(
            engine,
            file,
            channel_id=channel_id,
            zone=settings.zone,
            clock=system_clock,
            progress=progress,
            refused_path=refused,
        )
    finish(report, "customers", as_json=as_json)


@app.command("orders")
def orders(file: FileArgument, refused: RefusedOption = None, as_json: JsonOption = False) -> None:
    """Import orders: order_id, customer_id, ordered_at, amount; optional status (paid, refunded, cancelled), total,
    currency (the brand's, CURRENCY, which an empty one means too; others are refused), coupon, and sku, quantity,
    unit_price, discount, with which each row is a part of its order."""
    with _opened() as (settings, engine), progress_bar() as progress:
        report = import_orders(
            engine,
            file,
            zone=settings.zone,
            clock=system_clock,
            progress=progress,
            refused_path=refused,
            currency=settings.currency,
        )
    finish(report, "orders", as_json=as_json)


@app.command("products")
def products(file: FileArgument, refused: RefusedOption = None, as_json: JsonOption = False) -> None:
    """Import products: sku, name; optional description, categories and labels ("a;b"), price, in_stock, url."""
    with _opened() as (settings, engine), progress_bar() as progress:
        report = import_products(
            engine, file, zone=settings.zone, clock=system_clock, progress=progress, refused_path=refused
        )
    finish(report, "products", as_json=as_json)


@app.command("events")
def events(file: FileArgument, refused: RefusedOption = None, as_json: JsonOption = False) -> None:
    """Import events of the brand's site: event_id, customer_id, kind (product_view, search, …), occurred_at; optional
    sku, topic, text (words searched for); every other column is kept with the event."""
    with _opened() as (settings, engine), progress_bar() as progress:
        report = import_events(
            engine, file, zone=settings.zone, clock=system_clock, progress=progress, refused_path=refused
        )
    finish(report, "events", as_json=as_json)


@contextmanager
def _opened() -> Iterator[tuple[Settings, Engine]]:
    """The settings and the database, closed at the end."""
    settings = settings_for_command()
    engine = open_database(settings)
    try:
        yield settings, engine
    finally:
        engine.dispose()


def _channel_id(engine: Engine, settings: Settings, name: str | None) -> int | None:
    """The row of the named channel, made if need be; of the only one when no name is given; else None."""
    names = [one.name for one in settings.channels]
    if name is not None and name not in names:
        raise BadInput(f"there is no channel {name!r}; the settings have {', '.join(names)}")
    if name is None and len(names) != 1:
        return None
    wanted = name or names[0]
    with transaction(engine) as session:
        channel = session.exec(select(Channel).where(Channel.name == wanted)).one_or_none()
        if channel is None:
            channel = Channel(name=wanted)
            session.add(channel)
            session.flush()
        return channel.id


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error when a person is looking; otherwise None."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("importing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def finish(report: ImportReport, noun: str, *, as_json: bool) -> None:
    """Print the report. Exit code 1 when rows were given and none could be used, else 0."""
    if as_json:
        print_json(report.to_json())
    else:
        _print(report, noun)
    if report.read and not report.added + report.changed + report.unchanged:
        raise typer.Exit(1)


def _print(report: ImportReport, noun: str) -> None:
    typer.echo(
        f"{report.read:,} rows read: {report.added:,} {noun} added, {report.changed:,} changed,"
        f" {report.unchanged:,} unchanged, {report.refused_count:,} rows refused"
    )
    for reason, count in report.refused_by_reason.items():
        example = next((row for row, why in report.refused if why == reason), None)
        typer.echo(f"  refused {count:,}: {reason}" + (f" (first in row {example})" if example else ""))
    if report.ignored_columns:
        typer.echo(f"  columns not used: {', '.join(report.ignored_columns)}")
    if report.archived_tags:
        typer.echo(f"  archived tags, put on nobody: {', '.join(report.archived_tags)}")
