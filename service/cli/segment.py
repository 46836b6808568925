"""`retarget segment`: compute segments, show them, or work on plain files."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.table import Table

from segmentation.engine import Request
from segmentation.files import segment_file
from segmentation.history import latest_run, segment_sizes
from segmentation.models import MODELS, segments_of
from segmentation.rfm import Scoring
from segmentation.run import run_segments
from service.cli.context import open_database, print_json, settings_for_command
from store.clock import system_clock, today
from store.engine import reading
from store.errors import BadInput

app = typer.Typer(
    help="RFM and NESL segments: compute, show, or from plain files.", no_args_is_help=True, add_completion=False
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Cycle = Annotated[str | None, typer.Option(help="Purchase cycle in days, or `auto`: the median gap between orders.")]
LookBack = Annotated[int | None, typer.Option(min=1, help="Count only orders of the last so many days.")]
RDays = Annotated[str | None, typer.Option(help="Four thresholds of R in days, as 7,30,90,180; else quantiles.")]
FOrders = Annotated[str | None, typer.Option(help="Four thresholds of F in orders, as 1,2,4,9; else quantiles.")]
MAmount = Annotated[str | None, typer.Option(help="Four thresholds of M in money, as 500,1000,5000,10000.")]
HighFrom = Annotated[int | None, typer.Option(help="Lowest score that is high, 2-5; else above the mean score.")]


@app.command("run")
def run(
    as_of: Annotated[str | None, typer.Option(help="Day to compute for, YYYY-MM-DD; today when left out.")] = None,
    cycle: Cycle = None,
    look_back: LookBack = None,
    r_days: RDays = None,
    f_orders: FOrders = None,
    m_amount: MAmount = None,
    high_from: HighFrom = None,
    as_json: AsJson = False,
) -> None:
    """Compute every customer's segments and store what changed, with history. Repeating it changes nothing."""
    settings = settings_for_command()
    result = run_segments(
        open_database(settings),
        as_of=day_option(as_of) if as_of else today(system_clock, settings.zone),
        zone=settings.zone,
        clock=system_clock,
        cycle_days=_cycle(cycle, settings.purchase_cycle_days),
        look_back_days=look_back or settings.segment_look_back_days,
        scoring=_scoring(r_days, f_orders, m_amount, high_from),
    )
    if as_json:
        print_json(vars(result))
        return
    done = "nothing changed since run" if result.unchanged else "run"
    typer.echo(f"{done} {result.run_id}: {result.customer_count} customers, {result.change_count} changed segment")
    if result.proposed_cycle_days and result.proposed_cycle_days != result.cycle_days:
        typer.echo(
            f"the orders propose a purchase cycle of {result.proposed_cycle_days} days (used: {result.cycle_days})"
        )


@app.command("show")
def show(
    model: Annotated[str | None, typer.Option(help=f"One of {', '.join(MODELS)}; all when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Each segment's customers, what they have paid, and what to do; when and with which settings it was computed."""
    names = [model] if model else list(MODELS)
    for name in names:
        segments_of(name)
    settings = settings_for_command()
    with reading(open_database(settings)) as session:
        newest = latest_run(session)
        sizes = {name: segment_sizes(session, name) for name in names}
    if newest is None:
        raise BadInput("no segments have been computed yet; run `retarget segment run` first")
    assert newest.finished_at is not None
    finished = newest.finished_at.astimezone(settings.zone)
    if as_json:
        segments = {
            name: [{**vars(size.segment), "customers": size.customers, "value": size.value} for size in found]
            for name, found in sizes.items()
        }
        head = {"run_id": newest.id, "as_of": newest.as_of, "finished_at": finished.isoformat()}
        print_json({**head, "settings": newest.settings, "models": segments})
        return
    console = Console()
    for name, found in sizes.items():
        console.print(_table(name, found))
    console.print(f"run {newest.id} as of {newest.as_of}, computed {finished:%Y-%m-%d %H:%M} ({settings.timezone})")
    console.print(f"settings: {_settings_line(newest.settings)}")


@app.command("files")
def files(
    orders: Annotated[Path, typer.Option(help="Orders: customer_id, ordered_at, amount [, order_id] [, status].")],
    as_of: Annotated[str, typer.Option(help="Day to compute for, YYYY-MM-DD; orders on it or later don't count.")],
    out: Annotated[Path, typer.Option(help="Result, one row per customer; .csv or .parquet.")],
    cycle: Cycle = "30",
    look_back: LookBack = None,
    r_days: RDays = None,
    f_orders: FOrders = None,
    m_amount: MAmount = None,
    high_from: HighFrom = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the days; TIMEZONE when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Segments of a plain order file (CSV or Parquet), with no database."""
    request = Request(
        as_of=day_option(as_of),
        zone=zone_option(zone) if zone else settings_for_command().zone,
        cycle_days=_cycle(cycle, 30),
        look_back_days=look_back,
        scoring=_scoring(r_days, f_orders, m_amount, high_from),
    )
    result = segment_file(orders, out, request)
    if as_json:
        print_json(vars(result))
        return
    typer.echo(f"{result.customer_count} customers written to {out} (purchase cycle: {result.cycle_days} days)")


def day_option(text: str) -> date:
    """The day of `--as-of`. Raises BadInput."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar day has no zone
    except ValueError as error:
        raise BadInput(f"--as-of {text!r} is not a day such as 2026-11-02") from error


def _cycle(text: str | None, default: int) -> int | None:
    """Days, or None for `auto`."""
    if text is None:
        return default
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) == 0 or int(text) > 36_500:
        raise BadInput(f"--cycle {text!r} must be a whole number of days from 1 to 36500, or auto")
    return int(text)


def zone_option(name: str) -> ZoneInfo:
    """The zone of `--zone`. Raises BadInput."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(f"--zone {name!r} is not an IANA time zone such as Asia/Taipei") from error


def _scoring(r_days: str | None, f_orders: str | None, m_amount: str | None, high_from: int | None) -> Scoring:
    def numbers(option: str, text: str | None) -> tuple[Decimal, ...] | None:
        try:
            found = None if text is None else tuple(Decimal(part) for part in text.split(","))
        except InvalidOperation as error:
            raise BadInput(f"{option} {text!r} must be four numbers with commas between") from error
        if found and not all(number.is_finite() for number in found):
            raise BadInput(f"{option} {text!r} must be four numbers with commas between")
        return found

    def whole(option: str, text: str | None) -> tuple[int, ...] | None:
        found = numbers(option, text)
        if found and any(number != int(number) for number in found):
            raise BadInput(f"{option} {text!r} must be whole numbers")
        return None if found is None else tuple(int(number) for number in found)

    return Scoring(whole("--r-days", r_days), whole("--f-orders", f_orders), numbers("--m-amount", m_amount), high_from)


def _table(model: str, sizes: list[Any]) -> Table:
    table = Table(title=model, title_justify="left")
    for heading in ("分群", "segment", "人數 customers", "消費額 value", "建議 advice"):
        justify: Literal["left", "right"] = "right" if "數" in heading or "額" in heading else "left"
        table.add_column(heading, justify=justify, overflow="fold")  # Chinese has no spaces to wrap at
    for size in sizes:
        words = f"{size.segment.advice_chinese}\n{size.segment.advice}"
        table.add_row(size.segment.chinese, size.segment.name, f"{size.customers:,}", f"{size.value:,}", words)
    return table


def _settings_line(settings: dict[str, Any]) -> str:
    parts = [f"cycle {settings['cycle_days']} days ({settings['cycle']})"]
    parts.append(f"look-back {settings['look_back_days'] or 'all history'}")
    for name, score in settings["scores"].items():
        parts.append(f"{name.upper()} by {score['by']} {score['cut_points']}, high from {score['high_from']}")
    return "; ".join(parts)
