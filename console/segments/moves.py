"""Who moved between two days, where the worker finds it out: asked for by the page, and the part that waits for it."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session

from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.segments.sizes import read_sizes
from segmentation.models import segments_of
from segmentation.movement import Movement, ask_for_moves, moved
from store.engine import reading, transaction

WORKER_ANSWERS_WITHIN = timedelta(minutes=2)  # some seconds for a million changes; longer, and it isn't there


def days_asked(days: Sequence[date], asked: Mapping[str, str]) -> tuple[date, date] | None:
    """The days `from` and `to` of a form, of those with results (ascending), else the two newest; None with fewer than
    two."""
    if len(days) < 2:
        return None
    from_, to = (_day(asked.get(name)) for name in ("from", "to"))
    first = from_ if from_ is not None and from_ in days[:-1] else days[-2]
    last = to if to is not None and to in days and to > first else days[-1]
    return first, last


@needs(Role.READER)
def ask_moves(model: str) -> Any:
    """Whoever may look may let it be counted: nothing else changes by it."""
    segments_of(model)
    with transaction(site.engine) as session:
        if (days := days_asked(read_sizes(session, model).days, request.form)) is not None:
            ask_for_moves(session, model, *days, site.clock())
    if "HX-Request" in request.headers:
        return show_waiting_moves(model)
    chosen: dict[str, Any] = {name: request.form[name] for name in ("from", "to") if name in request.form}
    return redirect(url_for("console.show_model", model=model, **chosen, _anchor="moves"), 303)


def show_waiting_moves(model: str) -> Any:
    """A part of the model's page, which is shown anew once there is something to show."""
    segments_of(model)
    with reading(site.engine) as session:
        found = _found(session, model)
    late = found is not None and found.asked_at is not None and site.clock() - found.asked_at > WORKER_ANSWERS_WITHIN
    page = render_template("console/segments/_moves_waiting.html", model=model, moves=found, is_worker_silent=late)
    return page, 200, {} if found is not None and found.counts is None else {"HX-Refresh": "true"}


def _found(session: Session, model: str) -> Movement | None:
    sizes = read_sizes(session, model)
    days = days_asked(sizes.days, request.values)
    return None if days is None else moved(session, model, *days, {})


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


ROUTES = (
    post("/segments/<model>/moves", ask_moves),
    get("/segments/<model>/moves", show_waiting_moves),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST and GET /console/segments/<model>/moves, a part of the model's page."""
    add_routes(blueprint, ROUTES)
