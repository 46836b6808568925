"""`retarget demo`: the whole loop, without a LINE account."""

import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli.context import print_json
from service.demo.live import living, run_live, suggested_text
from service.demo.past import bring_orders, gain_friends, play_past, renew_segments
from service.demo.stage import free_port, make_owner, open_stage
from service.demo.summary import figures, show
from service.logging import set_up_logging

HISTORY_DAYS = 60


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="End by itself instead of serving until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    data: Annotated[Path, typer.Option(help="Folder for the demo's database; an earlier one is replaced.")] = Path(
        "demo-data"
    ),
    friends: Annotated[int, typer.Option(min=10, max=20_000, help="How many customers follow the account.")] = 2_000,
    campaigns: Annotated[int, typer.Option(min=4, max=1_000, help="How many campaigns the past holds.")] = 80,
    port: Annotated[int, typer.Option(min=1, max=65535, help="For the web server; another if it is taken.")] = 8000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people and campaigns.")] = 7,
) -> None:
    """Play the whole loop with a simulated LINE: real orders, two months of campaigns, then one live campaign."""
    set_up_logging("ERROR")
    started = time.monotonic()
    stage = open_stage(data, history_days=HISTORY_DAYS, seed=seed, port=free_port(port))
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    tasks: dict[str, int] = {}

    def progress(what: str, done: int, of: int) -> None:
        name = what.partition(":")[0]
        if name not in tasks:
            tasks[name] = bar.add_task(what, total=of)
        bar.update(tasks[name], description=what, completed=done, total=of)  # type: ignore[arg-type]

    with bar:
        bring_orders(stage, progress)
        gain_friends(stage, friends, seed, progress)
        play_past(stage, campaigns, seed, progress)
        text = suggested_text(stage, seed)
        renew_segments(stage)
        bar.console.print(f"starting web server and worker 啟動服務 ({time.monotonic() - started:.0f} s)")
        with living(stage):
            live_id, live = run_live(stage, text, progress)
            renew_segments(stage)
            bar.stop()
            found = figures(stage, live_id)
            if as_json:
                print_json(found)
            else:
                show(found, live, time.monotonic() - started, text)
            if not leave:
                email, password = make_owner(stage)
                typer.echo(f"\n主控台 console: {found['console']}   (Ctrl-C 結束 ends it)", err=as_json)
                typer.echo(f"登入 sign in: {email}   密碼 password: {password}", err=as_json)
                _wait_for_ctrl_c()


def _wait_for_ctrl_c() -> None:
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    told.wait()
