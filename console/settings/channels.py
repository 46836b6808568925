"""The brand's LINE channels: whether the token works, where LINE sends webhooks, and whether they come in."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select, update

from console.access.roles import Role, needs
from console.frame.line_doors import LineDoors
from console.frame.menu import from_start
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.settings.fields import GROUPS
from console.settings.webhook_words import told_of_test
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.models import AuditEntry, Channel

channel = table_of(Channel)


def show_channels() -> Any:
    with reading(site.engine) as session:
        found = session.scalars(select(Channel).order_by(channel.c.id)).all()
    return render_template(
        "console/settings/channels.html",
        groups=GROUPS,
        name="channels",
        channels=found,
        webhook=f"{site.public_base_url}/webhook/",
    )


@needs(Role.MARKETER)
def check_channel(channel_id: int) -> Any:
    """Ask LINE whose token it is: that it answers shows that the token works."""
    name = _name_of(channel_id)
    try:
        account = _door().who_is(name)
        with transaction(site.engine) as session:
            now, detail = site.clock(), {"channel_id": channel_id}
            session.execute(update(Channel).where(channel.c.id == channel_id).values(token_checked_at=now))
            session.add(AuditEntry(at=now, actor=g.user.email, action="check LINE channel", detail=detail))
        flash(translate("權杖有效，帳號是「{name}」。", g.language, name=account))
    except ExpectedError as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    return redirect(url_for("console.show_start" if from_start() else "console.show_channels"), 303)


@needs(Role.MARKETER)
def show_webhook(channel_id: int) -> Any:
    """A part of its own: it waits for LINE."""
    return _webhook(channel_id)


@needs(Role.MARKETER)
def test_webhook(channel_id: int) -> Any:
    """Let LINE send a request to the URL it has, and tell what came of it."""

    def test(name: str) -> dict[str, Any]:
        found = _door().test_webhook(name)
        with transaction(site.engine) as session:
            detail = {"channel_id": channel_id, "reason": found.reason, "status_code": found.status_code}
            session.add(AuditEntry(at=site.clock(), actor=g.user.email, action="test LINE webhook", detail=detail))
        return {"test": found, "test_words": told_of_test(found, g.language)}

    return _webhook(channel_id, test)


def _webhook(channel_id: int, test: Callable[[str], dict[str, Any]] | None = None) -> Any:
    """What LINE says of the channel's webhook, after `test` if there is one; why it says nothing where it can't be
    asked."""
    name = _name_of(channel_id)
    shown: dict[str, Any] = {"channel_id": channel_id, "channel_name": name}
    try:
        if test is not None:
            shown |= test(name)
        shown["found"] = _door().webhook(name)
    except ExpectedError as error:
        shown["why"] = told(error, g.language)
    page = "_webhook.html" if request.headers.get("HX-Request") else "webhook.html"
    return render_template(f"console/settings/{page}", groups=GROUPS, name="channels", **shown)


def _name_of(channel_id: int) -> str:
    with reading(site.engine) as session:
        one = session.get(Channel, channel_id) if channel_id < 2**63 else None
        if one is None:
            raise NotFound(f"there is no channel {channel_id}")
        return one.name


def _door() -> LineDoors:
    if site.line is None:
        raise BadInput("this service has no door to LINE")
    return site.line


ROUTES = (
    get("/settings", show_channels),
    post("/settings/channels/<int:channel_id>/check", check_channel),
    get("/settings/channels/<int:channel_id>/webhook", show_webhook),
    post("/settings/channels/<int:channel_id>/webhook", test_webhook),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/settings, and what is asked of LINE about a channel."""
    add_routes(blueprint, ROUTES)
