"""who moved between two days, where the worker finds it out"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment_movement",
        sa.Column("model", AutoString(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("first_change_id", BigId, nullable=False),
        sa.Column("last_change_id", BigId, nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("found_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("moves", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("relabelled", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "first_day", "last_day", name=op.f("pk_segment_movement")),
    )
    with op.batch_alter_table("segment_movement") as batch_op:
        batch_op.create_index(op.f("ix_segment_movement_found_at"), ["found_at"])
