"""The door: signing in and out, the second factor, invitations, and the first owner of a new brand."""

from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, request, session, url_for
from sqlalchemy import update
from sqlmodel import Session

from console.access import lockout, sessions, totp
from console.access.guard import TOKEN
from console.access.machine import is_this_machine
from console.access.passwords import hash_of, is_right, needs_new_hash, new_hash
from console.access.roles import Role
from console.access.users import has_users, invited, make_user, take_invitation, user_by_email
from console.frame.routes import add_routes, get_and_post, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import AuditEntry, ConsoleUser

CODE_WITHIN = timedelta(minutes=5)
WRONG = "電子郵件或密碼不對。"
WRONG_CODE = "驗證碼不對或已經用過。"

user = table_of(ConsoleUser)


def sign_in() -> Any:
    if request.method == "GET":
        with reading(site.engine) as opened:
            return _door("sign_in.html", has_users=has_users(opened))
    email, password = request.form.get("email", "").strip().lower(), request.form.get("password", "")
    with reading(site.engine) as opened:
        if (until := lockout.must_wait(opened, email, request.remote_addr, site.clock())) is not None:
            return _refused("sign_in.html", lockout.WAIT, 429, when=clock_time(until, site), has_users=True)
        known = user_by_email(opened, email)
        stored = known.password_hash if known else None
    # A hash takes 200 ms: outside of any transaction, since on SQLite the webhook would wait for it.
    right = is_right(stored, password)
    better = hash_of(password) if right and needs_new_hash(stored or "") else stored
    with transaction(site.engine) as opened:
        now = site.clock()
        # Asked again: of guesses made at once, only those that are free get an answer.
        if (until := lockout.must_wait(opened, email, request.remote_addr, now)) is not None:
            return _refused("sign_in.html", lockout.WAIT, 429, when=clock_time(until, site), has_users=True)
        one = user_by_email(opened, email)
        if one is None or not right or one.password_hash != stored or one.disabled_at is not None:
            lockout.note_failed(opened, email, request.remote_addr, now, user_id=one.id if one else None)
            return _refused("sign_in.html", WRONG, 401, has_users=True)
        if one.totp_secret is not None:
            session.clear()
            session["half"] = [one.id, (now + CODE_WITHIN).isoformat()]
            return redirect(url_for("console.give_code", next=_next()), 303)
        one.password_hash = better
        return _come_in(opened, one, now)


def give_code() -> Any:
    now = site.clock()
    user_id, until = session.get("half") or (None, now.isoformat())
    if user_id is None or datetime.fromisoformat(until) < now:
        return redirect(url_for("console.sign_in"), 303)
    if request.method == "GET":
        return _door("code.html")
    with transaction(site.engine) as opened:
        one = opened.get(ConsoleUser, user_id, with_for_update=True)
        if one is None or one.disabled_at is not None or one.totp_secret is None:
            return redirect(url_for("console.sign_in"), 303)
        if (wait := lockout.must_wait(opened, one.email, request.remote_addr, now)) is not None:
            return _refused("code.html", lockout.WAIT, 429, when=clock_time(wait, site))
        if not _takes_code(opened, one, request.form.get("code", ""), now):
            lockout.note_failed(opened, one.email, request.remote_addr, now, user_id=one.id)
            return _refused("code.html", WRONG_CODE, 401)
        return _come_in(opened, one, now)


def sign_out() -> Any:
    with transaction(site.engine) as opened:
        now = site.clock()
        sessions.end(opened, g.session_id, g.user.id, now)
        opened.add(AuditEntry(at=now, actor=g.user.email, action="sign out", detail={"user_id": g.user.id}))
    session.clear()
    return redirect(url_for("console.sign_in"), 303)


sign_out.needed_role = Role.READER  # type: ignore[attr-defined]


def welcome(token: str) -> Any:
    now = site.clock()
    try:
        with reading(site.engine) as opened:
            one = invited(opened, token, now)
    except NotFound:
        return _refused("used.html", "這個邀請連結已經用過、過期或不存在；請擁有者再給一個。", 404)
    given = {"email": one.email, "name": request.form.get("name", one.name)}
    if request.method == "GET":
        return _door("welcome.html", **given)
    try:
        hashed = _new_password_hash(one.email)
        with transaction(site.engine) as opened:
            taken = take_invitation(opened, token, name=given["name"], password_hash=hashed, now=now)
            lockout.forget_failures(opened, lockout.account_subject(taken.email))
            return _come_in(opened, taken, now)
    except BadInput as error:
        return _refused("welcome.html", str(error), 422, **given)


def make_first_owner() -> Any:
    with reading(site.engine) as opened:
        if not site.allow_first_owner or not is_this_machine() or has_users(opened):
            abort(404)
    given = {name: request.form.get(name, "") for name in ("email", "name")}
    if request.method == "GET":
        return _door("first.html", **given)
    now = site.clock()
    try:
        hashed = _new_password_hash(given["email"])
        with transaction(site.engine) as opened:
            if has_users(opened):  # another browser was faster
                abort(404)
            actor = "first owner"
            one = make_user(opened, **given, role=Role.OWNER, actor=actor, now=now, password_hash=hashed)
            return _come_in(opened, one, now)
    except BadInput as error:
        return _refused("first.html", str(error), 422, **given)


def _door(page: str, **values: Any) -> str:
    return render_template(f"console/access/{page}", next=_next(), **values)


def _refused(page: str, why: str, status: int, when: str = "", **values: Any) -> tuple[str, int]:
    text = translate(why, g.language, when=when) if when else told(why, g.language)
    return _door(page, why=text, **values), status


def _new_password_hash(email: str) -> str:
    """Of the form's new password. Raises BadInput when it was not typed the same twice, or is no good."""
    password = request.form.get("password", "")
    if password != request.form.get("again", ""):
        raise BadInput("兩次輸入的密碼不一樣。")
    return new_hash(password, email)


def _next() -> str:
    """Where to go when signed in: an address of the console, never of another site."""
    wanted = request.values.get("next", "")
    return wanted if wanted.startswith("/console/") and "\\" not in wanted and "//" not in wanted else ""


def _takes_code(opened: Session, one: ConsoleUser, code: str, now: datetime) -> bool:
    """Whether `code` is right; it is used up. The statement, not what was read, decides: twice at once is once."""
    assert one.totp_secret is not None
    step = totp.step_of(one.totp_secret, code, now, one.totp_last_step)
    if step is not None:
        is_newer = (user.c.totp_last_step.is_(None)) | (user.c.totp_last_step < step)
        mine = update(ConsoleUser).where(user.c.id == one.id, is_newer).values(totp_last_step=step)
        return bool(opened.execute(mine).rowcount == 1)  # type: ignore[attr-defined]
    hashed = totp.recovery_hash(code)
    if hashed not in one.recovery_hashes:
        return False
    one.recovery_hashes = [kept for kept in one.recovery_hashes if kept != hashed]
    opened.add(one)
    return True


def _come_in(opened: Session, one: ConsoleUser, now: datetime) -> Any:
    """Begin a session under a new token: what the browser had before it signed in is worth nothing afterwards."""
    lockout.forget_failures(opened, *lockout.subjects(one.email, request.remote_addr))
    sessions.forget_ended(opened, now)
    one.last_login_at = now
    opened.add(one)
    opened.add(AuditEntry(at=now, actor=one.email, action="sign in", detail={"user_id": one.id}))
    wanted = _next()
    session.clear()
    session[TOKEN] = sessions.begin(opened, one.id or 0, user_agent=request.headers.get("User-Agent", ""), now=now)
    return redirect(wanted or url_for("console.show_today"), 303)


def clock_time(moment: datetime, site: Site) -> str:
    """The minute after `moment` in the brand's zone, as 14:05: when somebody who waits may try again."""
    return (moment + timedelta(minutes=1)).astimezone(site.zone).strftime("%H:%M")


ROUTES = (
    get_and_post("/login", sign_in),
    get_and_post("/login/code", give_code),
    post("/logout", sign_out),
    get_and_post("/welcome/<token>", welcome),
    get_and_post("/first", make_first_owner),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/login, /console/login/code, /console/logout, /console/welcome/<token>, /console/first."""
    add_routes(blueprint, ROUTES)
