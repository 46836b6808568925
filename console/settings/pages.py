"""設定: the brand's choices by group, and the audit log. Owners change, others look."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.datastructures import MultiDict

from console.access.roles import Role, needs
from console.frame.paging import before_id
from console.frame.routes import add_routes, get, post
from console.frame.seen import FIELD, ChangedSince, check_seen, mark
from console.frame.site import Site, site
from console.settings.fields import GROUPS, Group, changes_of, fields_of
from console.settings.tables import TABLES, Row, after_press, typed_rows
from console.settings.wrong import Wrong, wrong_with
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError, NotFound
from store.locks import SETTINGS, lock_until_end
from store.models import AuditEntry

LISTED = 50

audit = table_of(AuditEntry)


@needs(Role.OWNER)
def show_audit() -> Any:
    before = before_id()
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
    group, typed = _group(name), _typed(request.form)
    for table, rows in typed.items():
        if (goes_to := after_press(table, rows, request.form.get("press", ""))) is not None:
            return _shown(name, form=request.form, typed=typed, goes_to=goes_to)
    try:
        with transaction(site.engine) as session:
            lock_until_end(session.connection(), SETTINGS)  # before they are looked at
            (holds, _), before = group.held(session, site.segment_defaults), dict(group.chosen(session))
            changes = changes_of(group, fields_of(session, group, holds, before), request.form)
            if changes:
                group.change(session, changes, defaults=site.segment_defaults, actor=g.user.email, now=site.clock())
                check_seen(request.form.get(FIELD, ""), before, dict(group.chosen(session)))
    except ChangedSince as error:
        return _shown(
            name, 422, form=request.form, typed=typed, seen=before, wrong=Wrong(whole=[told(error, g.language)])
        )
    except ExpectedError as error:
        wrong = wrong_with(error, typed, list(group.model.model_fields), g.language)
        return _shown(name, 422, form=request.form, typed=typed, wrong=wrong)
    flash(translate("已儲存。" if changes else "沒有任何更動。", g.language))
    return redirect(url_for("console.show_settings", name=name), 303)


def _typed(form: MultiDict[str, str]) -> dict[str, list[Row]]:
    """The rows of each table that the form has."""
    return {name: typed_rows(name, form) for name in TABLES if name in form}


def _group(name: str) -> Group:
    if name not in GROUPS:
        raise NotFound(f"there are no settings {name!r}")
    return GROUPS[name]


def _shown(
    name: str,
    status: int = 200,
    *,
    form: MultiDict[str, str] | None = None,
    typed: Mapping[str, list[Row]] | None = None,
    wrong: Wrong | None = None,
    goes_to: str = "",
    seen: Mapping[str, Any] | None = None,
) -> Any:
    """The group's form: as it was sent, or else as the settings are. `goes_to`: where the cursor is put. `seen`: what
    was chosen when it was opened, where that is not what it says itself."""
    group = _group(name)
    with reading(site.engine) as session:
        holds, why = group.held(session, site.segment_defaults)
        chosen = dict(group.chosen(session))
        fields = fields_of(session, group, holds, chosen)
    if why is not None and wrong is None:
        wrong = wrong_with(why, {}, list(group.model.model_fields), g.language)
    rows = {one.name: list(one.rows) for one in fields if one.kind == "table"} | dict(typed or {})
    return render_template(
        "console/settings/group.html",
        groups=GROUPS,
        name=name,
        group=group,
        fields=fields,
        form=form,
        rows=rows,
        tables=TABLES,
        units={one.name: one.value for one in fields},
        wrong=wrong or Wrong(),
        goes_to=goes_to,
        seen=form[FIELD] if form and FIELD in form and seen is None else mark(chosen if seen is None else seen),
    ), status


ROUTES = (
    get("/settings/audit", show_audit),
    get("/settings/<name>", show_settings),
    post("/settings/<name>", change_settings),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/settings/<group> and /console/settings/audit."""
    add_routes(blueprint, ROUTES)
