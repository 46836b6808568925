"""all that is foreseen of a campaign, in place of its reach alone"""

import sqlalchemy as sa
from alembic import op

from store.types import BigId, UTCDateTime

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("campaign_reach")  # held for ten minutes only
    op.create_table(
        "campaign_outlook",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("found_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("outlook", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_outlook_campaign_id_campaign")
        ),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaign_outlook")),
    )
    with op.batch_alter_table("campaign_outlook") as batch_op:
        batch_op.create_index(op.f("ix_campaign_outlook_found_at"), ["found_at"])
