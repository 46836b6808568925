"""what a segment is worth on a day may be more than 64 bits hold"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

WIDE = sa.Numeric(38, 0).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("segment_size_on_day") as batch_op:
        batch_op.alter_column("value", existing_type=sa.BigInteger(), type_=WIDE, existing_nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("segment_size_on_day") as batch_op:
        batch_op.alter_column("value", existing_type=WIDE, type_=sa.BigInteger(), existing_nullable=False)
