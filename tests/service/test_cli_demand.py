"""`retarget demand` as a marketer meets it, on both databases."""

from collections.abc import Callable

import typer
from sqlalchemy import Engine

from service.cli.demand import register
from store.engine import transaction
from store.models import Product
from tests.service.conftest import Retarget


def test_of_a_group_asked_for_by_name_no_growth_is_told(
    command_line: Callable[[typer.Typer], Retarget], engine: Engine
) -> None:
    with transaction(engine) as session:
        session.add(Product(sku="S1", name="洗髮精", labels=["去屑"]))
    app = typer.Typer()
    register(app)
    retarget = command_line(app)
    assert [(one["key"], one["now"]) for one in retarget("--group", "nesl=E", "--json")["groups"]] == [
        ("all", 0),
        ("nesl=E", None),
    ]
    assert "\nnesl=E: nothing is surely short" in retarget("--group", "nesl=E")
