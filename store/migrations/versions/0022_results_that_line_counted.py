"""who counted a message's clicks: we, or LINE, which only gives sums"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("message_result") as batch_op:
        batch_op.add_column(sa.Column("counted_by", AutoString(), server_default="us", nullable=False))
