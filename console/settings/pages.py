"""設定: the brand's choices by group, and the audit log. Owners change, others look."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select

from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.settings.fields import GROUPS, Group, changes_of, fields_of
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError, NotFound
from store.models import AuditEntry

LISTED = 50

audit = table_of(AuditEntry)


@needs(Role.OWNER)
def show_audit() -> Any:
    before = request.args.get("before", type=int)
    found = select(AuditEntry).order_by(audit.c.id.desc()).limit(LISTED + 1)
    with reading(site.engine) as session:
        rows = session.scalars(found.where(audit.c.id < before) if before else found).all()
    more = rows[LISTED - 1].id if len(rows) > LISTED else None
    return render_template(
        "console/settings/audit.html", groups=GROUPS, name="audit", rows=rows[:LISTED], before=before, more=more
    )


def show_settings(name: str) -> Any:
    return _shown(name)


@needs(Role.OWNER)
def change_settings(name: str) -> Any:
    group = _group(name)
    try:
        with transaction(site.engine) as session:
            holds = group.read(session, site.segment_defaults)
            fields = fields_of(session, group, holds, group.chosen(session))
            changes = changes_of(group, fields, request.form)
            if changes:
                group.change(session, changes, defaults=site.segment_defaults, actor=g.user.email, now=site.clock())
    except ExpectedError as error:
        why = translate("沒有做：{why}", g.language, why=told(error, g.language))
        return _shown(name, 422, why=why, typed=request.form)
    flash(translate("已儲存。" if changes else "沒有任何更動。", g.language))
    return redirect(url_for("console.show_settings", name=name), 303)


def _group(name: str) -> Group:
    if name not in GROUPS:
        raise NotFound(f"there are no settings {name!r}")
    return GROUPS[name]


def _shown(name: str, status: int = 200, **more: Any) -> Any:
    group = _group(name)
    with reading(site.engine) as session:
        fields = fields_of(session, group, group.read(session, site.segment_defaults), group.chosen(session))
    page = "console/settings/group.html"
    return render_template(page, groups=GROUPS, name=name, group=group, fields=fields, **more), status


ROUTES = (
    get("/settings/audit", show_audit),
    get("/settings/<name>", show_settings),
    post("/settings/<name>", change_settings),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/settings/<group> and /console/settings/audit."""
    add_routes(blueprint, ROUTES)
