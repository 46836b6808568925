"""runs found by when they were over, and those whose sums are not kept yet"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_open = sa.text("tallied_at IS NULL")
    with op.batch_alter_table("campaign_run") as batch_op:
        batch_op.create_index("ix_campaign_run_by_end", ["finished_at", "fired_at", "campaign_id", "id"])
        batch_op.create_index(
            "ix_campaign_run_open", ["tallied_at"], sqlite_where=is_open, postgresql_where=is_open
        )


def downgrade() -> None:
    with op.batch_alter_table("campaign_run") as batch_op:
        batch_op.drop_index("ix_campaign_run_open")
        batch_op.drop_index("ix_campaign_run_by_end")
