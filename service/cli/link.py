"""`retarget link`: codes that hang in a shop."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from campaigns.links.shop import code_named, create_code, qr_image, shop_codes
from service.cli.context import opened_database, print_json, settings_for_command
from service.links import link_maker
from store.engine import reading, transaction
from store.errors import BadInput

app = typer.Typer(help="Links for a shop's wall: made, listed, printed as QR codes.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Name = Annotated[str, typer.Argument(help="What the code is called, such as 忠孝店櫃台.")]


@app.command()
def create(
    name: Name,
    url: Annotated[str, typer.Argument(help="Where it leads.")],
    topic: Annotated[str | None, typer.Option(help="What it is about: a known person who taps gets that tag.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a tracked link of no campaign."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        link = create_code(session, name, url, topic=topic)
        assert link.id is not None
        address = link_maker(settings).link(link.id, None, None)
    if as_json:
        print_json({"id": link.id, "name": link.name, "link": address})
    else:
        typer.echo(f"{link.name}: {address}")


@app.command("list")
def list_codes(as_json: AsJson = False) -> None:
    """All shop codes and how often each was tapped."""
    settings = settings_for_command()
    maker = link_maker(settings)
    with opened_database(settings) as engine, reading(engine) as session:
        codes = shop_codes(session)
    if as_json:
        print_json([{**vars(code), "link": maker.link(code.link_id, None, None)} for code in codes])
        return
    table = Table("name", "link", "leads to", "topic", "taps", "known people", "previews, robots")
    for code in codes:
        others = sum(count for kind, count in code.fetches.items() if kind not in ("person", "forward"))
        taps, people = code.fetches.get("person", 0), code.people_known
        link = maker.link(code.link_id, None, None)
        table.add_row(code.name, link, code.url, code.topic or "", f"{taps:,}", f"{people:,}", f"{others:,}")
    Console().print(table)


@app.command()
def qr(
    name: Name,
    out: Annotated[Path, typer.Option(help="The file to write: .svg for print, or .png.")] = Path("code.svg"),
) -> None:
    """Write a shop code's QR code as a picture."""
    kind = out.suffix.lower().removeprefix(".")
    if kind != "svg" and kind != "png":
        raise BadInput(f"{out} must end with .svg or .png")
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        link = code_named(session, name)
    assert link.id is not None
    address = link_maker(settings).link(link.id, None, None)
    try:
        out.write_bytes(qr_image(address, kind))
    except OSError as error:
        raise BadInput(f"{out} can't be written: {error.strerror}") from error
    typer.echo(f"{out}: {address}")
