"""`retarget campaign`: plan, look at and steer campaigns."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from campaigns.audience.target import Audience
from campaigns.money.forecast import forecast as forecast_of
from campaigns.planning import schedule
from campaigns.planning.coming import when_words
from campaigns.planning.plan import Plan, StepPlan, VariantPlan, create_campaign, one_step
from campaigns.planning.schedule import campaign_by_id
from campaigns.results.catch_up import catch_up
from campaigns.results.runs import runs_of
from campaigns.results.together import campaign_results
from console.words.names import REASONS
from service.channels import channel_ids, channel_named
from service.cli.campaign_content import register as register_content
from service.cli.campaign_planning import minutes_of, register_planning, step_of
from service.cli.campaign_preview import register as register_preview
from service.cli.campaign_results import register as register_results
from service.cli.campaign_results import totals_table
from service.cli.campaign_settings import register as register_settings
from service.cli.campaign_ways import register_ways
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.ids import CampaignId
from store.clock import system_clock
from store.engine import reading, transaction
from store.errors import BadInput
from store.models import Campaign

app = typer.Typer(help="Plan, look at and steer campaigns.", no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Cron = Annotated[str | None, typer.Option(help="Recur: five cron fields in the brand's zone, '0 10 * * 1'.")]
Calendar = Annotated[
    str | None,
    typer.Option(
        help="Recur: calendar words, 每月最後一個工作日 10:00 or 'every second Monday at 10:00, skip holidays'."
    ),
]
register_content(app)
register_planning(app)
register_preview(app)
register_results(app)
register_settings(app)
register_ways(app)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What marketers call it.")],
    to: Annotated[
        list[str],
        typer.Option(
            help="Whom: all, MODEL=SEGMENT (rf11=champions), tag:NAME, list:NAME or rule:NAME; repeat it: any of these."
        ),
    ],
    without: Annotated[list[str] | None, typer.Option(help="Whom to leave out, in the same words; repeat it.")] = None,
    text: Annotated[str | None, typer.Option(help="One text message; may hold links and {{ name }} fields.")] = None,
    messages: Annotated[
        list[Path] | None,
        typer.Option(help="A JSON file with 1 to 5 LINE messages, and versions by language; repeated: variants A, B …"),
    ] = None,
    experiment: Annotated[
        Path | None, typer.Option(help="A JSON file that says how variants compete: docs/campaigns.md, Experiments.")
    ] = None,
    reply_first: Annotated[
        int | None, typer.Option(help="Minutes to wait for each person's next free reply before the rest is pushed.")
    ] = None,
    way: Annotated[
        str, typer.Option(help="auto, push (one call each), multicast (one body for 500) or narrowcast (an audience).")
    ] = "push",
    holdout: Annotated[
        str | None,
        typer.Option(help="Percent kept back to measure lift against; 5, and 0 for --uncapped, unless you say."),
    ] = None,
    at: Annotated[str | None, typer.Option(help="now, or a time such as 2026-11-30T10:00 (brand's zone).")] = None,
    cron: Cron = None,
    calendar: Calendar = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="Enter person by person: nesl:E→S1, tag:NAME, click:TOPIC, 生日前 7 天, 購買後 30 天 … or JSON."
        ),
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="With --on: don't listen before `schedule`.")] = False,
    wait: Annotated[str | None, typer.Option(help="With --on: how long after entering, such as 30m, 4h, 3d.")] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="A later step: '3d: text', '3d [not clicked]: text' or '3d: @a.json @b.json' (variants); repeat it."
        ),
    ] = None,
    goal: Annotated[
        str | None, typer.Option(help="Who reaches it gets nothing more: bought, clicked, rule:NAME or a rule's JSON.")
    ] = None,
    best_hour: Annotated[bool, typer.Option("--best-hour", help="Each person at the hour at which they tap.")] = False,
    ignore_quiet_hours: Annotated[
        bool, typer.Option("--ignore-quiet-hours", help="Send in the brand's quiet hours too.")
    ] = False,
    uncapped: Annotated[
        bool,
        typer.Option("--uncapped", help="A service message: neither caps nor priorities hold, refusals do."),
    ] = False,
    priority: Annotated[int, typer.Option(help="Of several campaigns for one person the highest goes first.")] = 0,
    conversion_days: Annotated[
        int | None, typer.Option(help="Days after a tap or a delivery in which an order counts for it.")
    ] = None,
    theme: Annotated[str | None, typer.Option(help="What it is about, for the keyword report.")] = None,
    channel: Annotated[str | None, typer.Option(help="Which LINE account, if there are several.")] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="URL=topic: who taps the link gets that tag; repeat it.")
    ] = None,
    utm: Annotated[
        list[str] | None, typer.Option(help="source=line, campaign=…: added to links without utm; repeat it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan a campaign. Without --at, --cron, --calendar or --on it stays a draft."""
    settings = settings_for_command()
    now = system_clock()
    plan = Plan(
        name=name,
        audience=Audience(tuple(to), tuple(without or ())),
        steps=_with_steps(_steps(text, messages or []), wait, step or []),
        trigger=on,
        is_draft=draft,
        goal=goal,
        at_best_hour=best_hour,
        is_capped=not uncapped,
        keeps_quiet_hours=not ignore_quiet_hours,
        priority=priority,
        experiment=None if experiment is None else _read_json(experiment),
        reply_first_minutes=reply_first,
        at=_moment(at, settings.zone, now),
        way=way,
        holdout_percent=None if holdout is None else _percent(holdout),
        recurs=_recurs(cron, calendar),
        theme=theme,
        conversion_days=settings.conversion_days if conversion_days is None else conversion_days,
        topics=_topics(topic or []),
        utm=_utm(utm or []),
    )
    named = channel_named(settings, channel)
    with opened_database(settings) as engine:
        channel_id = channel_ids(engine, settings)[named.name]
        with transaction(engine) as session:
            campaign = create_campaign(session, plan, channel_id=channel_id, zone=settings.zone, now=now)
        _print_state(campaign, as_json, settings.zone)


def _recurs(cron: str | None, calendar: str | None) -> str | None:
    if cron is not None and calendar is not None:
        raise BadInput("give either --cron or --calendar")
    return calendar if cron is None else cron


def _topics(given: list[str]) -> dict[str, str]:
    """Link -> topic. The last `=` divides: links have some of their own."""
    found = {}
    for words in given:
        url, sign, topic = words.rpartition("=")
        if not sign:
            raise BadInput(f"--topic {words!r} must be a link and its topic, such as https://example.com/c=維他命 C")
        found[url] = topic.strip()
    return found


def _steps(text: str | None, paths: list[Path]) -> list[StepPlan]:
    if (text is None) == (not paths):
        raise BadInput("give the content with either --text or --messages")
    if text is not None:
        return one_step([{"type": "text", "text": text}])
    return [StepPlan(_variants(paths))]


def _with_steps(first: list[StepPlan], wait: str | None, later: list[str]) -> list[StepPlan]:
    if wait is not None:
        first = [replace(first[0], wait_minutes=minutes_of(wait, "--wait"))]
    return [*first, *(step_of(words, _variants) for words in later)]


def _variants(paths: Sequence[Path]) -> list[VariantPlan]:
    """A variant of each file: A, B …"""
    if len(paths) > len(ascii_uppercase):
        raise BadInput(f"at most {len(ascii_uppercase)} variants can compete")
    return [_variant(path, name) for name, path in zip(ascii_uppercase, paths, strict=False)]


def _variant(path: Path, name: str) -> VariantPlan:
    """A list of messages, or an object with `messages` and, by language, `languages`."""
    read: Any = _read_json(path)
    if not isinstance(read, dict) or "messages" not in read:
        messages: Any = read  # of whatever kind: it is checked with the plan
        return VariantPlan(messages, name=name)
    languages = read.get("languages", {})
    if not isinstance(languages, dict):
        raise BadInput(f'"languages" of {path} must be an object: language, such as en, to messages')
    return VariantPlan(read["messages"], name=name, languages=languages)


def _utm(given: list[str]) -> dict[str, str]:
    pairs = [words.partition("=") for words in given]
    if wrong := [name for name, sign, _ in pairs if not sign]:
        raise BadInput(f"--utm {wrong[0]!r} must be name=value, such as source=line")
    return {name.removeprefix("utm_"): value for name, _, value in pairs}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}") from error


def _moment(words: str | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    if words is None or words == "now":
        return now if words else None
    try:
        moment = datetime.fromisoformat(words)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{words!r} is not a time: say now, or 2026-11-30T10:00") from error


def _percent(words: str) -> Decimal:
    try:
        return Decimal(words.removesuffix("%"))
    except InvalidOperation as error:
        raise BadInput(f"{words!r} is not a percentage") from error


def _print_state(campaign: Campaign, as_json: bool, zone: ZoneInfo) -> None:
    if as_json:
        print_json({"id": campaign.id, "state": campaign.state})
        return
    when = f", next at {campaign.next_fire_at.astimezone(zone):%Y-%m-%d %H:%M}" if campaign.next_fire_at else ""
    typer.echo(f"campaign {campaign.id} ({campaign.name}) is {campaign.state}{when}")


@app.command("list")
def list_campaigns(as_json: AsJson = False) -> None:
    """All campaigns, newest first."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = session.scalars(select(Campaign).order_by(Campaign.id.desc())).all()  # type: ignore[union-attr]
    if as_json:
        print_json([_described(campaign) for campaign in found])
        return
    table = Table("id", "name", "state", "to", "way", "next", "problem")
    for c in found:
        when = f"{c.next_fire_at.astimezone(settings.zone):%Y-%m-%d %H:%M}" if c.next_fire_at else ""
        table.add_row(str(c.id), c.name, c.state, str(Audience.from_json(c.audience)), c.way, when, c.problem or "")
    Console().print(table)


def _described(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "state": campaign.state,
        "to": str(Audience.from_json(campaign.audience)),
        "way": campaign.way,
        "recurs": campaign.recurs,
        "when": when_words(campaign, "zh"),
        "next_fire_at": campaign.next_fire_at.isoformat() if campaign.next_fire_at else None,
        "problem": campaign.problem,
    }


@app.command()
def show(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """What became of a campaign, all its runs together."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        catch_up(engine, system_clock)
        with reading(engine) as session:
            campaign = campaign_by_id(session, campaign_id)
            runs = runs_of(session, campaign_id)
            results = campaign_results(session, campaign_id)
    if as_json:
        print_json({**_described(campaign), "runs": len(runs), **results.to_json()})
        return
    _print_state(campaign, False, settings.zone)
    if words := when_words(campaign, "zh"):
        typer.echo(f"{words} / {when_words(campaign, 'en')}")
    if campaign.problem:
        typer.echo(f"problem: {campaign.problem}")
    Console().print(totals_table(results, f"{len(runs)} runs"))


@app.command("schedule")
def schedule_draft(
    campaign_id: CampaignId,
    at: Annotated[str | None, typer.Option(help="now, or a time such as 2026-11-30T10:00 (brand's zone).")] = None,
    cron: Cron = None,
    calendar: Calendar = None,
    as_json: AsJson = False,
) -> None:
    """Give a draft its time; one with a trigger listens from --at on, or at once."""
    settings = settings_for_command()
    now = system_clock()
    moment = _moment(at, settings.zone, now)
    with opened_database(settings) as engine, transaction(engine) as session:
        campaign = schedule.schedule_draft(
            session, campaign_id, at=moment, recurs=_recurs(cron, calendar), zone=settings.zone, now=now
        )
        _print_state(campaign, as_json, settings.zone)


@app.command()
def pause(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """Stop sending within a second; `resume` goes on."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        _print_state(schedule.pause(session, campaign_id), as_json, settings.zone)


@app.command()
def resume(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """Go on where `pause` stopped."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        campaign = schedule.resume(session, campaign_id, zone=settings.zone, now=system_clock())
        _print_state(campaign, as_json, settings.zone)


@app.command()
def cancel(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """End a campaign for good; who was not sent to is skipped."""
    settings = settings_for_command()
    with opened_database(settings) as engine, transaction(engine) as session:
        _print_state(schedule.cancel(session, campaign_id), as_json, settings.zone)


@app.command()
def forecast(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """Were it sent now: messages, quota, cost, and what is to be expected, with intervals."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        found = forecast_of(engine, campaign_id, zone=settings.zone, clock=system_clock)
    if as_json:
        print_json(found.to_json())
        return
    quota, cost, expected = found.quota, found.cost, found.expected
    table = Table(show_header=False)
    table.add_row("the audience means", f"{found.reach.audience:,}")
    for reason, people in found.reach.skipped.items():
        table.add_row(f"  skipped: {REASONS[reason]} {reason}", f"{people:,}")
    table.add_row("  held out", f"{found.reach.held_out:,}")
    table.add_row("messages needed", f"{found.reach.messages:,}")
    unknown = "unlimited" if quota.read_at else "LINE was not asked yet"
    table.add_row("left this month", unknown if quota.left is None else f"{quota.left:,}")
    table.add_row(
        "used: LINE says / we sent", f"{'-' if quota.line_used is None else quota.line_used} / {quota.accepted}"
    )
    table.add_row("too many by", f"{found.short_by:,}")
    table.add_row(
        f"beyond the plan ({found.plan.offer.name})", f"{cost.add_on:,} for {cost.money:,} {found.plan.currency}"
    )
    for name in ("clicks", "orders", "revenue", "incremental"):
        value = getattr(expected, name)
        if value is not None:
            table.add_row(name, f"{value.middle:,.0f} (90 %: {value.low:,.0f} to {value.high:,.0f})")
    Console().print(table)
    for missing in expected.missing:
        typer.echo(missing)
