"""keyword suggestions with the chance that each had of being shown"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "keyword_suggestion",
        sa.Column("id", BigId, nullable=False),
        sa.Column("request_key", AutoString(), nullable=False),
        sa.Column("made_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("made_by", AutoString(), nullable=False),
        sa.Column("theme", AutoString(), nullable=False),
        sa.Column("mode", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("propensity", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keyword_suggestion")),
    )
    op.create_index(op.f("ix_keyword_suggestion_request_key"), "keyword_suggestion", ["request_key"])
    op.create_index(op.f("ix_keyword_suggestion_made_at"), "keyword_suggestion", ["made_at"])
