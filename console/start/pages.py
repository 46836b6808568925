"""開始使用: from no account to the first test message on one's own phone, each step with what it needs."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for

from console.access.roles import Role, needs
from console.frame.once import FIELD
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.segments.computing import computing
from console.start.own_line import CODE_LASTS, bind, make_code, own_lines, sender_of_code, unbind
from console.start.steps import first_steps, sample_state
from console.start.testing import send_to_oneself
from console.words.catalog import translate
from console.words.refusals import told
from store.asked import SAMPLE_LOAD, SAMPLE_REMOVE, ask_for
from store.engine import reading, transaction
from store.errors import ExpectedError, NotFound
from store.models import Channel

CODE_MINUTES = int(CODE_LASTS.total_seconds() // 60)
HELLO = "這是主控台傳給您自己的測試訊息：收得到，就表示發送沒問題。"


def show_start() -> Any:
    with reading(site.engine) as session:
        first = first_steps(session, g.user.id)
        return render_template(
            "console/start/start.html",
            first=first,
            computing=computing(session, site.clock()),
            webhook=f"{site.public_base_url}/webhook/",
            is_https=site.public_base_url.startswith("https://"),
            now=site.clock(),
            code_minutes=CODE_MINUTES,
            waits=_waits(site),
            sample=sample_state(session),
        )


@needs(Role.MARKETER)
def ask_own_line(channel_id: int) -> Any:
    with transaction(site.engine) as session:
        if session.get(Channel, channel_id) is None:
            raise NotFound(f"there is no channel {channel_id}")
        make_code(session, g.user.id, channel_id, actor=g.user.email, now=site.clock())
    return redirect(url_for("console.show_start", _anchor="own_line"), 303)


@needs(Role.MARKETER)
def forget_own_line(channel_id: int) -> Any:
    with transaction(site.engine) as session:
        unbind(session, g.user.id, channel_id, actor=g.user.email, now=site.clock())
    flash(translate("已解除綁定。", g.language))
    return redirect(url_for("console.show_start", _anchor="own_line"), 303)


def show_waiting(channel_id: int) -> Any:
    """Asked every few seconds by the page: has the code come?"""
    now = site.clock()
    with reading(site.engine) as session:
        one = own_lines(session, g.user.id).get(channel_id)
        found = sender_of_code(session, one, now=now) if one is not None else None
    if one is not None and found is not None:
        with transaction(site.engine) as session:
            bind(session, one, found, actor=g.user.email, now=now)
        flash(translate("您的 LINE 已經綁定。", g.language))
        return "", 200, {"HX-Refresh": "true"}
    if one is None or not one.code or now - one.asked_at > CODE_LASTS:
        return "", 200, {"HX-Refresh": "true"}
    if one.asked_at.isoformat() == request.args.get("asked"):
        return "", 204  # the same code still: what stands there stays, and isn't read out again
    return render_template("console/start/_waiting.html", one=one, code_minutes=int(CODE_LASTS.total_seconds() // 60))


@needs(Role.MARKETER)
def ask_sample(what: str) -> Any:
    works = {"load": SAMPLE_LOAD, "remove": SAMPLE_REMOVE}
    if what not in works:
        raise NotFound(f"the sample can't be {what!r}")
    with transaction(site.engine) as session:
        if not sample_state(session).is_waiting:
            ask_for(session, works[what], actor=g.user.email, now=site.clock())
    return redirect(url_for("console.show_start", _anchor="sample"), 303)


def show_sample_waiting() -> Any:
    with reading(site.engine) as session:
        is_waiting = sample_state(session).is_waiting
    return ("", 204) if is_waiting else ("", 200, {"HX-Refresh": "true"})


@needs(Role.MARKETER)
def send_first_test(channel_id: int) -> Any:
    said = [{"type": "text", "text": translate(HELLO, g.language)}]
    try:
        send_to_oneself(site, channel_id, g.user.id, said, form_key=request.form.get(FIELD, ""), actor=g.user.email)
        flash(translate("已傳到您的 LINE，請看手機。", g.language))
    except ExpectedError as error:
        why = told(error, g.language)
        flash(translate("無法執行：{why}", g.language, why=why), "error")
    return redirect(url_for("console.show_start", _anchor="test"), 303)


def _waits(site: Site) -> Any:
    now = site.clock()
    return lambda one: bool(one is not None and one.code and now - one.asked_at <= CODE_LASTS)


ROUTES = (
    get("/start", show_start),
    post("/start/line/<int:channel_id>", ask_own_line),
    post("/start/line/<int:channel_id>/forget", forget_own_line),
    get("/start/line/<int:channel_id>/waiting", show_waiting),
    post("/start/sample/<what>", ask_sample),
    get("/start/sample/waiting", show_sample_waiting),
    post("/start/test/<int:channel_id>", send_first_test),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/start, binding one's own LINE, and a first test message."""
    add_routes(blueprint, ROUTES)
