"""Accounts of the console: made, invited, changed, disabled. Each change stands in the audit trail."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlmodel import Session

from console.access.roles import Role
from store.engine import table_of
from store.errors import BadInput, ExpectedError, NotFound
from store.models import AuditEntry, ConsoleInvitation, ConsoleSession, ConsoleUser

INVITATION_LASTS = timedelta(hours=48)

user, invitation, console_session = table_of(ConsoleUser), table_of(ConsoleInvitation), table_of(ConsoleSession)


class LastOwner(ExpectedError):
    """Without an owner nobody could let others in."""

    http_status = 409


def hash_token(token: str) -> str:
    """What is stored of a random token."""
    return hashlib.sha256(token.encode()).hexdigest()


def has_users(session: Session) -> bool:
    """Whether anybody may sign in yet."""
    return session.scalar(select(user.c.id).limit(1)) is not None


def all_users(session: Session) -> Sequence[ConsoleUser]:
    """By address."""
    return session.scalars(select(ConsoleUser).order_by(user.c.email)).all()


def user_by_email(session: Session, email: str) -> ConsoleUser | None:
    """The account of an address, whatever its case."""
    if "\x00" in email:  # PostgreSQL refuses to compare with it
        return None
    return session.scalar(select(ConsoleUser).where(user.c.email == email.strip().lower()))


def make_user(
    session: Session, *, email: str, name: str, role: Role, actor: str, now: datetime, password_hash: str | None = None
) -> ConsoleUser:
    """A new account; without a password it waits for its invitation to be taken. Raises BadInput."""
    email = email.strip().lower()
    if "@" not in email[1:-1] or len(email) > 200 or any(letter.isspace() or letter == "\x00" for letter in email):
        raise BadInput("這不是電子郵件地址。")
    if user_by_email(session, email) is not None:
        raise BadInput("這個電子郵件已經有帳號了。")
    made = ConsoleUser(
        email=email,
        name=_name_of(name) or email.split("@")[0],
        role=role,
        password_hash=password_hash,
        created_at=now,
    )
    session.add(made)
    session.flush()
    _note(session, "make console user", actor, made, now, role=str(role))
    return made


def invite(session: Session, one: ConsoleUser, *, actor: str, now: datetime) -> str:
    """A token that lets them set a password once, within 48 hours; earlier invitations end."""
    assert one.id is not None
    session.execute(
        update(ConsoleInvitation)
        .where(invitation.c.user_id == one.id, invitation.c.used_at.is_(None))
        .values(expires_at=now)
    )
    token = secrets.token_urlsafe(32)
    session.add(
        ConsoleInvitation(
            token_hash=hash_token(token), user_id=one.id, created_at=now, expires_at=now + INVITATION_LASTS
        )
    )
    _note(session, "invite console user", actor, one, now)
    return token


def invited(session: Session, token: str, now: datetime) -> ConsoleUser:
    """Whom an invitation is for. Raises NotFound for one that is unknown, used or too old, or of a disabled account."""
    found = session.get(ConsoleInvitation, hash_token(token))
    one = session.get(ConsoleUser, found.user_id) if found else None
    if found is None or found.used_at is not None or found.expires_at <= now or one is None or one.disabled_at:
        raise NotFound("the invitation is unknown, used or expired")
    return one


def take_invitation(session: Session, token: str, *, name: str, password_hash: str, now: datetime) -> ConsoleUser:
    """Set the password that the invitation allows; it is used up, and whoever was signed in with the account is out.
    Raises NotFound."""
    one = invited(session, token, now)
    used = session.execute(
        update(ConsoleInvitation)
        .where(invitation.c.token_hash == hash_token(token), invitation.c.used_at.is_(None))
        .values(used_at=now)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        raise NotFound("the invitation is used")
    one.password_hash, one.name = password_hash, _name_of(name) or one.name
    one.totp_secret, one.totp_last_step, one.recovery_hashes = None, None, []
    session.add(one)
    end_sessions(session, one.id or 0, now)
    _note(session, "set console password", one.email, one, now)
    return one


def change_password(session: Session, one: ConsoleUser, password_hash: str, *, now: datetime) -> None:
    """A new password of one's own."""
    one.password_hash = password_hash
    session.add(one)
    _note(session, "change console password", one.email, one, now)


def set_role(session: Session, user_id: int, role: Role, *, actor: str, now: datetime) -> None:
    """Raises NotFound; LastOwner when nobody else is an owner."""
    one = _user(session, user_id)
    if one.role == Role.OWNER and role != Role.OWNER:
        _require_other_owner(session, user_id)
    one.role = role
    session.add(one)
    _note(session, "set console role", actor, one, now, role=str(role))


def disable(session: Session, user_id: int, *, actor: str, now: datetime) -> None:
    """They can't sign in, and are out at once. Raises NotFound, LastOwner."""
    one = _user(session, user_id)
    if one.role == Role.OWNER:
        _require_other_owner(session, user_id)
    one.disabled_at = now
    session.add(one)
    end_sessions(session, user_id, now)
    _note(session, "disable console user", actor, one, now)


def enable(session: Session, user_id: int, *, actor: str, now: datetime) -> None:
    """They may sign in again. Raises NotFound."""
    one = _user(session, user_id)
    one.disabled_at = None
    session.add(one)
    _note(session, "enable console user", actor, one, now)


def sign_out(session: Session, user_id: int, *, actor: str, now: datetime) -> None:
    """End whatever is open of an account. Raises NotFound."""
    one = _user(session, user_id)
    end_sessions(session, user_id, now)
    _note(session, "sign out console user", actor, one, now)


def end_sessions(session: Session, user_id: int, now: datetime, *, but: int | None = None) -> None:
    """Sign out every browser of an account, `but` the session of that id."""
    mine = (console_session.c.user_id == user_id, console_session.c.ended_at.is_(None))
    others = () if but is None else (console_session.c.id != but,)
    session.execute(update(ConsoleSession).where(*mine, *others).values(ended_at=now))


def _name_of(name: str) -> str:
    return name.replace("\x00", "").strip()[:100]  # PostgreSQL keeps no NUL


def _user(session: Session, user_id: int) -> ConsoleUser:
    one = session.get(ConsoleUser, user_id, with_for_update=True) if 0 < user_id < 2**63 else None
    if one is None:
        raise NotFound(f"there is no console user {user_id}")
    return one


def _require_other_owner(session: Session, user_id: int) -> None:
    can_sign_in = (user.c.disabled_at.is_(None), user.c.password_hash.is_not(None))  # an invitation may never be taken
    others = (user.c.role == Role.OWNER, *can_sign_in, user.c.id != user_id)
    if not session.scalar(select(func.count()).select_from(user).where(*others)):
        raise LastOwner("至少要有一位擁有者。")


def _note(session: Session, action: str, actor: str, one: ConsoleUser, now: datetime, **detail: str) -> None:
    session.add(AuditEntry(at=now, actor=actor, action=action, detail={"user_id": one.id, **detail}))
