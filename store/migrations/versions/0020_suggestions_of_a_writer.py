"""where a suggestion is from, and none's chance of being shown where nobody knows it"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("keyword_suggestion") as batch_op:
        batch_op.add_column(sa.Column("source", AutoString(), nullable=True))
        batch_op.alter_column("propensity", existing_type=sa.Float(), nullable=True)
