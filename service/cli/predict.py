"""`retarget predict`: what each customer is likely to do next, over the database or from plain order files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from segmentation.history import latest_run
from segmentation.predict.checks import TagQuality, check_tags, checks_of
from segmentation.predict.files import Predicted, predict_file
from segmentation.predict.history import day_of
from segmentation.predict.horizons import HORIZONS
from segmentation.predict.latest import latest_prediction_run
from segmentation.predict.ltv import CustomerValue, SegmentValue, ltv_by_segment, ltv_of
from segmentation.predict.quality import Quality
from segmentation.predict.run import run_predictions
from service.cli.context import open_database, print_json, settings_for_command
from service.cli.days import day_option, reached_day, zone_option
from service.cli.ids import MOST_ID
from service.settings import Settings
from store.clock import system_clock, today
from store.engine import reading
from store.errors import BadInput

app = typer.Typer(
    help="Chance to buy, expected orders and spend, learned from the brand's own orders.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _group() -> None:
    """Chance to buy, expected orders and spend, learned from the brand's own orders."""


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Cycle = Annotated[
    int | None, typer.Option(help="Days of the next cycle; that of the newest segments, or PURCHASE_CYCLE_DAYS.")
]

TITLES = {
    "buy": "購買 buys",
    "churn": "流失 churn",
    "spend_90": "消費 spend",
    "spend_365": "消費 spend",
}


@app.command("run")
def run(
    as_of: Annotated[str | None, typer.Option(help="First day predicted, YYYY-MM-DD; today when left out.")] = None,
    cycle: Cycle = None,
    as_json: AsJson = False,
) -> None:
    """Predict for every customer in the database, measure how good that is, and store what changed."""
    settings = settings_for_command()
    engine = open_database(settings)
    result = run_predictions(
        engine,
        as_of=reached_day(as_of, settings.zone) if as_of else today(system_clock, settings.zone),
        zone=settings.zone,
        clock=system_clock,
        cycle_days=_cycle_days(engine, settings) if cycle is None else cycle,
    )
    if as_json:
        print_json(vars(result))
        return
    if result.problem:
        typer.echo(f"predictions are off: {result.problem}")
        return
    done = "nothing changed since run" if result.unchanged else "run"
    typer.echo(f"{done} {result.run_id}: {result.customer_count} customers, {result.change_count} changed")
    Console().print(_quality_table(result.quality))


@app.command("show")
def show(as_json: AsJson = False) -> None:
    """The newest predictions: when, for how many, and how good they were on held-back days, per horizon."""
    settings = settings_for_command()
    with reading(open_database(settings)) as session:
        newest = latest_prediction_run(session)
    if newest is None:
        raise BadInput("nothing has been predicted yet; run `retarget predict run` first")
    if as_json:
        print_json(newest.model_dump(exclude={"lease_until"}))
        return
    assert newest.finished_at is not None
    at = f"{newest.finished_at.astimezone(settings.zone):%Y-%m-%d %H:%M}"
    if newest.problem:
        typer.echo(f"預測未啟用 predictions are off since {at}: {newest.problem}")
        return
    Console().print(_quality_table(newest.quality))
    people = f"{newest.customer_count:,} customers"
    typer.echo(f"run {newest.id} for {newest.as_of}, cycle {newest.cycle_days} days, {people}, computed {at}")


@app.command("ltv")
def ltv(
    model: Annotated[str, typer.Option(help="Segments of this model.")] = "rfm8",
    customer: Annotated[int | None, typer.Option(min=1, max=MOST_ID, help="One customer instead, by id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lifetime value per segment or of one customer: paid so far, and expected in the next 365 days with its error."""
    with reading(open_database(settings_for_command())) as session:
        if customer is not None:
            _show_customer(ltv_of(session, customer), as_json)
            return
        found = ltv_by_segment(session, model)
    if as_json:
        print_json({"model": model, "segments": [_segment_document(value) for value in found]})
        return
    table = Table(title=f"{model}: 顧客終身價值 lifetime value", title_justify="left")
    table.add_column("分群 segment", no_wrap=True)
    for heading in ("人數 customers", "累計 paid", "未來一年 next year", "每人 each", "範圍 range"):
        table.add_column(heading, justify="right")
    for value in found:
        coming = value.coming
        shown = (value.past, coming and coming.expected, value.coming_mean)
        numbers = ("–" if number is None else f"{number:,.0f}" for number in shown)
        between = f"{coming.low:,.0f} – {coming.high:,.0f}" if coming else "–"
        table.add_row(f"{value.segment.chinese}\n{value.segment.name}", f"{value.customers:,}", *numbers, between)
    Console().print(table)


@app.command("check")
def check(as_json: AsJson = False) -> None:
    """Hold the predictive tags that are due against what happened, and show every tag's checks."""
    settings = settings_for_command()
    engine = open_database(settings)
    cycle = _cycle_days(engine, settings)
    check_tags(
        engine, today=today(system_clock, settings.zone), zone=settings.zone, clock=system_clock, cycle_days=cycle
    )
    with reading(engine) as session:
        found = checks_of(session)
    if as_json:
        print_json([_check_document(name, quality) for name, quality in found])
        return
    table = Table(title="預測標籤驗證 predictive tags, checked", title_justify="left")
    table.add_column("標籤 tag", overflow="fold")
    for heading in ("日期 day", "至 until", "人數 people", "有標籤 tagged", "發生 happened", "命中 hits"):
        table.add_column(heading, justify="right")
    for heading in ("準確率 precision", "召回率 recall", "全體 base rate"):
        table.add_column(heading, justify="right")
    for name, quality in found:
        one = quality.check
        shares = (quality.precision, quality.recall, quality.base_rate)
        counts = (f"{count:,}" for count in (one.people, one.tagged, one.happened, one.hits))
        shown = ("–" if share is None else f"{share:.1%}" for share in shares)
        table.add_row(name, str(one.as_of), str(one.until), *counts, *shown)
    Console().print(table)


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


def _cycle_days(engine: Any, settings: Settings) -> int:
    """The cycle of the newest segments, else the setting's."""
    with reading(engine) as session:
        newest = latest_run(session)
    return int(newest.settings["cycle_days"]) if newest else settings.purchase_cycle_days


def _quality_table(quality: dict[str, Any]) -> Table:
    """One column per horizon, so that it fits a narrow terminal."""
    table = Table(title="預測品質，以留存期間驗證 quality on held-back days", title_justify="left", show_lines=True)
    table.add_column("", overflow="fold")
    columns = []
    for name in HORIZONS:
        report = quality[name]
        table.add_column(f"{TITLES[name]}\n{report['horizon_days']} 天 days", overflow="fold")
        columns.append([report["problem"], *[""] * 4] if report["problem"] else _quality_cells(report["held_back"]))
    rows = ("驗證期間 held back", "AUC", "RMSE 訂單 orders", "RMSE 消費額 spend", "預測/實際 predicted/actual")
    for row in zip(rows, *columns, strict=True):
        table.add_row(*row)
    return table


def _quality_cells(held_back: dict[str, Any]) -> list[str]:
    """Each figure beside BG/NBD's and the plain score's."""
    ways = [("", held_back["learned"]), ("BG/NBD ", held_back["bgnbd"]), ("RFM ", held_back["rfm_score"])]
    ratios = ("買家", "buyers"), ("訂單", "orders"), ("金額", "spend")
    return [
        f"{held_back['as_of']} + {held_back['days']}",
        *(
            "\n".join(f"{name}{_figure(way[figure], places)}" for name, way in ways)
            for figure, places in (("auc", 3), ("rmse_orders", 3), ("rmse_spend", 1))
        ),
        "\n".join(f"{word} {_figure(held_back['learned'][f'{what}_ratio'], 2)}" for word, what in ratios),
    ]


def _figure(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def _segment_document(value: SegmentValue) -> dict[str, Any]:
    means = {"past_mean": value.past_mean, "expected_mean": value.coming_mean}
    coming = asdict(value.coming) if value.coming else {"expected": None, "low": None, "high": None}
    counts = {"customers": value.customers, "predicted": value.predicted, "past": value.past}
    return {"segment": value.segment.name, **counts, **coming, **means}


def _check_document(name: str, quality: TagQuality) -> dict[str, Any]:
    shares = {"precision": quality.precision, "recall": quality.recall, "base_rate": quality.base_rate}
    return {"tag": name, **quality.check.model_dump(exclude={"tag_id"}), **shares}


def _show_customer(value: CustomerValue, as_json: bool) -> None:
    if as_json:
        print_json(vars(value))
        return
    typer.echo(f"customer {value.customer_id}: paid {value.past:,} so far")
    if value.spend_365 is None:
        typer.echo("nothing is predicted for the next 365 days")
        return
    typer.echo(f"expected in 365 days: {value.spend_365:,} (standard deviation of such customers: {value.deviation:,})")
