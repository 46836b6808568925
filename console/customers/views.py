"""Views of the customers' list: a filter under a name, of one's own or shared; kept, renamed and deleted, each audited.

A view holds conditions only, never what was typed into the search box: that is a person's name more often than not.
"""

from typing import Any

from flask import Blueprint, abort, flash, g, redirect, request, url_for
from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from console.access.roles import Role, SignedIn, needs
from console.customers.filters import check_rule
from console.frame.routes import add_routes, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from segmentation.rules.types import to_builtins
from store.engine import table_of, transaction
from store.errors import UNSEEN, BadInput, ExpectedError, NotFound
from store.models import AuditEntry, CustomerView

MAX_NAME = 60

row = table_of(CustomerView)


def views_of(session: Session, user: SignedIn) -> list[CustomerView]:
    """Those that `user` keeps and those that are shared, by name."""
    theirs = or_(row.c.user_id == user.id, row.c.is_shared)
    return list(session.scalars(select(CustomerView).where(theirs).order_by(row.c.name, row.c.id)))


def find_view(session: Session, view_id: int | None, user: SignedIn) -> CustomerView | None:
    """The view, where `user` may see it; None without an id. Raises NotFound."""
    if view_id is None:
        return None
    one = session.get(CustomerView, view_id) if 0 < view_id < 2**63 else None
    if one is None or not (one.is_shared or one.user_id == user.id):
        raise NotFound(f"there is no view {view_id}")
    return one


def may_change(view: CustomerView, user: SignedIn) -> bool:
    """Whose it is may; a shared one is everybody's, so marketers may too."""
    return view.user_id == user.id or (view.is_shared and user.role.may(Role.MARKETER))


def _done(said: str, kind: str = "message", view_id: int | None = None, **values: object) -> Any:
    flash(translate(said, g.language, **values), kind)
    return redirect(url_for("console.list_customers", view=view_id), 303)


def _changing(session: Session, view_id: int) -> CustomerView:
    one = find_view(session, view_id, g.user)
    assert one is not None
    if not may_change(one, g.user):
        abort(403)
    return one


@needs(Role.READER)
def keep_view() -> Any:
    try:
        with transaction(site.engine) as session:
            rule = to_builtins(check_rule(session, request.form.get("rule", "")))
            now = site.clock()
            one = CustomerView(user_id=g.user.id, name=_name(), rule=rule, created_at=now, updated_at=now)
            one.is_shared = _wants_sharing()
            view_id = _stored(session, one, "keep view", site)
    except ExpectedError as error:
        return _done("無法執行：{why}", "error", why=told(error, g.language))
    return _done("檢視「{name}」已儲存。", view_id=view_id, name=_name())


@needs(Role.READER)
def change_view(view_id: int) -> Any:
    try:
        with transaction(site.engine) as session:
            one = _changing(session, view_id)
            one.name, one.updated_at = _name(), site.clock()
            if one.user_id == g.user.id:
                one.is_shared = _wants_sharing()
            _stored(session, one, "change view", site)
    except NotFound:
        raise
    except ExpectedError as error:
        return _done("無法執行：{why}", "error", view_id, why=told(error, g.language))
    return _done("檢視「{name}」已儲存。", view_id=view_id, name=_name())


@needs(Role.READER)
def delete_view(view_id: int) -> Any:
    if request.form.get("sure") != "yes":
        return _done("沒有刪除：請先勾選確認。", "error", view_id)
    with transaction(site.engine) as session:
        one = _changing(session, view_id)
        name = one.name
        session.delete(one)
        _note(session, "delete view", view_id, site)
    return _done("檢視「{name}」已刪除。", name=name)


def _name() -> str:
    name = request.form.get("name", "").strip()
    if not name or len(name) > MAX_NAME:
        raise BadInput(translate("檢視的名稱要有 1 到 {most} 個字。", g.language, most=MAX_NAME))
    if not name.isprintable():
        raise BadInput(UNSEEN)
    return name


def _wants_sharing() -> bool:
    """What is shown to everybody is a marketer's to say."""
    return "shared" in request.form and bool(g.user.role.may(Role.MARKETER))


def _stored(session: Session, one: CustomerView, action: str, site: Site) -> int:
    session.add(one)
    try:
        session.flush()
    except IntegrityError as error:  # by the constraint: two forms at once make one view
        raise BadInput(translate("您已經有叫「{name}」的檢視了。", g.language, name=one.name)) from error
    _note(session, action, one.id or 0, site)
    return one.id or 0


def _note(session: Session, action: str, view_id: int, site: Site) -> None:
    session.add(AuditEntry(at=site.clock(), actor=g.user.email, action=action, detail={"view_id": view_id}))


ROUTES = (
    post("/customers/views", keep_view),
    post("/customers/views/<int:view_id>", change_view),
    post("/customers/views/<int:view_id>/delete", delete_view),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/customers/views, …/<id> and …/<id>/delete."""
    add_routes(blueprint, ROUTES)
