"""團隊: who may sign in, as what; only owners see it."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for

from console.access import users
from console.access.roles import Role, needs
from console.frame.site import Site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, transaction
from store.errors import BadInput, NotFound
from store.models import ConsoleUser


def add_pages(blueprint: Blueprint, site: Site) -> None:
    """/console/people and what its forms do."""

    def shown(status: int = 200, **values: Any) -> tuple[str, int]:
        with reading(site.engine) as opened:
            found = users.all_users(opened)
            return render_template("console/access/people.html", people=found, roles=Role, **values), status

    def link(token: str) -> str:
        # Not by the request's Host, which whoever asks may choose.
        return site.public_base_url.rstrip("/") + url_for("console.welcome", token=token)

    def back(said: str) -> Any:
        flash(translate(said, g.language))
        return redirect(url_for("console.list_people"), 303)

    @blueprint.get("/people")
    @needs(Role.OWNER)
    def list_people() -> Any:
        return shown()

    @blueprint.post("/people")
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
            return shown(422, why=told(error, g.language), given=given)
        return shown(invitation=link(token), invited=given["email"])

    @blueprint.post("/people/<int:user_id>/invite")
    @needs(Role.OWNER)
    def invite_again(user_id: int) -> Any:
        with transaction(site.engine) as opened:
            one = opened.get(ConsoleUser, user_id)
            if one is None or one.disabled_at is not None:
                raise NotFound(f"there is no console user {user_id}")
            token = users.invite(opened, one, actor=g.user.email, now=site.clock())
            email = one.email
        return shown(invitation=link(token), invited=email)

    @blueprint.post("/people/<int:user_id>/role")
    @needs(Role.OWNER)
    def change_role(user_id: int) -> Any:
        with transaction(site.engine) as opened:
            users.set_role(opened, user_id, _role(), actor=g.user.email, now=site.clock())
        return back("角色已更改。")

    @blueprint.post("/people/<int:user_id>/disable")
    @needs(Role.OWNER)
    def disable_person(user_id: int) -> Any:
        with transaction(site.engine) as opened:
            users.disable(opened, user_id, actor=g.user.email, now=site.clock())
        return back("帳號已停用，並已登出。")

    @blueprint.post("/people/<int:user_id>/enable")
    @needs(Role.OWNER)
    def enable_person(user_id: int) -> Any:
        with transaction(site.engine) as opened:
            users.enable(opened, user_id, actor=g.user.email, now=site.clock())
        return back("帳號已恢復。")

    @blueprint.post("/people/<int:user_id>/sign-out")
    @needs(Role.OWNER)
    def sign_person_out(user_id: int) -> Any:
        with transaction(site.engine) as opened:
            users.sign_out(opened, user_id, actor=g.user.email, now=site.clock())
        return back("已登出那個帳號的所有瀏覽器。")


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError as error:
        raise BadInput("請選擇一個角色。") from error
