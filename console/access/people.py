"""團隊: who may sign in, as what; only owners see it."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for

from console.access import users
from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, transaction
from store.errors import BadInput, NotFound
from store.models import ConsoleUser


@needs(Role.OWNER)
def list_people() -> Any:
    return _shown()


@needs(Role.OWNER)
def invite_person() -> Any:
    given = {name: request.form.get(name, "").strip() for name in ("email", "name")}
    now = site.clock()
    try:
        role = _role()
        with transaction(site.engine) as opened:
            made = users.make_user(opened, **given, role=role, actor=g.user.email, now=now)
            token = users.invite(opened, made, actor=g.user.email, now=now)
    except BadInput as error:
        return _shown(422, why=told(error, g.language), given=given)
    return _shown(invitation=_link(token), invited=given["email"])


@needs(Role.OWNER)
def invite_again(user_id: int) -> Any:
    with transaction(site.engine) as opened:
        one = opened.get(ConsoleUser, user_id)
        if one is None or one.disabled_at is not None:
            raise NotFound(f"there is no console user {user_id}")
        token = users.invite(opened, one, actor=g.user.email, now=site.clock())
        email = one.email
    return _shown(invitation=_link(token), invited=email)


@needs(Role.OWNER)
def change_role(user_id: int) -> Any:
    with transaction(site.engine) as opened:
        users.set_role(opened, user_id, _role(), actor=g.user.email, now=site.clock())
    return _back("角色已更改。")


@needs(Role.OWNER)
def disable_person(user_id: int) -> Any:
    with transaction(site.engine) as opened:
        users.disable(opened, user_id, actor=g.user.email, now=site.clock())
    return _back("帳號已停用，並已登出。")


@needs(Role.OWNER)
def enable_person(user_id: int) -> Any:
    with transaction(site.engine) as opened:
        users.enable(opened, user_id, actor=g.user.email, now=site.clock())
    return _back("帳號已恢復。")


@needs(Role.OWNER)
def sign_person_out(user_id: int) -> Any:
    with transaction(site.engine) as opened:
        users.sign_out(opened, user_id, actor=g.user.email, now=site.clock())
    return _back("已登出那個帳號的所有瀏覽器。")


def _shown(status: int = 200, **values: Any) -> tuple[str, int]:
    with reading(site.engine) as opened:
        found = users.all_users(opened)
        return render_template("console/access/people.html", people=found, roles=Role, **values), status


def _link(token: str) -> str:
    # Not by the request's Host, which whoever asks may choose.
    return site.public_base_url.rstrip("/") + url_for("console.welcome", token=token)


def _back(said: str) -> Any:
    flash(translate(said, g.language))
    return redirect(url_for("console.list_people"), 303)


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError as error:
        raise BadInput("請選擇一個角色。") from error


ROUTES = (
    get("/people", list_people),
    post("/people", invite_person),
    post("/people/<int:user_id>/invite", invite_again),
    post("/people/<int:user_id>/role", change_role),
    post("/people/<int:user_id>/disable", disable_person),
    post("/people/<int:user_id>/enable", enable_person),
    post("/people/<int:user_id>/sign-out", sign_person_out),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/people and what its forms do."""
    add_routes(blueprint, ROUTES)
