"""agreement to marketing

Whoever took a refusal back, and has not refused since, agreed to marketing at that time.
"""

import sqlalchemy as sa
from alembic import op

from store.types import UTCDateTime

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("customer") as batch_op:
        batch_op.add_column(sa.Column("marketing_agreed_at", UTCDateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE customer SET marketing_agreed_at = (SELECT max(consent_change.at) FROM consent_change"
        " WHERE consent_change.customer_id = customer.id AND NOT consent_change.refuses)"
        " WHERE marketing_refused_at IS NULL"
        " AND id IN (SELECT customer_id FROM consent_change WHERE NOT refuses)"
    )
