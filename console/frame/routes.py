"""A room's pages as a table: the address, the view, and how it may be asked for."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from flask import Blueprint

View = Callable[..., Any]


class Route(NamedTuple):
    """`endpoint` None: the view's own name."""

    rule: str
    view: View
    methods: tuple[str, ...]
    endpoint: str | None = None


def get(rule: str, view: View, endpoint: str | None = None) -> Route:
    """A page."""
    return Route(rule, view, ("GET",), endpoint)


def post(rule: str, view: View) -> Route:
    """What a form does."""
    return Route(rule, view, ("POST",))


def get_and_post(rule: str, view: View) -> Route:
    """A page with a form that asks itself."""
    return Route(rule, view, ("GET", "POST"))


def add_routes(blueprint: Blueprint, routes: Iterable[Route]) -> None:
    """Add them all, each with its view's name as endpoint unless it says another."""
    for one in routes:
        blueprint.add_url_rule(one.rule, one.endpoint, one.view, methods=list(one.methods))
