"""the reach of a campaign of many people, where the worker finds it out"""

import sqlalchemy as sa
from alembic import op

from store.types import BigId, UTCDateTime

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaign_reach",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("asked_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("found_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("reach", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_reach_campaign_id_campaign")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaign_reach")),
    )
    with op.batch_alter_table("campaign_reach") as batch_op:
        batch_op.create_index(op.f("ix_campaign_reach_found_at"), ["found_at"])
