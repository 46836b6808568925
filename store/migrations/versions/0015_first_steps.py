"""first steps: what the worker is asked for, own LINE accounts, keys of programs"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("channel") as batch_op:
        batch_op.add_column(sa.Column("token_checked_at", UTCDateTime(timezone=True), nullable=True))
    op.create_table(
        "work_request",
        sa.Column("work", AutoString(), nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("asked_by", AutoString(), nullable=False),
        sa.Column("done_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("work", name=op.f("pk_work_request")),
    )
    op.create_table(
        "console_line",
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("channel_id", BigId, nullable=False),
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("after_event_id", BigId, nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("line_account_id", BigId, nullable=True),
        sa.Column("tested_at", UTCDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_console_line_channel_id")),
        sa.ForeignKeyConstraint(
            ["line_account_id"], ["line_account.id"], name=op.f("fk_console_line_line_account_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["console_user.id"], name=op.f("fk_console_line_user_id")),
        sa.PrimaryKeyConstraint("user_id", "channel_id", name=op.f("pk_console_line")),
    )
    op.create_table(
        "api_key",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("key_hash", AutoString(), nullable=False),
        sa.Column("ending", AutoString(), nullable=False),
        sa.Column("made_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("made_by", AutoString(), nullable=False),
        sa.Column("used_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_key_key_hash")),
    )
