"""keyword reports sent on a schedule: one delivery for each period and recipient"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "keyword_report_delivery",
        sa.Column("period", AutoString(), nullable=False),
        sa.Column("recipient", AutoString(), nullable=False),
        sa.Column("channel", AutoString(), nullable=True),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("retry_key", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UTCDateTime(timezone=True), nullable=True),
        sa.Column("doubt_since", UTCDateTime(timezone=True), nullable=True),
        sa.Column("made_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("done_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("period", "recipient", name=op.f("pk_keyword_report_delivery")),
    )
    op.create_index(op.f("ix_keyword_report_delivery_state"), "keyword_report_delivery", ["state"])
