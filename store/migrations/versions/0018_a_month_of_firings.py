"""a month of firings is read from indexes alone"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_campaign_run_fired_at", "campaign_run")
    op.drop_index("ix_campaign_run_campaign_id_fired_at", "campaign_run")
    op.create_index("ix_campaign_run_campaign_id_fired_at_id", "campaign_run", ["campaign_id", "fired_at", "id"])
    wide = ["fired_at", "send_from", "campaign_id", "id"]
    op.create_index("ix_campaign_run_fired_at_send_from_campaign_id_id", "campaign_run", wide)
    kept = sa.text("response_sums IS NOT NULL")
    op.create_index(
        "ix_campaign_run_summed",
        "campaign_run",
        ["campaign_id", "fired_at"],
        sqlite_where=kept,
        postgresql_where=kept,
    )
