"""Who may see a page: whoever is signed in. With no account yet, this machine is led to the first owner's form."""

from typing import Any

from flask import Blueprint, abort, current_app, g, redirect, request, session, url_for
from flask.blueprints import BlueprintSetupState
from flask_wtf.csrf import CSRFProtect

from console.access import sessions
from console.access.machine import is_this_machine
from console.access.roles import Role
from console.access.users import has_users
from console.frame.site import Site
from store.engine import reading, transaction
from store.errors import BadInput

OPEN = frozenset(f"console.{name}" for name in ("static", "sign_in", "give_code", "welcome", "make_first_owner"))
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_FORM = 4 * 1024 * 1024  # bytes of a form without a file
TOKEN = "token"  # noqa: S105 - the key of the cookie's value, not a secret


def guard(blueprint: Blueprint, site: Site, *, allow_first_owner: bool, is_https: bool) -> None:
    """Every page asks for a session, every form for its token.

    Sets `g.user` (SignedIn; None where nobody need be signed in) and `g.session_id`. An unsafe method of a view that
    says nothing of roles needs a marketer. `allow_first_owner`: with no account yet, a request from this machine is led
    to the form that makes one.
    """
    csrf = CSRFProtect()

    @blueprint.record_once
    def set_up(state: BlueprintSetupState) -> None:
        state.app.config.update(
            WTF_CSRF_CHECK_DEFAULT=False,  # LINE's webhook and the brand's own events bring no form
            WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a form that was long filled in must not be lost
            WTF_CSRF_SSL_STRICT=False,  # the token is enough, and our pages send no referrer
            SESSION_COOKIE_NAME="console",
            SESSION_COOKIE_PATH="/console",
            SESSION_COOKIE_SAMESITE="Lax",
            SESSION_COOKIE_SECURE=is_https,
        )
        csrf.init_app(state.app)

    @blueprint.before_request
    def check() -> Any:
        g.user, g.session_id = None, None
        if request.endpoint == "console.static":
            return None
        found = _signed_in(site)
        if found is not None:  # known before anything is refused, so that a refusal has the menu beside it
            g.session_id, g.user, _ = found
        # before the token, for which the body is read: only who may hand in a file makes us take a large one
        request.max_content_length = site.upload_max_bytes if _takes_file(found) else MAX_FORM
        csrf.protect()
        if found is not None and found[2]:
            with transaction(site.engine) as opened:
                sessions.mark_seen(opened, g.session_id, site.clock())
        if request.endpoint in OPEN:
            return None
        if any("\x00" in text for text in request.form.values()):  # PostgreSQL keeps none
            raise BadInput("the form holds a NUL character, which can't be kept")
        if g.user is None:
            return _to_the_door(site, allow_first_owner)
        if request.method not in SAFE and not hasattr(_view(), "needed_role") and not g.user.role.may(Role.MARKETER):
            abort(403)
        return None


def _takes_file(found: Any) -> bool:
    view = _view()
    return bool(found and getattr(view, "takes_file", False) and found[1].role.may(view.needed_role))


def _view() -> Any:
    return current_app.view_functions.get(request.endpoint or "")


def _signed_in(site: Site) -> Any:
    token = session.get(TOKEN)
    if not isinstance(token, str):
        return None
    with reading(site.engine) as opened:
        return sessions.find(opened, token, site.clock())


def _to_the_door(site: Site, allow_first_owner: bool) -> Any:
    if allow_first_owner and is_this_machine():
        with reading(site.engine) as opened:
            if not has_users(opened):
                return redirect(url_for("console.make_first_owner"), 302)
    if request.headers.get("HX-Request"):  # a part of a page: the whole page must go to the door, and come back
        _, console, place = request.headers.get("HX-Current-URL", "").partition("/console/")
        return "", 401, {"HX-Redirect": url_for("console.sign_in", next=console + place or None)}
    wanted = request.full_path.rstrip("?") if request.method in SAFE else None
    return redirect(url_for("console.sign_in", next=wanted), 302)
