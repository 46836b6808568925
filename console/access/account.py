"""One's own account: password, second factor, and the browsers that are signed in."""

from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from sqlmodel import Session

from console.access import lockout, sessions, totp
from console.access.login import clock_time
from console.access.passwords import is_right, new_hash
from console.access.roles import Role, needs
from console.access.users import change_password, end_sessions
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, transaction
from store.errors import BadInput
from store.models import AuditEntry, ConsoleUser

ISSUER = "Retarget"
OFFER_LASTS = timedelta(minutes=10)
ALREADY_ON = "兩步驟驗證已經開啟；要換新的，請先用密碼關閉。"
OFFER_OVER = "這次設定已經過期；請再輸入密碼重新開始。"


def mine(opened: Session) -> ConsoleUser:
    return opened.get_one(ConsoleUser, g.user.id)


def shown(status: int = 200, **values: Any) -> tuple[str, int]:
    with reading(site.engine) as opened:
        one, browsers = mine(opened), sessions.open_sessions(opened, g.user.id, site.clock())
        return render_template("console/access/account.html", one=one, browsers=browsers, **values), status


def back(said: str) -> Any:
    flash(translate(said, g.language))
    return redirect(url_for("console.show_account"), 303)


def refused(why: str) -> tuple[str, int]:
    return shown(422, why=told(why, g.language))


def show_account() -> Any:
    return shown()


def require_password() -> None:
    """Raises BadInput unless the form's `old` is the account's password. A session that was left open is nobody's
    leave to guess it: failures count as at the door. The hash is outside of any transaction, as there."""
    email, address = g.user.email, request.remote_addr
    with reading(site.engine) as opened:
        stored = mine(opened).password_hash
    right = is_right(stored, request.form.get("old", ""))
    with transaction(site.engine) as opened:
        now = site.clock()
        if (until := lockout.must_wait(opened, email, address, now)) is not None:
            raise BadInput(translate(lockout.WAIT, g.language, when=clock_time(until, site)))
        if right:
            lockout.forget_failures(opened, *lockout.subjects(email, address))
            return
        action = "fail to confirm own password"
        lockout.note_failed(opened, email, address, now, user_id=g.user.id, action=action, actor=email)
    raise BadInput("目前的密碼不對。")


@needs(Role.READER)
def set_password() -> Any:
    try:
        require_password()
        if request.form.get("password") != request.form.get("again"):
            raise BadInput("兩次輸入的密碼不一樣。")
        hashed = new_hash(request.form.get("password", ""), g.user.email)
    except BadInput as error:
        return refused(str(error))
    with transaction(site.engine) as opened:
        change_password(opened, mine(opened), hashed, now=site.clock())
        end_sessions(opened, g.user.id, site.clock(), but=g.session_id)
    return back("密碼已更改，其他瀏覽器都已登出。")


@needs(Role.READER)
def offer_totp() -> Any:
    try:
        require_password()
    except BadInput as error:
        return refused(str(error))
    with reading(site.engine) as opened:
        if mine(opened).totp_secret is not None:
            return refused(ALREADY_ON)
    secret = totp.new_secret()
    # In the signed cookie, until a code shows that the app has it; not for whoever finds the browser open later.
    session["totp"] = [secret, (site.clock() + OFFER_LASTS).isoformat()]
    return shown(secret=secret, picture=totp.picture_of(secret, g.user.email, ISSUER))


def offered_secret() -> str | None:
    """What `offer_totp` gave after the password, while the offer lasts."""
    secret, until = session.get("totp") or (None, "")
    return secret if secret is not None and site.clock() < datetime.fromisoformat(until) else None


@needs(Role.READER)
def set_totp() -> Any:
    secret, now = offered_secret(), site.clock()
    if secret is None:
        return refused(OFFER_OVER)
    step = totp.step_of(secret, request.form.get("code", ""), now, None)
    if step is None:
        picture = totp.picture_of(secret, g.user.email, ISSUER)
        return shown(422, why=translate("驗證碼不對或已經用過。", g.language), secret=secret, picture=picture)
    codes = totp.new_recovery_codes()
    with transaction(site.engine) as opened:
        one = opened.get_one(ConsoleUser, g.user.id, with_for_update=True)
        if one.totp_secret is not None:  # another browser was faster: what is on is only turned off with the password
            session.pop("totp")
            return refused(ALREADY_ON)
        one.totp_secret, one.totp_last_step = secret, step
        one.recovery_hashes = [totp.recovery_hash(code) for code in codes]
        opened.add(one)
        _note(opened, "turn on second factor", site)
    session.pop("totp")
    return shown(codes=codes)


@needs(Role.READER)
def drop_totp() -> Any:
    try:
        require_password()
    except BadInput as error:
        return refused(str(error))
    with transaction(site.engine) as opened:
        one = mine(opened)
        one.totp_secret, one.totp_last_step, one.recovery_hashes = None, None, []
        opened.add(one)
        _note(opened, "turn off second factor", site)
    return back("兩步驟驗證已關閉。")


@needs(Role.READER)
def end_session(session_id: int) -> Any:
    with transaction(site.engine) as opened:
        if sessions.end(opened, session_id, g.user.id, site.clock()):
            _note(opened, "sign out another browser", site)
    return back("那個瀏覽器已登出。")


def _note(opened: Session, action: str, site: Site) -> None:
    opened.add(AuditEntry(at=site.clock(), actor=g.user.email, action=action, detail={"user_id": g.user.id}))


ROUTES = (
    get("/account", show_account),
    post("/account/password", set_password),
    post("/account/totp/new", offer_totp),
    post("/account/totp", set_totp),
    post("/account/totp/off", drop_totp),
    post("/account/sessions/<int:session_id>/end", end_session),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/account and what its forms do."""
    add_routes(blueprint, ROUTES)
