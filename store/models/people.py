"""Who: channels, customers, their LINE accounts, and when they refused marketing."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import date, datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from store.models.base import Row, json_of, key, ref
from store.types import BigId, ByteOrdered, UTCDateTime


class Channel(Row, table=True):
    """One LINE Official Account. Its secrets are settings, never rows."""

    id: int | None = key()
    name: str = Field(unique=True)  # the <channel> of /webhook/<channel>
    destination: str | None = None  # the bot's user id; null until LINE has told us
    last_event_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # receipt of the newest, to a minute
    quota_limit: int | None = None  # LINE's messages a month; null: unlimited, or not read yet
    quota_used: int | None = None  # LINE's own approximate figure; null: not read yet, like the next
    quota_read_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    stopped_reason: str | None = None  # set when LINE refuses the token (401/403): nothing is sent until cleared
    token_checked_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # LINE took the token; null: not asked
    units_of_others: int = 0  # names of aggregation units that LINE has counted in `units_month` beyond our own
    units_month: str | None = None  # 2026-11; null: LINE was never asked


class Customer(Row, table=True):
    """One person."""

    __table_args__ = {"sqlite_autoincrement": True}  # links name them for good: an id is never given again

    id: int | None = key()
    member_id: str | None = Field(default=None, unique=True)  # the brand's own id; null until bound
    name: str | None = None  # given by the brand; null when unknown, like the next four
    gender: str | None = None
    birthday: date | None = None
    city: str | None = None
    language: str | None = None
    attributes: dict[str, Any] = json_of(dict)
    marketing_refused_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # set: no marketing at all
    # When they last agreed to marketing; null: never, or refused since. Asked for only where the brand needs opt-in
    marketing_agreed_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    # LINE's time of the newest refusal or resumption: an older one that arrives late changes nothing
    refusal_changed_ms: int = Field(default=0, sa_type=BigId, sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(sa_type=UTCDateTime)


class FormerCustomer(Row, table=True):
    """Who a customer was before they turned out to be another: links that they got then still name them so."""

    former_id: int = Field(primary_key=True, sa_type=BigId, sa_column_kwargs={"autoincrement": False})
    customer_id: int = ref("customer.id", index=True)


class CustomerWord(Row, table=True):
    """What a search finds somebody by, in small letters: their member id, and their name from each of its characters
    on, so that whatever stands within a name begins one of these. Made by store/searchable.py."""

    __table_args__ = (Index(None, "word", "customer_id"), {"sqlite_with_rowid": False})

    customer_id: int = ref("customer.id", primary_key=True)
    place: int = Field(primary_key=True)  # 0: the member id; else the character of the name that it begins with, from 1
    word: str = Field(sa_type=ByteOrdered)  # its first characters


class LineAccount(Row, table=True):
    """A person's LINE identity on one channel."""

    __table_args__ = (UniqueConstraint("channel_id", "line_user_id"),)

    id: int | None = key()
    channel_id: int = ref("channel.id")
    line_user_id: str
    customer_id: int = ref("customer.id", index=True)
    is_following: bool | None = None  # null: imported or seen only in a group, so not yet known
    follow_changed_ms: int = Field(default=0, sa_type=BigId)  # LINE's time of the newest follow or unfollow
    display_name: str | None = None  # null until the profile is fetched, like the next
    profile_language: str | None = None
    profile_due_at: datetime | None = Field(default=None, sa_type=UTCDateTime, index=True)  # null: nothing to fetch
    profile_tries: int = 0


class ConsentChange(Row, table=True):
    """Somebody refused marketing, or agreed to it (again): as they said themselves, as a person of the brand noted it,
    or as an imported file says."""

    __table_args__ = (Index(None, "customer_id", "at"),)

    id: int | None = key()
    customer_id: int = ref("customer.id")
    at: datetime = Field(sa_type=UTCDateTime)
    refuses: bool  # else they agree
    actor: str  # "customer", or the address of who noted it or imported the file
