"""when what puts a tag on last became another: nothing before that is held against it"""

import sqlalchemy as sa
from alembic import op

from store.types import UTCDateTime

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tag", sa.Column("defined_at", UTCDateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tag") as batch_op:
        batch_op.drop_column("defined_at")
