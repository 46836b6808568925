"""files handed in at the console, to be imported by the worker"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "file_import",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("file_name", AutoString(), nullable=False),
        sa.Column("file_hash", AutoString(), nullable=False),
        sa.Column("size_bytes", BigId, nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("uploaded_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("uploaded_by", AutoString(), nullable=False),
        sa.Column("channel_id", BigId, nullable=True),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("asked_by", AutoString(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", UTCDateTime(timezone=True), nullable=True),
        sa.Column("part_done", sa.Float(), nullable=False),
        sa.Column("started_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("finished_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("removed_at", UTCDateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('customers', 'orders', 'products', 'events')", name=op.f("ck_file_import_kind")),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_file_import_channel_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_import")),
        sa.UniqueConstraint("kind", "file_hash", name=op.f("uq_file_import_kind_file_hash")),
    )
    op.create_index(op.f("ix_file_import_state"), "file_import", ["state"])
