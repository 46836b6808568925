"""設定: the brand's choices by group, its LINE channels with a check, and the audit log. Owners change, others look."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select, update

from console.access.roles import Role, needs
from console.frame.menu import from_start
from console.frame.site import Site
from console.settings.fields import GROUPS, changes_of, fields_of
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.models import AuditEntry, Channel

LISTED = 50

audit, channel = table_of(AuditEntry), table_of(Channel)


def add_pages(blueprint: Blueprint, site: Site) -> None:
    """GET /console/settings, /console/settings/<group>, /console/settings/audit; POST to change and to check."""

    def shown(name: str, status: int = 200, **more: Any) -> Any:
        group = GROUPS.get(name)
        if group is None:
            raise NotFound(f"there are no settings {name!r}")
        with reading(site.engine) as session:
            holds = group.read(session, site.segment_defaults)
            fields = fields_of(session, group, holds, group.chosen(session))
        page = "console/settings/group.html"
        return render_template(page, groups=GROUPS, name=name, group=group, fields=fields, **more), status

    @blueprint.get("/settings")
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

    @blueprint.post("/settings/channels/<int:channel_id>/check")
    @needs(Role.MARKETER)
    def check_channel(channel_id: int) -> Any:
        """Ask LINE whose token it is: that it answers shows that the token works."""
        with reading(site.engine) as session:
            one = session.get(Channel, channel_id)
            if one is None:
                raise NotFound(f"there is no channel {channel_id}")
            name = one.name
        try:
            if site.line is None:
                raise BadInput("this service has no door to LINE")
            account = site.line.who_is(name)
            with transaction(site.engine) as session:
                now, detail = site.clock(), {"channel_id": channel_id}
                session.execute(update(Channel).where(channel.c.id == channel_id).values(token_checked_at=now))
                session.add(AuditEntry(at=now, actor=g.user.email, action="check LINE channel", detail=detail))
            flash(translate("權杖有效，帳號是「{name}」。", g.language, name=account))
        except ExpectedError as error:
            flash(translate("沒有做：{why}", g.language, why=told(error, g.language)), "error")
        return redirect(url_for("console.show_start" if from_start() else "console.show_channels"), 303)

    @blueprint.get("/settings/audit")
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

    @blueprint.get("/settings/<name>")
    def show_settings(name: str) -> Any:
        return shown(name)

    @blueprint.post("/settings/<name>")
    @needs(Role.OWNER)
    def change_settings(name: str) -> Any:
        group = GROUPS.get(name)
        if group is None:
            raise NotFound(f"there are no settings {name!r}")
        try:
            with transaction(site.engine) as session:
                holds = group.read(session, site.segment_defaults)
                shown_fields = fields_of(session, group, holds, group.chosen(session))
                changes = changes_of(group, shown_fields, request.form)
                if changes:
                    group.change(session, changes, defaults=site.segment_defaults, actor=g.user.email, now=site.clock())
        except ExpectedError as error:
            why = translate("沒有做：{why}", g.language, why=told(error, g.language))
            return shown(name, 422, why=why, typed=request.form)
        flash(translate("已儲存。" if changes else "沒有任何更動。", g.language))
        return redirect(url_for("console.show_settings", name=name), 303)
