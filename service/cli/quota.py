"""`retarget quota`: what each channel has left this month, by LINE's figure and by ours, and what more would cost."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from campaigns.money.line_plan import change_plan, cost_of, read_plan
from campaigns.money.quota import quota_state
from service.channels import channel_ids
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading, transaction
from store.errors import BadInput


def register(app: typer.Typer) -> None:
    """Add `quota`."""
    app.command()(quota)


def quota(
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", help="First choose the plan: light, medium, high, or one of your own."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="First choose the plan table from a JSON file, as `quota --json` prints it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Messages left this month, by LINE's figure and by ours, and the plan."""
    from service.quota import read_quotas  # here, not above: the SDK takes a second to import

    settings = settings_for_command()
    with opened_database(settings) as engine:
        if changes := _changes(plan_name, prices):
            with transaction(engine) as session:
                change_plan(session, changes, actor="command line", now=system_clock())
        problems = read_quotas(engine, settings, system_clock)
        ids = channel_ids(engine, settings)
        with reading(engine) as session:
            states = [
                quota_state(session, channel_id, zone=settings.zone, now=system_clock()) for channel_id in ids.values()
            ]
            plan = read_plan(session)
    if as_json:
        rows = [{**asdict(s), "used": s.used, "left": s.left, "problem": problems.get(s.channel)} for s in states]
        print_json({"plan": plan.model_dump(mode="json"), "channels": rows})
        return
    table = Table("channel", "limit", "LINE says used", "we sent", "still to send", "left", "the next 1,000 cost")
    for s in states:
        cost = cost_of(plan.offer, s.used + s.waiting, 1_000)
        price = f"{cost.money:,} {plan.currency}" + (f" ({cost.impossible:,} not to be had)" if cost.impossible else "")
        unread = "not read" if s.read_at is None else "none"
        figures = [unread if n is None else f"{n:,}" for n in (s.limit, s.line_used, s.accepted, s.waiting, s.left)]
        table.add_row(s.channel, *figures, price)
    Console().print(table)
    for channel, problem in problems.items():
        typer.echo(f"{channel}: LINE's figure could not be read now: {problem}")
    mark = "" if plan.is_confirmed else "; unconfirmed: hold them against LINE's own page"
    typer.echo(f"plan {plan.offer.name}, prices as of {plan.prices_as_of}{mark}")


def _changes(plan_name: str | None, prices: Path | None) -> dict[str, Any]:
    """What is chosen of the plan; empty: nothing."""
    changes: dict[str, Any] = {}
    if prices is not None:
        try:
            read = json.loads(prices.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{prices} can't be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{prices} is not JSON: {error}") from error
        if not isinstance(read, dict):
            raise BadInput(f"{prices} must hold an object")
        changes.update(read)
    return {**changes, "plan": plan_name} if plan_name is not None else changes
