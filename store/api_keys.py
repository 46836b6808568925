"""Keys of programs that hand in events: made, shown once, found by their hash, revoked. Each change is audited."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlmodel import Session

from store.engine import table_of
from store.errors import BadInput, NotFound
from store.models import ApiKey, AuditEntry

PREFIX = "rt_"  # so that a key that got into a repository is found by those who look for such
RANDOM_BYTES = 32
LONGEST_NAME = 60
USED_TO = timedelta(minutes=1)  # the use of a key is noted so finely: not a write for each call

table = table_of(ApiKey)


def make_key(session: Session, name: str, *, actor: str, now: datetime) -> str:
    """A new key, whose words are told this once. Raises BadInput without a name."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or "\x00" in name:
        raise BadInput("金鑰要有名稱，最多 60 個字。")
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    made = ApiKey(name=name, key_hash=_hash(key), ending=key[-4:], made_at=now, made_by=actor)
    session.add(made)
    session.flush()
    session.add(AuditEntry(at=now, actor=actor, action="make API key", detail={"key_id": made.id}))
    return key


def all_keys(session: Session) -> Sequence[ApiKey]:
    """The newest first; revoked ones too."""
    return session.scalars(select(ApiKey).order_by(table.c.id.desc())).all()


def good_key(session: Session, key: str) -> ApiKey | None:
    """The key of these words, unless it was revoked. Found by its hash: how long that takes tells nothing of a key."""
    return session.scalars(select(ApiKey).where(table.c.key_hash == _hash(key), table.c.revoked_at.is_(None))).first()


def has_keys(session: Session) -> bool:
    """Whether any key is good."""
    return session.scalar(select(table.c.id).where(table.c.revoked_at.is_(None)).limit(1)) is not None


def note_use(session: Session, key_id: int, now: datetime) -> None:
    """Note that a key was used. Never commits."""
    session.execute(update(ApiKey).where(table.c.id == key_id).values(used_at=now))


def is_use_old(key: ApiKey, now: datetime) -> bool:
    """Whether its use is to be noted again."""
    return key.used_at is None or now - key.used_at >= USED_TO


def revoke_key(session: Session, key_id: int, *, actor: str, now: datetime) -> None:
    """Let a key be good no more, at once and for ever. Raises NotFound."""
    one = session.get(ApiKey, key_id) if 0 < key_id < 2**63 else None
    if one is None:
        raise NotFound(f"there is no API key {key_id}")
    if one.revoked_at is None:
        one.revoked_at = now
        session.add(one)
        session.add(AuditEntry(at=now, actor=actor, action="revoke API key", detail={"key_id": key_id}))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
