"""ad audiences that somebody asks for at LINE on the console, and what came of each"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ad_upload",
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel_id", BigId, nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("asked_by", AutoString(), nullable=False),
        sa.Column("lease_until", UTCDateTime(timezone=True), nullable=True),
        sa.Column("finished_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("left_out", sa.Integer(), nullable=True),
        sa.Column("unknown", sa.Integer(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_ad_upload_channel_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ad_upload")),
        sa.UniqueConstraint("channel_id", "name", name=op.f("uq_ad_upload_channel_id_name")),
    )
    with op.batch_alter_table("ad_upload") as batch_op:
        batch_op.create_index(op.f("ix_ad_upload_state"), ["state"])
