"""`retarget campaign ways`: how a campaign could be sent, how long each way takes and what it costs."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from campaigns.audience.reach import reach_now
from campaigns.planning.plan import campaign_needs
from campaigns.planning.schedule import campaign_by_id
from campaigns.sending.ways import Way, choose_way, ways_for
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.ids import CampaignId
from store.clock import system_clock
from store.engine import reading


def register_ways(app: typer.Typer) -> None:
    """Add the command to `retarget campaign`."""
    app.command("ways")(show_ways)


def show_ways(
    campaign_id: CampaignId,
    people: Annotated[int | None, typer.Option(min=0, help="For so many people, instead of its audience now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Which ways a campaign can be sent, why not the others, how long each takes at LINE's rates and what it costs."""
    settings = settings_for_command()
    with opened_database(settings) as engine:
        with reading(engine) as session:
            campaign = campaign_by_id(session, campaign_id)
            needs = campaign_needs(session, campaign)
        if people is None:
            people = reach_now(engine, campaign_id, zone=settings.zone, clock=system_clock).messages
    ways, best = ways_for(people, needs), choose_way(needs)
    if as_json:
        print_json({"people": people, "way": campaign.way, "auto": best, "ways": [_as_json(way) for way in ways]})
        return
    typer.echo(f"campaign {campaign_id} ({campaign.name}) goes by {campaign.way}; auto would choose {best}")
    table = Table("way", "possible", "takes at least", "calls", "messages", "taps known", title=f"{people:,} people")
    for way in ways:
        possible = "yes" if way.is_possible else f"no: {'; '.join(way.why_not)}"
        table.add_row(way.name, possible, _time(way.seconds), f"{way.calls:,}", f"{way.cost:,}", way.clicks)
    Console().print(table)
    for way in ways:
        for note in way.notes if way.is_possible else ():
            typer.echo(f"{way.name}: {note}")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "until its deadline"
    return f"{seconds:,.1f} s" if seconds < 100 else f"{seconds / 60:,.0f} min"


def _as_json(way: Way) -> dict[str, Any]:
    return {
        "name": way.name,
        "is_possible": way.is_possible,
        "why_not": list(way.why_not),
        "seconds": way.seconds,
        "calls": way.calls,
        "messages": way.cost,
        "clicks": way.clicks,
        "notes": list(way.notes),
    }
