"""現在計算: everybody's segments and tags computed when somebody asks, by the worker, with how far it has come."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlmodel import Session

from console.access.roles import Role, needs
from console.frame.menu import from_start
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from segmentation.history import latest_run, running_run
from store.asked import SEGMENTS, ask_for, request_for
from store.engine import reading, transaction

WORKER_ANSWERS_WITHIN = timedelta(seconds=30)  # it looks every two; longer, and it isn't there
FULL = 0.95  # of the bar, until it is over: the time of the last computation is only a guess


@dataclass(frozen=True)
class Computing:
    """What is under way. `asked_at` None: nobody waits for it. `part` (0..1) goes by the time the last one took; None:
    not begun, or there was none. `problem`: why the last asking came to nothing."""

    asked_at: datetime | None
    asked_by: str | None
    running_since: datetime | None
    part: float | None
    is_worker_silent: bool
    problem: str | None

    @property
    def is_under_way(self) -> bool:
        return self.asked_at is not None or self.running_since is not None

    @property
    def state(self) -> Literal["over", "waiting", "silent", "running"]:
        """What is told in words: between two of these only the bar moves."""
        if not self.is_under_way:
            return "over"
        if self.running_since is not None:
            return "running"
        return "silent" if self.is_worker_silent else "waiting"


def computing(session: Session, now: datetime) -> Computing:
    """How the computation stands at `now`. Reads only."""
    asked, running, last = request_for(session, SEGMENTS), running_run(session, now), latest_run(session)
    waits = asked if asked is not None and asked.done_at is None else None
    part = None
    if running is not None and last is not None and last.finished_at is not None:
        usual = (last.finished_at - last.started_at).total_seconds()
        part = min(FULL, (now - running.started_at).total_seconds() / usual) if usual > 0 else None
    return Computing(
        asked_at=waits.asked_at if waits else None,
        asked_by=waits.asked_by if waits else None,
        running_since=running.started_at if running else None,
        part=part,
        is_worker_silent=waits is not None and running is None and now - waits.asked_at > WORKER_ANSWERS_WITHIN,
        problem=asked.problem if asked is not None and asked.done_at is not None else None,
    )


@needs(Role.MARKETER)
def compute_now() -> Any:
    with transaction(site.engine) as session:
        is_new = ask_for(session, SEGMENTS, actor=g.user.email, now=site.clock())
    flash(translate("已交給背景程式計算。" if is_new else "已經在等著計算了。", g.language))
    return redirect(url_for("console.show_start" if from_start() else "console.show_segments"), 303)


def show_computing() -> Any:
    with reading(site.engine) as session:
        found = computing(session, site.clock())
    if not found.is_under_way:
        return "", 200, {"HX-Refresh": "true"}
    if found.part is None and found.state == request.args.get("said"):
        return "", 204  # nothing new: what stands there stays, and isn't read out again
    return render_template("console/segments/_computing.html", computing=found)


ROUTES = (
    post("/segments/compute", compute_now),
    get("/segments/computing", show_computing),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/segments/compute and GET /console/segments/computing, a part of pages."""
    add_routes(blueprint, ROUTES)
