"""Who works with the console: accounts, their sessions, invitations, and failed attempts to come in; and what they keep
there: drafts of campaigns, views of the customers."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from store.models.base import Row, json_of, key, ref
from store.types import BigId, UTCDateTime


class ConsoleUser(Row, table=True):
    """A person who may sign in. Never deleted: what they did is in the audit trail under their address."""

    id: int | None = key()
    email: str = Field(unique=True)  # lower case
    name: str
    role: str  # owner | marketer | analyst | reader
    password_hash: str | None = None  # argon2id; null until the invitation is taken
    totp_secret: str | None = None  # base32; null: no second factor
    totp_last_step: int | None = None  # of the newest code taken (30 s since 1970), so that none works twice
    recovery_hashes: list[str] = json_of(list)  # SHA-256 of the codes that still work in place of the second factor
    created_at: datetime = Field(sa_type=UTCDateTime)
    last_login_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: never
    disabled_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: may sign in


class ConsoleSession(Row, table=True):
    """One browser that signed in. Only a hash of its token is stored."""

    id: int | None = key()
    token_hash: str = Field(unique=True)
    user_id: int = ref("console_user.id", index=True)
    created_at: datetime = Field(sa_type=UTCDateTime)
    last_seen_at: datetime = Field(sa_type=UTCDateTime)  # to the minute
    ended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: not signed out
    user_agent: str


class ConsoleInvitation(Row, table=True):
    """A link, good for one use, that lets somebody set a password: a new colleague, or one who forgot."""

    token_hash: str = Field(primary_key=True)
    user_id: int = ref("console_user.id", index=True)
    created_at: datetime = Field(sa_type=UTCDateTime)
    expires_at: datetime = Field(sa_type=UTCDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: not used


class ConsoleAttempt(Row, table=True):
    """Failed attempts in a row, of one account or from one address: what lock-outs are counted by."""

    subject: str = Field(primary_key=True)  # account:<SHA-256 of the e-mail> | address:<IP>
    failed_count: int
    last_failed_at: datetime = Field(sa_type=UTCDateTime)


class CampaignDraft(Row, table=True):
    """A campaign being written in the console, step by step; it becomes a campaign when it is checked."""

    id: int | None = key()
    name: str
    values: dict[str, Any] = json_of(dict)  # what the editor's steps hold (console/campaigns/draft_values.py)
    version: int = 1  # counts the saves: who saves on top of another's save is told
    campaign_id: int | None = ref("campaign.id", nullable=True)  # the draft campaign last made of it; null: not yet
    campaign_version: int | None = None  # the version that campaign was made of
    requested_by: str | None = None  # who asked for a second person's approval of `campaign_version`; null: nobody
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)
    updated_by: str
    done_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # scheduled; null: still a draft


class CustomerView(Row, table=True):
    """A filter of the list of customers, kept under a name: of one person, or shared with everybody."""

    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: int | None = key()
    user_id: int = ref("console_user.id")  # who keeps it
    name: str
    is_shared: bool = False
    rule: dict[str, Any] = json_of(dict)  # see docs/rules.md
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)


class ConsoleLine(Row, table=True):
    """Somebody's own LINE account on a channel, for test messages: proven by a code that they sent from it."""

    user_id: int = ref("console_user.id", primary_key=True)
    channel_id: int = ref("channel.id", primary_key=True)
    code: str  # to be sent to the account in LINE
    after_event_id: int = Field(sa_type=BigId)  # the newest event when the code was made: it can only be a later one
    asked_at: datetime = Field(sa_type=UTCDateTime)
    line_account_id: int | None = ref("line_account.id", nullable=True)  # null: the code has not come yet
    tested_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # of the newest test message; null: none


class ApiKey(Row, table=True):
    """A key with which the brand's site or till hands in events. Only a hash of it is stored."""

    id: int | None = key()
    name: str  # whose it is: "shop", "till 3"
    key_hash: str = Field(unique=True)  # SHA-256, in hex: the key is 256 random bits, which no list holds
    ending: str  # its last four characters, to tell keys apart
    made_at: datetime = Field(sa_type=UTCDateTime)
    made_by: str
    used_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # to the minute; null: never
    revoked_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: it is good
