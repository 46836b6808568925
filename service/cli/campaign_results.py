"""`retarget campaign results` and what else asks what campaigns brought."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from math import exp
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table

from campaigns.audience.target import Audience
from campaigns.experiments.arms import Comparison as ArmsComparison
from campaigns.experiments.arms import newest_comparison
from campaigns.planning.schedule import campaign_by_id
from campaigns.results.ads import export_ads
from campaigns.results.audiences import WHO, Asked, list_of_result
from campaigns.results.catch_up import catch_up
from campaigns.results.comparison import Comparison
from campaigns.results.cost import RunCost, added_per_money, cost_of_campaign, costs_of
from campaigns.results.exploration import explore as make_explorer
from campaigns.results.exploration import explored
from campaigns.results.export import export_campaign
from campaigns.results.lift import Lift
from campaigns.results.line_audience import upload_ads
from campaigns.results.movement import movement_after
from campaigns.results.runs import Lifts, Part, RunResults, results_by_run, runs_of
from campaigns.results.together import results_and_steps
from keywords.effects.lessons import Estimate, Lesson, lessons_of
from keywords.effects.stored import stored_learning
from service.channels import channel_ids, channel_named
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.ids import MOST_ID, CampaignId
from service.settings import Settings
from store.clock import system_clock
from store.engine import reading, table_of
from store.errors import BadInput
from store.models import CampaignRun

LESSONS_SHOWN, RUNS_TAUGHT = 12, 50
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group `campaign`."""
    app.command("results")(results)
    app.command("export")(export)
    app.command("audience")(audience)
    app.command("ads")(ads)
    app.command("explore")(explore)
    app.command("movement")(movement)


def results(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """All that a campaign brought: in all, per run, variant and segment, with what sending added."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        catch_up(engine, system_clock)
        with reading(engine) as session:
            campaign = campaign_by_id(session, campaign_id)
            runs = runs_of(session, campaign_id)
            found = results_by_run(session, [run.id or 0 for run in runs])
            comparison = explored(session, campaign_id)
            total, steps = results_and_steps(session, campaign_id)
            cost = cost_of_campaign(session, campaign_id, settings.zone)
            costs = costs_of(session, table_of(CampaignRun).c.campaign_id == campaign_id, settings.zone, found)
            arms = newest_comparison(session, campaign_id)
            stored = stored_learning(session)
    taught = {} if stored is None else {run.id: lessons_of(stored.learning, run.id or 0) for run in runs[:RUNS_TAUGHT]}
    if as_json:
        told = [
            {
                "run_id": run.id,
                "step_number": run.step_number,
                "state": run.state,
                "scheduled_for": run.scheduled_for.isoformat(),
                **found[run.id or 0].to_json(),
                "cost": costs[run.id or 0].to_json(),
                "taught": [asdict(lesson) for lesson in taught.get(run.id, [])],
            }
            for run in runs
        ]
        compared = None if comparison is None else {**asdict(comparison), "is_warning": comparison.is_warning}
        head = {"id": campaign.id, "state": campaign.state, "problem": campaign.problem}
        both = {"explored": compared, "arms": None if arms is None else arms.to_json()}
        parts = {"steps": [{"step": n, **one.to_json()} for n, one in steps.items()], "runs": told}
        print_json({**head, **total.to_json(), "cost": _cost_json(cost, total), **both, **parts})
        return
    console = Console()
    console.print(totals_table(total, f"{campaign.name}: {len(runs)} runs"))
    if cost is not None:
        console.print(_cost_words(cost, total))
    if comparison is not None:
        console.print(warning_words(comparison))
    if arms is not None:
        console.print(arms_table(arms))
    names = {v["variant_id"]: _of_step(run, v["name"], steps) for run in runs for v in run.variants}
    if steps:
        of_steps = {f"step {number}": one for number, one in steps.items()}
        lifts = {key: one.lift for key, one in of_steps.items() if one.lift}
        console.print(_parts_table("steps", {key: one.total for key, one in of_steps.items()}, lifts))
    variants = {names.get(key, "none"): part for key, part in total.variants.items()}
    console.print(_parts_table("variants", variants, {names.get(k, "none"): v for k, v in total.variant_lifts.items()}))
    console.print(_parts_table("segments", total.segments, total.segment_lifts))
    if len(runs) > 1:
        of_run = {_run_words(run, settings.zone, steps): found[run.id or 0] for run in runs}
        lifts = {key: one.lift for key, one in of_run.items() if one.lift}
        console.print(_parts_table("runs", {key: one.total for key, one in of_run.items()}, lifts))
    newest = next((run for run in runs if taught.get(run.id)), None)
    if newest is not None:
        at = newest.scheduled_for.astimezone(settings.zone)
        console.print(_lessons_table(f"what the run of {at:%Y-%m-%d %H:%M} taught", taught[newest.id]))


def _of_step(run: CampaignRun, name: str, steps: Collection[int]) -> str:
    """Names of variants are told apart by step, where a campaign has several."""
    return f"step {run.step_number}: {name}" if steps else name


def _run_words(run: CampaignRun, zone: ZoneInfo, steps: Collection[int]) -> str:
    """When it was scheduled for; of runs that people enter one by one several may be of one minute."""
    at = f"{run.scheduled_for.astimezone(zone):%Y-%m-%d %H:%M}"
    return f"{at} (run {run.id}{f', step {run.step_number}' if steps else ''})" if run.by_enrolment else at


def _lessons_table(title: str, lessons: Sequence[Lesson]) -> Table:
    """Times the odds of a click, with 90 % intervals."""
    table = Table(title=title)
    for name in ("term", "without it", "with it", "between its versions (A/B)"):
        table.add_column(name, justify="left" if name == "term" else "right")
    for lesson in lessons[:LESSONS_SHOWN]:
        table.add_row(lesson.term, *map(_times, (lesson.before, lesson.after, lesson.experiment)))
    return table


def _times(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    effect, low, high = (exp(value) for value in (estimate.effect, estimate.low, estimate.high))
    return f"×{effect:.2f} ({low:.2f} – {high:.2f})"


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
        of = f"variant {' '.join([str(figures.variant_id), figures.language]).strip()}, {figures.month}"
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
        table.add_row("revenue added in all", interval_words(results.added_revenue, "{:+,.0f}"))
    return table


def arms_table(found: ArmsComparison) -> Table:
    """Learned targeting against the hand rule, what either adds per message."""
    title = f"hand rule and expected gain; {found.by_both:,} of those whom the rule reached both would choose"
    table = Table("", "sent", "bought", "held out", "bought ", "adds buyers", "adds revenue", title=title)

    def told(lift: Lift | None, form: str) -> str:
        return "too few to tell" if lift is None else interval_words(lift, form)

    for name, one in (("hand rule", found.rule), ("expected gain", found.gain)):
        counts = (one.sent.people, one.sent.buyers, one.held_out.people, one.held_out.buyers)
        lifts = (told(one.conversion, "{:+.2%}"), told(one.revenue, "{:+,.2f}"))
        table.add_row(name, *(f"{count:,}" for count in counts), *lifts)
    apart = (told(found.conversion, "{:+.2%}"), told(found.revenue, "{:+,.2f}"))
    table.add_row("gain less rule", "", "", "", "", *apart)
    return table


def _lift_words(lifts: Lifts | None) -> list[tuple[str, str]]:
    if lifts is None:
        return []
    revenue = "too few buyers to tell" if lifts.revenue is None else interval_words(lifts.revenue, "{:+,.2f}")
    return [("lift in buyers", interval_words(lifts.buyers, "{:+.2%}")), ("lift in revenue per person", revenue)]


def interval_words(lift: Lift, form: str) -> str:
    """A lift with its interval, each written as `form`."""
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


def export(
    campaign_id: CampaignId,
    out: Annotated[Path, typer.Option(help="Where to: a file that ends in .csv, .xlsx or .json.")],
    what: Annotated[str, typer.Option(help="summary, people (one row per delivery) or orders (each credited).")],
) -> None:
    """Take results away, whatever their number. Noted in the audit trail."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        catch_up(engine, system_clock)
        rows = export_campaign(
            engine, campaign_id, out, what=what, zone=settings.zone, actor="command line", now=system_clock()
        )
    typer.echo(f"{rows:,} rows in {out}")


def audience(
    campaign_id: CampaignId,
    who: Annotated[str, typer.Option(help=f"One of {', '.join(WHO)}.")],
    name: Annotated[str, typer.Option(help="Of the list: campaigns are sent to it as list:NAME.")],
    run: Annotated[int | None, typer.Option(min=1, max=MOST_ID, help="Only of this run; otherwise of all.")] = None,
    variant: Annotated[
        int | None, typer.Option(min=1, max=MOST_ID, help="Only who got this variant: variant_id in `results`.")
    ] = None,
    segment: Annotated[str | None, typer.Option(help="Only who was in this segment of rfm8, or none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a list of those who tapped, did not, bought, blocked … to send to or to leave out."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        catch_up(engine, system_clock)
        asked = Asked(who, run_id=run, variant_id=variant, segment=segment)
        people = list_of_result(engine, campaign_id, asked, name=name, actor="command line", clock=system_clock)
    if as_json:
        print_json({"target": f"list:{name}", "people": people})
        return
    typer.echo(f"{people:,} people on list:{name}")


def ads(
    to: Annotated[list[str], typer.Option(help="Whom: the words that campaigns know, such as list:NAME; repeat it.")],
    platform: Annotated[str, typer.Option(help="meta, google or line.")],
    out: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    upload: Annotated[str | None, typer.Option(help="For line: the audience to make there, no file.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Whom to leave out, in the same words; repeat it.")] = None,
    channel: Annotated[str, typer.Option(help="Whose LINE user ids line is given.")] = "main",
    as_json: AsJson = False,
) -> None:
    """Give an ad platform those who consented to ads: a file, hashed, or LINE's user ids; or upload them. Audited."""
    settings = settings_for_command()
    if (out is None) == (upload is None) or (upload is not None and platform != "line"):
        raise BadInput("say --out FILE, or for line --upload NAME")
    if upload is not None:
        _upload(settings, Audience(tuple(to), tuple(without or ())), upload, channel, as_json)
        return
    assert out is not None
    with opened_database(settings) as engine:
        written, left_out = export_ads(
            engine,
            Audience(tuple(to), tuple(without or ())),
            out,
            platform=platform,
            channel_id=channel_ids(engine, settings)[channel_named(settings, channel).name],
            actor="command line",
            zone=settings.zone,
            clock=system_clock,
        )
    if as_json:
        print_json({"written": written, "left_out": left_out})
        return
    typer.echo(f"{written:,} people in {out}; {left_out:,} left out: no consent, refused, or nothing to match by")


def _upload(settings: Settings, audience: Audience, name: str, channel: str, as_json: bool) -> None:
    from service.doors import narrowcast_doors

    with opened_database(settings) as engine:
        channel_id = channel_ids(engine, settings)[channel_named(settings, channel).name]
        door = narrowcast_doors(engine, settings).get(channel_id)
        if door is None:
            raise BadInput(f"the channel {channel!r} has no access token")
        found = upload_ads(
            engine,
            audience,
            name,
            door,
            channel_id=channel_id,
            actor="command line",
            zone=settings.zone,
            clock=system_clock,
        )
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(
        f"{found.people:,} people in LINE's audience {name}; {found.left_out:,} left out: no consent, refused, or no "
        f"account; {found.unknown:,} that LINE doesn't know"
    )


def explore(
    campaign_id: CampaignId,
    percent: Annotated[float, typer.Option(help="The share of those outside the audience, by chance.")] = 5.0,
    holdout: Annotated[float, typer.Option(help="Of these, the percentage held out.")] = 50.0,
    at: Annotated[str | None, typer.Option(help="now, or a time in the brand's zone; without it a draft.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send the same to a few people whom the audience leaves out, to see whether its rule picks the right ones."""
    settings = settings_for_command()
    moment = system_clock() if at == "now" else datetime.fromisoformat(at).replace(tzinfo=settings.zone) if at else None
    with opened_database(settings) as engine:
        made = make_explorer(
            engine,
            campaign_id,
            percent=percent,
            holdout_percent=Decimal(str(holdout)),
            at=moment,
            zone=settings.zone,
            actor="command line",
            clock=system_clock,
        )
    if as_json:
        print_json({"id": made, "explores": campaign_id})
        return
    typer.echo(f"campaign {made} explores campaign {campaign_id}")


def movement(
    campaign_id: CampaignId,
    model: Annotated[str, typer.Option(help="The model whose segments: rfm8, rf11, nesl …")] = "nesl",
    as_json: AsJson = False,
) -> None:
    """Who moved between segments since the newest run of a campaign, those sent to beside those held out."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        campaign_by_id(session, campaign_id)
        runs = runs_of(session, campaign_id)
        if not runs:
            raise BadInput(f"campaign {campaign_id} has had no run yet")
        found = movement_after(session, runs[0].id or 0, model, until=system_clock())
    if as_json:
        print_json(asdict(found))
        return
    table = Table("from", "to", f"of {found.sent:,} sent to", f"of {found.held_out:,} held out", "difference")
    for move in found.moves:
        words = interval_words(move.lift, "{:+.2%}") if move.lift else ""
        table.add_row(move.before or "", move.after or "", f"{move.sent:,}", f"{move.held_out:,}", words)
    Console().print(table)


def _cost_json(cost: RunCost | None, results: RunResults) -> dict[str, Any] | None:
    if cost is None:
        return None
    per_money = added_per_money(cost, results)
    return {**cost.to_json(), "added_revenue_per_money": asdict(per_money) if per_money else None}


def _cost_words(cost: RunCost, results: RunResults) -> str:
    money = f"{cost.of_fee:,.2f} {cost.currency} of the plan's fee, {cost.money:,} beyond the plan"
    words = f"cost: {cost.messages:,} messages, {cost.replies:,} free replies, {money}"
    per_money = added_per_money(cost, results)
    if per_money is None:
        return words
    return f"{words}; revenue added per {cost.currency}: {interval_words(per_money, '{:+,.1f}')}"


def warning_words(found: Comparison) -> str:
    """The sentence about a rule that picks the wrong people, for marketers."""
    inside, outside = interval_words(found.inside, "{:+.2%}"), interval_words(found.outside, "{:+.2%}")
    head = "規則選的人增益較低 the rule's people gain less than the others" if found.is_warning else "explored"
    return f"{head}: inside {inside}, outside {outside}, difference {interval_words(found.apart, '{:+.2%}')}".replace(
        "95 %", "90 %"
    )
