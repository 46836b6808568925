"""`retarget experiment`: how many people it takes, and how it stands."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from campaigns.experiments.arms import compare_arms
from campaigns.experiments.sample_size import Design, Rule, as_words, people_needed
from campaigns.experiments.verdict import verdict
from campaigns.results.lift import Lift
from campaigns.results.runs import runs_of
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading
from store.errors import BadInput, NotFound

app = typer.Typer(help="Plan and judge experiments.", no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


@app.command()
def size(
    baseline: Annotated[float, typer.Option(help="The rate expected of the first variant, 0.03 for 3 %.")],
    difference: Annotated[float | None, typer.Option(help="The difference to see, 0.01 for one point.")] = None,
    people: Annotated[int | None, typer.Option(help="The people there are: what can they show?")] = None,
    variants: Annotated[int, typer.Option(help="How many variants.")] = 2,
    power: Annotated[float, typer.Option(help="How often a difference of that size is seen.")] = 0.8,
    rule: Annotated[str, typer.Option(help="anytime: looked at all the time; fixed: once, at the end.")] = "anytime",
    per_day: Annotated[int | None, typer.Option(help="People sent to a day, for how long it takes.")] = None,
    as_json: AsJson = False,
) -> None:
    """People needed to see a difference, or what a number of people can show."""
    rules: dict[str, Rule] = {"anytime": "anytime", "fixed": "fixed"}
    if rule not in rules:
        raise BadInput(f"{rule!r} is not a rule: say anytime or fixed")
    design = Design(baseline, variants=variants, power=power, rule=rules[rule])
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
    typer.echo(f"{needed:,} people in all{lasts} (power {power:.0%}, {rule})")


@app.command()
def show(
    campaign_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="The campaign's id.")],
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
    campaign_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="The campaign's id.")],
    as_json: AsJson = False,
) -> None:
    """Learned targeting against the hand rule: what either adds in a campaign's newest run."""
    settings = settings_for_command()
    with opened_database(settings) as engine, reading(engine) as session:
        runs = runs_of(session, campaign_id)
        found = compare_arms(session, runs[0].id) if runs and runs[0].id is not None else None
    if found is None:
        raise NotFound(f"campaign {campaign_id} has no run with learned targeting")
    if as_json:
        print_json(found.to_json())
        return
    table = Table("", "sent", "bought", "held out", "bought ", "adds per message", title="hand rule and expected gain")
    for name, one in (("rule", found.rule), ("gain", found.gain)):
        bought = [f"{one.sent.buyers:,}", f"{one.held_out.people:,}", f"{one.held_out.buyers:,}"]
        table.add_row(name, f"{one.sent.people:,}", *bought, _told(one.revenue))
    table.add_row("gain less rule", "", "", "", "", _told(found.revenue))
    Console().print(table)
    typer.echo(f"{found.by_both:,} of those whom the rule reached expected gain would choose too")


def _told(lift: Lift | None) -> str:
    return "too few to tell" if lift is None else f"{lift.difference:+.2f} ({lift.low:+.2f} to {lift.high:+.2f})"
