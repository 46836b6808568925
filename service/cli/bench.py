"""`retarget bench`: measurements with the ratio to a stated floor or peer taken in the same run."""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from service.cli.context import print_json
from store.errors import BadInput

SUBJECTS = (
    "webhook",
    "intake",
    "freezing",
    "clicks",
    "dispatch",
    "kills",
    "segmentation",
    "renewal",
    "rules",
    "keywords",
    "predict",
    "results",
    "console",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


def bench(
    subject: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(SUBJECTS)} or all.")],
    quick: Annotated[bool, typer.Option("--quick", help="A smaller scale, for a first look.")] = False,
    large: Annotated[bool, typer.Option("--large", help="How segmentation grows, to 100,000,000 orders.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Measure, and say whether the goals of docs/benchmarks.md are met. The exit code says nothing about speed."""
    if subject != "all" and subject not in SUBJECTS:
        raise BadInput(f"there is no benchmark {subject!r}; there are {', '.join(SUBJECTS)} and all")
    if large and (quick or subject != "segmentation"):
        raise BadInput("--large is a scale of segmentation alone, and no --quick one")
    scale = "quick" if quick else "large" if large else "full"
    figures: list[Figure] = []
    for name in SUBJECTS if subject == "all" else (subject,):
        run: Callable[[str], list[Figure]] = import_module(f"benchmarks.{name}").run
        measured = run(scale)
        figures += measured
        if not as_json:
            _show(name, measured)
    if as_json:
        print_json([vars(figure) for figure in figures])


def _show(name: str, figures: list[Figure]) -> None:
    table = Table(title=name, title_justify="left")
    for column in ("figure", "value", "peer", "its value", "ratio", "goal", "met"):
        table.add_column(column, justify="right" if column in ("value", "its value", "ratio") else "left")
    for f in figures:
        table.add_row(
            f.name,
            f"{f.value:,.4g} {f.unit}",
            f.peer,
            "" if f.peer_value is None else f"{f.peer_value:,.4g}",
            "" if f.ratio is None else f"{f.ratio:.3g}",
            f.goal,
            "" if f.met is None else "yes" if f.met else "no",
        )
    console = Console()
    console.print(table, width=None if console.is_terminal else 200)
