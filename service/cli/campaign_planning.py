"""`retarget campaign`: later steps in words for `create`, and what fires in the coming days."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from campaigns.planning.coming import coming, listening
from campaigns.planning.plan import StepPlan, VariantPlan
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading
from store.errors import BadInput

_MINUTES = {"m": 1, "h": 60, "d": 24 * 60}
_STEP = re.compile(r"(?P<wait>\d+[mhd])\s*(?:\[(?P<condition>.+?)\])?\s*:\s*(?P<content>.+)", re.DOTALL)


def minutes_of(words: str, option: str) -> int:
    """Minutes of `30m`, `4h` or `3d`. Raises BadInput."""
    if not re.fullmatch(r"\d{1,6}[mhd]", words):
        raise BadInput(f"{option} {words!r} is not a wait such as 30m, 4h or 3d")
    return int(words[:-1]) * _MINUTES[words[-1]]


def step_of(words: str, read_variants: Callable[[Sequence[Path]], Sequence[VariantPlan]]) -> StepPlan:
    """A later step of `3d [not clicked]: text`, or of files, one for each variant: `3d: @a.json @b.json`. Raises
    BadInput."""
    said = _STEP.fullmatch(words.strip())
    if said is None:
        raise BadInput(f"--step {words!r} must be such as '3d: text', '3d [not clicked]: text' or '3d: @messages.json'")
    content = said["content"].strip()
    variants: Sequence[VariantPlan] = [VariantPlan([{"type": "text", "text": content}])]
    if content.startswith("@"):
        variants = read_variants([Path(path) for path in re.split(r"\s+@", content[1:])])
    return StepPlan(variants, wait_minutes=minutes_of(said["wait"], "--step"), condition=said["condition"])


def register_planning(app: typer.Typer) -> None:
    """Add the commands of this file."""

    @app.command("calendar")
    def show_calendar(
        days: Annotated[int, typer.Option(min=1, max=366, help="How many days to look ahead.")] = 14,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
    ) -> None:
        """What fires in the coming days, after quiet hours, with holidays; and what waits for people."""
        settings = settings_for_command()
        with opened_database(settings) as engine, reading(engine) as session:
            found = coming(session, zone=settings.zone, now=system_clock(), days=days)
            waiting = listening(session)
        if as_json:
            firings = [{**vars(one), "at": one.at.astimezone(settings.zone).isoformat()} for one in found]
            print_json({"firings": firings, "listening": [vars(one) for one in waiting]})
            return
        table = Table("時間 time", "活動 campaign", "步驟 step", "人數 people", "備註 note")
        for one in found:
            notes = [one.holiday or "", "因靜音時段延後 put off by quiet hours" if one.is_put_off else ""]
            people = "" if one.people is None else f"{one.people:,}{'+' if one.is_least else ''}"
            when = f"{one.at.astimezone(settings.zone):%Y-%m-%d %a %H:%M}"
            table.add_row(
                when, f"{one.campaign_id} {one.name}", str(one.step_number), people, " ".join(filter(None, notes))
            )
        Console().print(table)
        for listener in waiting:
            typer.echo(f"{listener.campaign_id} {listener.name}: {listener.chinese} / {listener.english}")
