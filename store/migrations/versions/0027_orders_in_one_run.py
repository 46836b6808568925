"""orders in one run

Whose orders may count in several runs is worked out anew by the job `results`; of all others they are their own.
"""

import sqlalchemy as sa
from alembic import op

from store.types import Decimal4

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("run_response") as batch_op:
        batch_op.add_column(sa.Column("own_orders", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("own_revenue", Decimal4(), server_default="0", nullable=False))
    op.execute("UPDATE run_response SET own_orders = orders, own_revenue = revenue")
    op.execute(
        "INSERT INTO response_due (customer_id) SELECT customer_id FROM run_response WHERE orders > 0"
        " GROUP BY customer_id HAVING count(*) > 1"
    )
    # kept sums have no such sums
    op.execute("UPDATE campaign_run SET response_sums = NULL, response_version = response_version + 1")
