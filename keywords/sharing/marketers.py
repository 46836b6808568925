"""Whom the report may be sent to by LINE: marketers who bound their own LINE account, which a code from it proved
(`ConsoleLine`, console/start/own_line.py). An address or id that somebody only typed proves nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select
from sqlmodel import Session

from store.engine import table_of
from store.errors import BadInput
from store.models import Channel, ConsoleLine, ConsoleUser, LineAccount

user, own = table_of(ConsoleUser), table_of(ConsoleLine)
account, channel_of = table_of(LineAccount), table_of(Channel)


@dataclass(frozen=True)
class Marketer:
    """Somebody with an account of the console, and whether the report can be sent to their own LINE."""

    email: str
    name: str
    can_be_reached: bool


@dataclass(frozen=True)
class Reach:
    """Where a marketer is reached."""

    channel: str  # its name
    line_user_id: str


def marketers(session: Session) -> list[Marketer]:
    """All who may sign in, by e-mail."""
    people = session.execute(
        select(user.c.email, user.c.name).where(user.c.disabled_at.is_(None)).order_by(user.c.email)
    ).all()
    bound = {row.email for row in session.execute(_bound())}
    return [Marketer(email, name, email in bound) for email, name in people]


def reach_of(session: Session, email: str, *, channel: str | None, among: Collection[str] | None = None) -> Reach:
    """Where the marketer is reached: on `channel`, or where they bound their LINE first; of the channels `among`, if it
    is given. Raises BadInput, which says why they aren't."""
    known = session.execute(select(user.c.disabled_at).where(user.c.email == email)).one_or_none()
    if known is None:
        raise BadInput(f"nobody has an account {email!r}")
    if known.disabled_at is not None:
        raise BadInput(f"the account {email} is switched off")
    found = [
        Reach(row.channel, row.line_user_id)
        for row in session.execute(_bound().where(user.c.email == email))
        if channel in (None, row.channel) and (among is None or row.channel in among)
    ]
    if not found:
        raise BadInput(
            f"{email} has no LINE account of their own bound to {channel or 'any channel'}, or has blocked it:"
            " each binds theirs in the console, under 開始使用 Getting started"
        )
    return found[0]


def check_channel(session: Session, name: str) -> None:
    """Raise BadInput unless there is a channel of that name."""
    if session.scalar(select(channel_of.c.id).where(channel_of.c.name == name)) is None:
        known = ", ".join(session.scalars(select(channel_of.c.name).order_by(channel_of.c.id)))
        raise BadInput(f"there is no channel {name!r}; there are: {known}")


def _bound() -> Select[Any]:
    """E-mail, channel and LINE user id of every own account that gets what is pushed."""
    return (
        select(user.c.email, channel_of.c.name.label("channel"), account.c.line_user_id)
        .join(own, own.c.user_id == user.c.id)
        .join(account, and_(account.c.id == own.c.line_account_id, account.c.channel_id == own.c.channel_id))
        .join(channel_of, channel_of.c.id == own.c.channel_id)
        .where(user.c.disabled_at.is_(None), account.c.is_following.is_not(False))
        .order_by(own.c.channel_id)
    )
