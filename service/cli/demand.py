"""`retarget demand`: what growing groups of customers want, against what the catalogue has."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from segmentation.demand.run import DEFAULT_DAYS, GROWTH_DAYS, as_json, find_demand, keep_demand
from service.brand_words import tokenize_for_brand
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading

SHOWN = 10  # rows of each group, for people


def register(app: typer.Typer) -> None:
    """Add `demand` to the command line."""
    app.command("demand")(demand)


def demand(
    days: Annotated[int, typer.Option(min=1, max=3650, help="Look at what people did in the last so many days.")] = (
        DEFAULT_DAYS
    ),
    growth_days: Annotated[int, typer.Option(min=1, max=3650, help="A group grows if it gained people since.")] = (
        GROWTH_DAYS
    ),
    group: Annotated[
        list[str] | None, typer.Option(help="Only this group, MODEL=SEGMENT or tag:NAME; may be repeated.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What growing segments and tags look at, tap, ask for and buy, against the share of the catalogue that serves it:
    what is short, and words that no product answers. Kept for the console unless --group is given."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        with reading(engine) as session:
            tokenize = tokenize_for_brand(session)
        found = find_demand(
            engine,
            zone=settings.zone,
            clock=system_clock,
            tokenize=tokenize,
            days=days,
            growth_days=growth_days,
            only=group or (),
        )
        if not group:
            keep_demand(engine, found, system_clock)
    report = as_json(found)
    if json:
        print_json(report)
        return
    console = Console()
    for one in report["groups"]:
        _print(console, one, report["products"])


def _print(console: Console, group: dict[str, Any], products: int) -> None:
    is_counted = group["key"] != "all" and group["before"] is not None
    grown = f" ({group['before']:,} → {group['now']:,})" if is_counted else ""
    short = [row for row in group["wanted"] if row["is_short"]][:SHOWN]
    table = Table(title=f"{group['key']}{grown}", title_justify="left")
    for heading in ("缺 short of", "想要的人 people", "需求 demand", "商品 products", "倍數 ratio (95%)"):
        table.add_column(heading, justify="left" if heading.startswith("缺") else "right")
    for row in short:
        ratio = f"{row['ratio']:.1f} ({row['ratio_low']:.1f}–{row['ratio_high']:.1f})"
        served = f"{row['products']:,} / {products:,}"
        table.add_row(row["value"], f"{row['people']:,}", f"{row['demand_share']:.1%}", served, ratio)
    if short:
        console.print(table)
    else:
        console.print(f"{group['key']}{grown}: nothing is surely short 沒有明顯缺少的商品")
    if words := group["words"][:SHOWN]:
        console.print(
            "沒有商品對應的詞 words without a product: " + ", ".join(f"{w['word']} ({w['people']})" for w in words)
        )
