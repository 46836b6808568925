"""slower runs"""

import sqlalchemy as sa
from alembic import op

from store.types import UTCDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("campaign_run") as batch_op:
        batch_op.add_column(sa.Column("slow_step", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("next_batch_at", UTCDateTime(timezone=True), nullable=True))
