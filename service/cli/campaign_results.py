"""`retarget campaign results` and what else asks what campaigns brought."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from campaigns.planning.schedule import campaign_by_id
from campaigns.results.catch_up import catch_up
from campaigns.results.lift import Lift
from campaigns.results.runs import Lifts, Part, RunResults, results_by_run, runs_of, together
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading

CampaignId = Annotated[int, typer.Argument(help="The campaign's number, as `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group `campaign`."""
    app.command("results")(results)


def results(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """All that a campaign brought: in all, per run, variant and segment, with what sending added."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        catch_up(engine, system_clock)
        with reading(engine) as session:
            campaign = campaign_by_id(session, campaign_id)
            runs = runs_of(session, campaign_id)
            found = results_by_run(session, [run.id or 0 for run in runs])
    total = together(list(found.values()))
    if as_json:
        told = [
            {
                "run_id": run.id,
                "step_number": run.step_number,
                "state": run.state,
                "scheduled_for": run.scheduled_for.isoformat(),
                **found[run.id or 0].to_json(),
            }
            for run in runs
        ]
        print_json({"id": campaign.id, "state": campaign.state, **total.to_json(), "runs": told})
        return
    console = Console()
    console.print(totals_table(total, f"{campaign.name}: {len(runs)} runs"))
    names = {v["variant_id"]: v["name"] for run in runs for v in run.variants}
    variants = {names.get(key, "none"): part for key, part in total.variants.items()}
    console.print(_parts_table("variants", variants, {names.get(k, "none"): v for k, v in total.variant_lifts.items()}))
    console.print(_parts_table("segments", total.segments, total.segment_lifts))
    if len(runs) > 1:
        of_run = {f"{run.scheduled_for.astimezone(settings.zone):%Y-%m-%d %H:%M}": found[run.id or 0] for run in runs}
        lifts = {key: one.lift for key, one in of_run.items() if one.lift}
        console.print(_parts_table("runs", {key: one.total for key, one in of_run.items()}, lifts))


def totals_table(results: RunResults, title: str) -> Table:
    """What a run or a campaign brought, a line per figure."""
    table, total = Table(title=title, show_header=False), results.total
    for state, people in results.deliveries.items():
        table.add_row(state, f"{people:,}")
    for reasons, word in ((results.skipped, "skipped"), (results.failed, "failed")):
        for why, people in reasons.items():
            table.add_row(f"  {word}: {why}", f"{people:,}")
    table.add_row("sent (LINE was called)", f"{total.called:,}")
    table.add_row("messages of the quota", f"{total.messages:,}")
    for figures in results.line:
        if figures.by == "none":
            table.add_row(f"LINE's aggregates, {figures.month}", "none: the month's 1,000 names of units are used up")
            continue
        of = f"variant {figures.variant_id}, {figures.month}"
        for word, count in (("opened", figures.opened), ("tapped", figures.clicked)):
            told = "not told (fewer than 20, or not yet)" if count is None else f"{count:,}"
            table.add_row(f"{word}, {of} (LINE's aggregate)", told)
    table.add_row("people who tapped", f"{results.clicks:,}")
    for kind, fetches in results.fetches.items():
        table.add_row(f"  fetches: {kind}", f"{fetches:,}")
    for word, credited in (("tap", total.after_tap), ("delivery", total.after_delivery)):
        table.add_row(f"who bought after a {word}", f"{credited.buyers:,}")
        table.add_row("  orders, each counted once", f"{credited.orders:,}")
        table.add_row("  what they paid", f"{credited.revenue:,}")
    table.add_row("blocked after it", f"{total.blocked:,}")
    table.add_row("  of those held out", f"{total.held_out_blocked:,}")
    for name, words in _lift_words(results.lift):
        table.add_row(name, words)
    if results.added_revenue:
        table.add_row("revenue added in all", _interval(results.added_revenue, "{:+,.0f}"))
    return table


def _lift_words(lifts: Lifts | None) -> list[tuple[str, str]]:
    if lifts is None:
        return []
    revenue = "too few buyers to tell" if lifts.revenue is None else _interval(lifts.revenue, "{:+,.2f}")
    return [("lift in buyers", _interval(lifts.buyers, "{:+.2%}")), ("lift in revenue per person", revenue)]


def _interval(lift: Lift, form: str) -> str:
    low, high = form.format(lift.low), form.format(lift.high)
    return f"{form.format(lift.difference)} (95 %: {low} to {high})"


def _parts_table(title: str, parts: dict[str, Part], lifts: dict[str, Lifts]) -> Table:
    caption = "intervals of one table are right together at 95 %" if len(lifts) > 1 and title != "runs" else None
    table = Table(title=title, title_justify="left", caption=caption)
    columns = (
        "",
        "accepted",
        "held out",
        "tapped",
        "bought",
        "orders",
        "revenue",
        "blocked",
        "lift in buyers",
        "per person",
    )
    for name in columns:
        table.add_column(name, justify="left" if name in ("", "lift in buyers", "per person") else "right")
    for name, part in parts.items():
        numbers: list[Any] = [part.deliveries["accepted"], part.held_out.people, part.clicked]
        numbers += [part.after_tap.buyers, part.after_tap.orders, part.after_tap.revenue, part.blocked]
        words = [told for _, told in _lift_words(lifts.get(name))] or ["", ""]
        table.add_row(str(name), *(f"{number:,}" for number in numbers), *words)
    return table
