"""API 金鑰: keys with which the brand's site or till hands in events. Owners make and revoke them, each shown once."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for

from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.settings.fields import GROUPS
from console.words.catalog import translate
from console.words.refusals import told
from store.api_keys import all_keys, make_key, revoke_key
from store.engine import reading, transaction
from store.errors import BadInput


def _shown(status: int = 200, **more: Any) -> tuple[str, int]:
    with reading(site.engine) as session:
        found = all_keys(session)
    page, address = "console/settings/keys.html", f"{site.public_base_url}/events"
    return render_template(page, groups=GROUPS, name="keys", keys=found, address=address, **more), status


@needs(Role.OWNER)
def list_keys() -> Any:
    return _shown()


@needs(Role.OWNER)
def make_api_key() -> Any:
    try:
        with transaction(site.engine) as session:
            made = make_key(session, request.form.get("name", ""), actor=g.user.email, now=site.clock())
    except BadInput as error:
        return _shown(422, why=told(error, g.language))
    return _shown(made=made)  # no redirect: nothing keeps it, and the page isn't cached


@needs(Role.OWNER)
def revoke_api_key(key_id: int) -> Any:
    with transaction(site.engine) as session:
        revoke_key(session, key_id, actor=g.user.email, now=site.clock())
    flash(translate("金鑰已撤銷，從現在起不能再用。", g.language))
    return redirect(url_for("console.list_keys"), 303)


ROUTES = (
    get("/settings/keys", list_keys),
    post("/settings/keys", make_api_key),
    post("/settings/keys/<int:key_id>/revoke", revoke_api_key),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/settings/keys, and making and revoking one."""
    add_routes(blueprint, ROUTES)
