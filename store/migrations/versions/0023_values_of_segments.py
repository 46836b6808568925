"""lifetime values of segments are kept with the predictions that they come from"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prediction_run", sa.Column("segment_values", sa.JSON(), nullable=False, server_default="{}"))
