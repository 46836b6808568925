"""What people asked the worker to do from the console: files to import, computations; and the sample data."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Text, UniqueConstraint
from sqlmodel import Field

from store.models.base import Row, key, ref
from store.types import BigId, UTCDateTime


class FileImport(Row, table=True):
    """A file handed in at the console, and how far its import has come. The same bytes of one kind are one row, by the
    constraint, however often they are handed in. The file itself lies in UPLOAD_DIR under the row's id."""

    __table_args__ = (
        UniqueConstraint("kind", "file_hash"),
        CheckConstraint("kind IN ('customers', 'orders', 'products', 'events')", name="kind"),
    )

    id: int | None = key()
    kind: str  # customers | orders | products | events
    file_name: str  # as the person's machine calls it
    file_hash: str  # SHA-256 of its bytes, in hex
    size_bytes: int = Field(sa_type=BigId)
    state: str = Field(default="uploaded", index=True)  # uploaded waiting running done failed
    uploaded_at: datetime = Field(sa_type=UTCDateTime)
    uploaded_by: str
    channel_id: int | None = ref("channel.id", nullable=True)  # of line_user_id; null: the file has none
    asked_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: only looked at so far, like the next
    asked_by: str | None = None
    attempts: int = 0  # since it was asked for: a file that kills the worker is not taken up for ever
    lease_until: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null unless running
    part_done: float = 0.0  # 0..1
    started_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: not begun, like the next
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    report: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))  # null: not done
    problem: str | None = Field(default=None, sa_type=Text)  # why it failed as a whole; null: it didn't
    removed_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # of the file; null: it is there


class WorkRequest(Row, table=True):
    """Something that the worker does when somebody asks for it: one row of each kind, the newest asking."""

    work: str = Field(primary_key=True)  # segments | product labels | sample load | sample remove
    asked_at: datetime = Field(sa_type=UTCDateTime)
    asked_by: str
    done_at: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null: waiting, or at work
    problem: str | None = Field(default=None, sa_type=Text)  # why it could not be done; null: it was, or not yet


class AdUpload(Row, table=True):
    """An ad audience that LINE is to be given: the newest asking for each name on a channel, and what came of it."""

    __table_args__ = (UniqueConstraint("channel_id", "name"),)

    id: int | None = key()
    channel_id: int = ref("channel.id")
    name: str  # of the audience at LINE
    target: str = Field(sa_type=Text)  # whom, in the words that campaigns know
    state: str = Field(default="waiting", index=True)  # waiting running done failed
    asked_at: datetime = Field(sa_type=UTCDateTime)
    asked_by: str
    lease_until: datetime | None = Field(default=None, sa_type=UTCDateTime)  # null unless running
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    people: int | None = None  # in it at LINE; null until done, like the next two
    left_out: int | None = None
    unknown: int | None = None  # to LINE
    problem: str | None = Field(default=None, sa_type=Text)  # why it failed; null: it didn't


class SampleRow(Row, table=True):
    """A row that belongs to the sample data; what hangs on it goes with it (service/sample/remove.py)."""

    table_name: str = Field(primary_key=True)
    row_id: int = Field(primary_key=True, sa_type=BigId, sa_column_kwargs={"autoincrement": False})
