"""which rows are sample data"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sample_row",
        sa.Column("table_name", AutoString(), nullable=False),
        sa.Column("row_id", BigId, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("table_name", "row_id", name=op.f("pk_sample_row")),
    )
