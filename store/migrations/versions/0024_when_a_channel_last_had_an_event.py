"""when a channel last had an event"""

import sqlalchemy as sa
from alembic import op

from store.types import UTCDateTime

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("channel") as batch_op:
        batch_op.add_column(sa.Column("last_event_at", UTCDateTime(timezone=True), nullable=True))
