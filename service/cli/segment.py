"""`retarget segment`: compute segments, show them and who moved, choose their settings, or work on plain files."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from segmentation.engine import Request
from segmentation.files import segment_file
from segmentation.history import history_of, last_computed, movements, segment_sizes, transitions
from segmentation.models import MODELS, Segment, segments_of
from segmentation.renew import renew_everyone
from segmentation.rfm import Scoring
from segmentation.settings import MOST_DAYS, SegmentSettings, change_settings, chosen, read_settings, settings_from
from segmentation.snapshot import take_snapshot
from segmentation.spark.files import segment_files
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.days import day_option, reached_day, zone_option
from service.cli.ids import MOST_ID, CustomerId
from service.renewal import renewal_ground, segment_settings
from store.clock import system_clock, today
from store.engine import reading, transaction
from store.errors import BadInput, NotFound
from store.models import Customer

app = typer.Typer(
    help="RFM and NESL segments: compute, show, who moved, settings, or from plain files.",
    no_args_is_help=True,
    add_completion=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Cycle = Annotated[str | None, typer.Option(help="Purchase cycle in days, or `auto`: the median gap between orders.")]
LookBack = Annotated[int | None, typer.Option(min=1, max=MOST_DAYS, help="Count only orders of the last so many days.")]
RDays = Annotated[str | None, typer.Option(help="Four thresholds of R in days, as 7,30,90,180; else quantiles.")]
FOrders = Annotated[str | None, typer.Option(help="Four thresholds of F in orders, as 1,2,4,9; else quantiles.")]
MAmount = Annotated[str | None, typer.Option(help="Four thresholds of M in money, as 500,1000,5000,10000.")]
HighFrom = Annotated[int | None, typer.Option(help="Lowest score that is high, 2-5; else above the mean score.")]
Model = Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")]


@app.command("run")
def run(
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Day to compute for, YYYY-MM-DD; tomorrow when left out: all up to now counts."
            " For a day before one that is computed tags are left as they are."
        ),
    ] = None,
    cycle: Cycle = None,
    look_back: LookBack = None,
    r_days: RDays = None,
    f_orders: FOrders = None,
    m_amount: MAmount = None,
    high_from: HighFrom = None,
    as_json: AsJson = False,
) -> None:
    """Compute every customer's segments and tags and store what changed, with history. Repeating it changes nothing.
    Options go before the brand's settings, for this run."""
    settings = settings_for_command()
    given: dict[str, Any] = {
        "cycle": None if cycle is None else _cycle(cycle, 0) or "auto",
        "look_back_days": look_back,
    }
    scoring = _scoring(r_days, f_orders, m_amount, high_from)
    given |= {name: getattr(scoring, name) for name in ("r_days", "f_orders", "m_amount", "high_from")}
    day = reached_day(as_of, settings.zone) if as_of else None
    with opened_database(settings) as engine:
        wanted = segment_settings(engine, settings).as_dict() | {k: v for k, v in given.items() if v is not None}
        result = renew_everyone(renewal_ground(engine, settings, system_clock), settings_from(wanted), as_of=day)
    if as_json:
        print_json(vars(result))
        return
    done = "nothing changed since run" if result.unchanged else "run"
    typer.echo(f"{done} {result.run_id}: {result.customer_count} customers, {result.change_count} changed segment")
    if result.is_past:
        typer.echo("tags were left as they are: a later day is computed")
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
    with opened_database(settings) as engine, reading(engine) as session:
        computed = last_computed(session, system_clock())
        sizes = {name: segment_sizes(session, name) for name in names}
    newest = computed.run
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
        head |= {"waiting": computed.waiting.customers, "is_stuck": computed.is_stuck}
        print_json({**head, "settings": newest.settings, "models": segments})
        return
    console = Console()
    for name, found in sizes.items():
        console.print(_table(name, found))
    console.print(f"run {newest.id} as of {newest.as_of}, computed {finished:%Y-%m-%d %H:%M} ({settings.timezone})")
    console.print(f"settings: {_settings_line(newest.settings)}")
    if computed.waiting.customers:
        console.print(f"{computed.waiting.customers} customers changed since and wait for the worker 等待重新計算")
    if computed.is_stuck:
        console.print("a computation has stopped without finishing; the worker takes it over 計算中斷，將自動接手")


@app.command("moves")
def moves(
    model: Model,
    from_: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD; a week before --to.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD; today when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """How many customers went from which segment to which between the results for two days."""
    segments_of(model)
    settings = settings_for_command()
    # results are as of the day after what counts: the end of a day is the start of the next
    last = day_option(to, "--to") if to else today(system_clock, settings.zone)
    first = day_option(from_, "--from") if from_ else last - timedelta(days=7)
    if first > last:
        raise BadInput(f"--from {first} must not be after --to {last}")
    with opened_database(settings) as engine, reading(engine) as session:
        days = (first + timedelta(days=1), last + timedelta(days=1))
        found = transitions(session, model, *days)
    if as_json:
        rows = [{"from": before, "to": after, "customers": count} for (before, after), count in found.items()]
        print_json({"model": model, "from_day": first, "to_day": last, "transitions": rows})
        return
    Console().print(_matrix(model, found, f"{first} → {last}"))


@app.command("movements")
def feed(
    model: Model,
    after_id: Annotated[int, typer.Option(min=0, max=MOST_ID, help="Read on from this id.")] = 0,
    from_: Annotated[str | None, typer.Option("--from", help="Only those who leave this segment.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Only those who come into this segment.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Single customers who moved, in the order in which it was noticed; the last id is where to read on."""
    names = [segment.name for segment in segments_of(model)]
    for option, name in (("--from", from_), ("--to", to)):
        if name is not None and name not in names:
            raise BadInput(f"{option} {name!r} is no segment of {model}; they are {', '.join(names)}")
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = movements(session, model, after_id=after_id, from_=from_, to=to, limit=limit)
    if as_json:
        print_json([vars(move) for move in found])
        return
    for move in found:
        at = move.changed_at.astimezone(settings.zone)
        typer.echo(f"{move.id}  {at:%Y-%m-%d %H:%M}  customer {move.customer_id}: {move.before} → {move.after}")


@app.command("history")
def history(
    customer: CustomerId,
    as_json: AsJson = False,
) -> None:
    """Which segments a customer was in, and since the end of which day, as `moves` counts days."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        if session.get(Customer, customer) is None:
            raise NotFound(f"there is no customer {customer}")
        found = history_of(session, customer)
    if as_json:
        print_json({name: [vars(move) for move in rows] for name, rows in found.items()})
        return
    for name, rows in found.items():
        words = {segment.name: segment.chinese for segment in segments_of(name)}
        # results are as of the day after what counts, see `moves`
        steps = [
            f"{move.as_of - timedelta(days=1)} {words.get(move.after or '', '—')} {move.after or ''}" for move in rows
        ]
        typer.echo(f"{name}: {' → '.join(steps) or '—'}")


@app.command("settings")
def choose(
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="NAME=VALUE, lists with commas, as r_days=7,30,90,180; NAME= goes back to the default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how the brand's segments are computed, or choose it. The worker takes a change up within a minute."""
    settings = settings_for_command()
    given, defaults = _changes(changes or ()), settings.segment_defaults
    with opened_database(settings) as engine:
        if given:
            with transaction(engine) as session:
                change_settings(session, given, defaults=defaults, actor="command line", now=system_clock())
        with reading(engine) as session:
            own, now = chosen(session), read_settings(session, defaults)
    if as_json:
        print_json({"settings": now.as_dict(), "chosen": sorted(own)})
        return
    for name, value in now.as_dict().items():
        shown = ",".join(map(str, value)) if isinstance(value, list) else "—" if value is None else value
        typer.echo(f"{name} = {shown}{'  (chosen 品牌設定)' if name in own else ''}")


@app.command("snapshot")
def snapshot() -> None:
    """Write the Parquet snapshot that previews read, now. The worker does it after each nightly run."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        folder = take_snapshot(engine, settings.snapshot_folder, zone=settings.zone, now=system_clock())
    typer.echo(f"written to {folder}")


@app.command("files")
def files(
    orders: Annotated[str, typer.Option(help="Orders: customer_id, ordered_at, amount [, order_id] [, status].")],
    as_of: Annotated[str, typer.Option(help="Day to compute for, YYYY-MM-DD; orders on it or later don't count.")],
    out: Annotated[Path, typer.Option(help="Result, one row per customer; .csv or .parquet.")],
    cycle: Cycle = "30",
    look_back: LookBack = None,
    r_days: RDays = None,
    f_orders: FOrders = None,
    m_amount: MAmount = None,
    high_from: HighFrom = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the days; TIMEZONE when left out.")] = None,
    engine: Annotated[
        str, typer.Option(help="duckdb, or a Spark cluster as spark://host:7077, which reads --orders itself.")
    ] = "duckdb",
    models: Annotated[
        str, typer.Option(help="core: RFM and NESL; all: also personal cycle, loyalty, activity and groups.")
    ] = "core",
    as_json: AsJson = False,
) -> None:
    """Segments of a plain order file (CSV or Parquet), with no database."""
    if models not in ("core", "all"):
        raise BadInput(f"--models {models!r} must be core or all")
    request = Request(
        as_of=day_option(as_of),
        zone=zone_option(zone) if zone else settings_for_command().zone,
        cycle_days=_cycle(cycle, 30),
        look_back_days=look_back,
        scoring=_scoring(r_days, f_orders, m_amount, high_from),
        models="all" if models == "all" else "core",
    )
    if engine == "duckdb":
        result = segment_file(Path(orders), out, request)
    else:
        result = segment_files(engine, orders, out, request)
    if as_json:
        print_json(vars(result))
        return
    typer.echo(f"{result.customer_count} customers written to {out} (purchase cycle: {result.cycle_days} days)")


def _cycle(text: str | None, default: int) -> int | None:
    """Days, or None for `auto`."""
    if text is None:
        return default
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) == 0 or int(text) > MOST_DAYS:
        raise BadInput(f"--cycle {text!r} must be a whole number of days from 1 to {MOST_DAYS}, or auto")
    return int(text)


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


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE as a mapping: lists split at commas where the setting is one, nothing as None."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"{text!r} must be NAME=VALUE; the settings are {', '.join(SegmentSettings.model_fields)}")
        is_list = name in ("r_days", "f_orders", "m_amount")
        found[name] = None if value == "" else value.split(",") if is_list else value
    return found


def _table(model: str, sizes: list[Any]) -> Table:
    table = Table(title=model, title_justify="left")
    for heading in ("分群", "segment", "人數 customers", "消費額 value", "建議 advice"):
        justify: Literal["left", "right"] = "right" if "數" in heading or "額" in heading else "left"
        table.add_column(heading, justify=justify, overflow="fold")  # Chinese has no spaces to wrap at
    for size in sizes:
        words = f"{size.segment.advice_chinese}\n{size.segment.advice}"
        table.add_row(size.segment.chinese, size.segment.name, f"{size.customers:,}", f"{size.value:,}", words)
    return table


def _matrix(model: str, found: dict[tuple[str | None, str | None], int], title: str) -> Table:
    """Rows: before, columns: after; only segments that somebody is in."""
    segments: list[Segment | None] = [*segments_of(model), None]
    names = {before for before, _ in found} | {after for _, after in found}
    there = [segment for segment in segments if (segment.name if segment else None) in names]
    table = Table(title=f"{model}  {title}", title_justify="left")
    table.add_column("從 from ＼ 到 to")
    for segment in there:
        table.add_column(f"{segment.chinese}\n{segment.name}" if segment else "—", justify="right")
    for before in there:
        counts = [found.get((before.name if before else None, after.name if after else None), 0) for after in there]
        table.add_row(f"{before.chinese} {before.name}" if before else "—", *(f"{n:,}" if n else "" for n in counts))
    return table


def _settings_line(settings: dict[str, Any]) -> str:
    parts = [f"cycle {settings['cycle_days']} days ({settings['cycle']})"]
    parts.append(f"look-back {settings['look_back_days'] or 'all history'}")
    for name, score in settings["scores"].items():
        parts.append(f"{name.upper()} by {score['by']} {score['cut_points']}, high from {score['high_from']}")
    return "; ".join(parts)
