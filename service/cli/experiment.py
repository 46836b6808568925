"""`retarget experiment`: how many people it takes, and how it stands."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from campaigns.experiments.arms import newest_comparison
from campaigns.experiments.before import Outcome, Wanted, before
from campaigns.experiments.sample_size import Design, Rule, as_words, people_needed
from campaigns.experiments.verdict import verdict
from campaigns.results.all_campaigns import all_campaigns
from campaigns.results.lift import Lift
from campaigns.results.runs import runs_of
from service.cli.campaign_results import arms_table, interval_words
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.ids import CampaignId
from store.clock import system_clock
from store.engine import reading
from store.errors import BadInput, NotFound

app = typer.Typer(help="Plan and judge experiments.", no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


@app.command()
def size(
    campaign_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=2**63 - 1, help="A campaign: its audience and the past.")
    ] = None,
    baseline: Annotated[
        float | None, typer.Option(help="The rate expected of the first variant, 0.03 for 3 %.")
    ] = None,
    difference: Annotated[float | None, typer.Option(help="The difference to see, 0.01 for one point.")] = None,
    people: Annotated[int | None, typer.Option(help="The people there are: what can they show?")] = None,
    variants: Annotated[int | None, typer.Option(help="How many variants; 2, or as many as the campaign has.")] = None,
    power: Annotated[float, typer.Option(help="How often a difference of that size is seen.")] = 0.8,
    rule: Annotated[str, typer.Option(help="anytime: looked at all the time; fixed: once, at the end.")] = "anytime",
    outcome: Annotated[str | None, typer.Option(help="With a campaign: clicks or orders, if not its own.")] = None,
    per_day: Annotated[int | None, typer.Option(min=1, help="People sent to a day, for how long it takes.")] = None,
    as_json: AsJson = False,
) -> None:
    """People needed to see a difference, or what a number of people can show: of plain numbers, or of a campaign."""
    rules: dict[str, Rule] = {"anytime": "anytime", "fixed": "fixed"}
    outcomes: dict[str | None, Outcome | None] = {None: None, "clicks": "clicks", "orders": "orders"}
    if rule not in rules:
        raise BadInput(f"{rule!r} is not a rule: say anytime or fixed")
    if outcome not in outcomes:
        raise BadInput(f"{outcome!r} is not an outcome: say clicks or orders")
    if campaign_id is not None:
        if people is not None:
            raise BadInput("the people of a campaign are its audience: leave --people out, or the campaign")
        wanted = Wanted(difference, baseline, outcomes[outcome], variants, per_day, power, rules[rule])
        _tell_before(campaign_id, wanted, as_json)
        return
    if baseline is None:
        raise BadInput("say the rate you expect (--baseline), or a campaign whose past tells it")
    _tell_size(
        Design(baseline, variants=variants or 2, power=power, rule=rules[rule]), difference, people, per_day, as_json
    )


def _tell_size(
    design: Design, difference: float | None, people: int | None, per_day: int | None, as_json: bool
) -> None:
    if (difference is None) == (people is None):
        raise BadInput("say either --difference or --people")
    if people is not None:
        words = as_words(design, people)
        print_json(words) if as_json else typer.echo(f"{words['en']}\n{words['zh']}")
        return
    assert difference is not None
    needed = people_needed(design, difference)
    days = None if per_day is None else -(-needed // per_day)
    if as_json:
        print_json({"people": needed, "days": days})
        return
    lasts = "" if days is None else f", {days:,} days"
    typer.echo(f"{needed:,} people in all{lasts} (power {design.power:.0%}, {design.rule})")


def _tell_before(campaign_id: int, wanted: Wanted, as_json: bool) -> None:
    settings = settings_for_command()
    with opened_database(settings) as engine:
        found = before(engine, campaign_id, wanted, zone=settings.zone, clock=system_clock)
    if as_json:
        print_json(found.to_json())
        return
    base, of = found.baseline, {"clicks": "點擊 tap", "orders": "購買 buy"}[found.outcome]
    rests = "說的 as you say" if base.low is None else f"90 %: {base.low:.2%} – {base.high:.2%}, {base.runs} runs"
    table = Table(show_header=False)
    table.add_row("名單人數 the audience means", f"{found.audience:,}")
    table.add_row("現在會送達 would be sent to now", f"{found.people:,}")
    table.add_row(f"用來比較 compared, {found.variants} variants", f"{found.learning:,}")
    table.add_row(f"預期比率 expected to {of}", f"{base.rate:.2%} ({rests})")
    if found.needed is not None:
        enough = "足夠 enough" if found.is_enough else "不足 not enough"
        table.add_row(f"看出 {wanted.difference:.2%} 需要 needed to see it", f"{found.needed:,}: {enough}")
    smallest = "看不出 none" if found.smallest is None else f"{found.smallest:.2%}"
    table.add_row(f"可看出的差異 smallest difference shown, power {wanted.power:.0%}", smallest)
    table.add_row("多久 takes", _length(found.days))
    Console().print(table)


def _length(days: float | None) -> str:
    if days is None:
        return "未知 unknown: say --per-day"
    return f"{days * 24:,.0f} 小時 hours" if days < 2 else f"{days:,.1f} 天 days"


@app.command()
def show(
    campaign_id: CampaignId,
    as_json: AsJson = False,
) -> None:
    """How the variants of a campaign's newest run stand; may be looked at as often as you like."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        runs = runs_of(session, campaign_id)
        if not runs or runs[0].id is None:
            raise NotFound(f"campaign {campaign_id} has no run yet")
        found = verdict(session, runs[0].id, now=system_clock())
    if as_json:
        print_json(found.to_json())
        return
    table = Table("variant", "people", found.outcome, "chance to be best", "difference from the first", title="so far")
    for one in found.standings:
        d = one.difference
        apart = f"{d.estimate:+.2%} ({d.low:+.2%} to {d.high:+.2%})" if d else ""
        table.add_row(one.name, f"{one.people:,}", f"{one.successes:,}", f"{one.chance_best:.0%}", apart)
    Console().print(table)
    typer.echo(f"{found.open_people:,} people's outcome is still to come; winner: {found.winner or 'open'}")


@app.command()
def arms(
    campaign_id: CampaignId,
    as_json: AsJson = False,
) -> None:
    """Learned targeting against the hand rule: what either adds in a campaign's newest run."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = newest_comparison(session, campaign_id)
    if found is None:
        raise NotFound(f"campaign {campaign_id} has no run with learned targeting")
    if as_json:
        print_json(found.to_json())
        return
    Console().print(arms_table(found))


@app.command()
def holdout(as_json: AsJson = False) -> None:
    """What all campaigns together bring per person, against those whom the brand holds out of everything."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        found = all_campaigns(session, zone=settings.zone, now=system_clock())
    if as_json:
        print_json([one.to_json() for one in found])
        return
    if not found:
        typer.echo("nobody is held out of all campaigns: retarget campaign settings global_holdout_percent=5")
        return
    table = Table(
        "期間 period", "可發送 sent to", "不發送 held out", "買家 buyers", "每人營收 per person", "合計 in all"
    )
    for one in found:
        days = " – ".join(f"{at.astimezone(settings.zone):%Y-%m-%d}" for at in (one.since, one.until))
        period = days if one.is_over else f"{days} 進行中 so far"
        told = [_told(one.buyers, "{:+.2%}"), _told(one.revenue, "{:+,.2f}"), _told(one.added, "{:+,.0f}")]
        table.add_row(period, f"{one.sent_to.people:,}", f"{one.held_out.people:,}", *told)
    Console().print(table)


def _told(lift: Lift | None, form: str) -> str:
    return "人數太少 too few to tell" if lift is None else interval_words(lift, form)
