"""how far the audience of a narrowcast may hold people: of whom LINE was told by a step that counted for nothing"""

import sqlalchemy as sa
from alembic import op

from store.types import BigId

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("narrowcast", sa.Column("held_up_to", BigId, nullable=False, server_default="0"))
    op.execute("UPDATE narrowcast SET held_up_to = uploaded_up_to")


def downgrade() -> None:
    with op.batch_alter_table("narrowcast") as batch_op:
        batch_op.drop_column("held_up_to")
