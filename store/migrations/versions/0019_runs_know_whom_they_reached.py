"""a run that is over knows how many it reached, so that many runs are summed from indexes alone"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

COUNTS = ["reached_count", "message_count"]


def upgrade() -> None:
    for name in COUNTS:
        op.add_column("campaign_run", sa.Column(name, sa.Integer(), nullable=True))
    accepted = "(SELECT coalesce(sum({people}), 0) FROM run_tally WHERE run_id = campaign_run.id AND state = 'accepted')"
    op.execute(
        f"UPDATE campaign_run SET reached_count = {accepted.format(people='people')},"
        f" message_count = {accepted.format(people='CASE WHEN by_reply THEN 0 ELSE people END')}"
        " WHERE tallied_at IS NOT NULL"
    )
    op.drop_index("ix_campaign_run_campaign_id_fired_at_id", "campaign_run")
    op.drop_index("ix_campaign_run_fired_at_send_from_campaign_id_id", "campaign_run")
    op.create_index("ix_campaign_run_of_campaign", "campaign_run", ["campaign_id", "fired_at", "id", *COUNTS])
    by_time = ["fired_at", "send_from", "campaign_id", "id", *COUNTS]
    op.create_index("ix_campaign_run_by_time", "campaign_run", by_time)
