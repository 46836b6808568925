"""Who moved between two days, where the worker finds it out: asked for by the page, and the part that waits for it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session

from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.segments.sizes import SPANS, read_days
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


def span_asked(asked: Mapping[str, str]) -> int:
    """How many days with results a page shows: `days` of a form, one of SPANS; else the shortest."""
    return next((span for span in SPANS if str(span) == asked.get("days")), SPANS[0])


@needs(Role.READER)
def ask_moves(model: str) -> Any:
    """Whoever may look may let it be counted: nothing else changes by it."""
    segments_of(model)
    with transaction(site.engine) as session:
        if (days := _days(session, model)) is not None:
            ask_for_moves(session, model, *days, site.clock())
    if "HX-Request" in request.headers:
        return show_waiting_moves(model)
    chosen: dict[str, Any] = {name: request.form[name] for name in ("from", "to", "days") if name in request.form}
    return redirect(url_for("console.show_model", model=model, **chosen, _anchor="moves"), 303)


def show_waiting_moves(model: str) -> Any:
    """A part of the model's page, which is shown anew once there is something to show. 204 where it would say what it
    said (`seen`): a screen reader would say it again every time."""
    segments_of(model)
    with reading(site.engine) as session:
        days = _days(session, model)
        found = None if days is None else moved(session, model, *days, {})
    if found is None or found.counts is not None:
        return "", 200, {"HX-Refresh": "true"}
    waiting = waiting_of(found, site.clock())
    if waiting == request.args.get("seen"):
        return "", 204
    span = span_asked(request.values)
    return render_template("console/segments/_moves_waiting.html", model=model, moves=found, span=span, waiting=waiting)


def waiting_of(moves: Movement, now: datetime) -> Literal["unasked", "asked", "silent"]:
    """How it stands with what the worker has yet to find out: whether it was asked, and so long ago that it isn't
    there."""
    if moves.asked_at is None:
        return "unasked"
    return "silent" if now - moves.asked_at > WORKER_ANSWERS_WITHIN else "asked"


def _days(session: Session, model: str) -> tuple[date, date] | None:
    """The days of the request among all that a page may show, whichever span it does."""
    return days_asked(read_days(session, model, max(SPANS)), request.values)


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
