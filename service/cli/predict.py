"""`retarget predict`: what each customer is likely to do next, from plain order files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from segmentation.predict.files import Predicted, predict_file
from segmentation.predict.history import day_of
from segmentation.predict.quality import Quality
from service.cli.context import print_json, settings_for_command
from service.cli.segment import day_option, zone_option

app = typer.Typer(
    help="Chance to buy, expected orders and spend, learned from the brand's own orders.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _group() -> None:
    """Chance to buy, expected orders and spend, learned from the brand's own orders."""


@app.command("files")
def files(
    orders: Annotated[Path, typer.Option(help="Orders: customer_id, ordered_at, amount [, order_id] [, status].")],
    as_of: Annotated[str, typer.Option(help="First day predicted, YYYY-MM-DD; orders on it or later don't count.")],
    horizon_days: Annotated[int, typer.Option(help="How many days from that one to predict.")],
    out: Annotated[Path, typer.Option(help="Result, one row per customer; .csv or .parquet.")],
    zone: Annotated[str | None, typer.Option(help="Time zone of the days; TIMEZONE when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document with the measured quality.")] = False,
) -> None:
    """Predict from a plain order file (CSV or Parquet), with no database; says how good it was on held-back days."""
    place = zone_option(zone) if zone else settings_for_command().zone
    made = predict_file(orders, out, day_option(as_of), horizon_days, place)
    if as_json:
        print_json(_document(made))
        return
    typer.echo(f"{made.customer_count} customers written to {out}")
    Console().print(_table(made.quality))


def _document(made: Predicted) -> dict[str, Any]:
    learned = made.learned
    return {
        "customers": made.customer_count,
        "as_of": day_of(learned.as_of),
        "horizon_days": learned.horizon_days,
        "window_days": learned.window_days,
        "cuts": [str(day_of(cut)) for cut in learned.cuts],
        "quality": {**asdict(made.quality), "as_of": day_of(made.quality.as_of)},
        "out": made.out,
    }


def _table(quality: Quality) -> Table:
    title = f"留存驗證 held-back: {quality.customers:,} customers, {quality.days} days from {day_of(quality.as_of)}"
    table = Table(title=title, title_justify="left")
    table.add_column("方法 method")
    for heading in ("AUC", "RMSE 訂單 orders", "預測/實際 predicted/actual", "買家 buyers", "消費額 spend"):
        table.add_column(heading, justify="right")
    ways = (("學習模型 learned", quality.learned), ("BG/NBD", quality.bgnbd), ("RFM 總分 score", quality.rfm_score))
    for name, measure in ways:
        found = (measure.orders_ratio, measure.buyers_ratio, measure.spend_ratio)
        ratios = ["–" if ratio is None else f"{ratio:.2f}" for ratio in found]
        auc = "–" if measure.auc is None else f"{measure.auc:.3f}"
        table.add_row(name, auc, f"{measure.rmse_orders:.3f}", *ratios)
    return table
