"""refusals of marketing and their end, one row each; those so far from the audit log"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

REFUSALS = ("marketing_refused", "note refusal")
ENDS = ("marketing_resumed", "note end of refusal")


def upgrade() -> None:
    consent = op.create_table(
        "consent_change",
        sa.Column("id", BigId, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("refuses", sa.Boolean(), nullable=False),
        sa.Column("actor", AutoString(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_consent_change_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_change")),
    )
    op.create_index("ix_consent_change_customer_id_at", "consent_change", ["customer_id", "at"])
    audit = sa.table(
        "audit_entry",
        sa.column("id", BigId),
        sa.column("at", UTCDateTime(timezone=True)),
        sa.column("actor", sa.String()),
        sa.column("action", sa.String()),
        sa.column("detail", sa.JSON()),
    )
    customer = sa.table("customer", sa.column("id", BigId))
    whose = audit.c.detail["customer_id"].as_integer()
    found = (
        sa.select(customer.c.id, audit.c.at, audit.c.action.in_(REFUSALS), audit.c.actor)
        .select_from(audit.join(customer, customer.c.id == whose))  # without those who have become somebody else
        .where(audit.c.action.in_((*REFUSALS, *ENDS)))
        .order_by(audit.c.id)
    )
    assert consent is not None
    op.execute(consent.insert().from_select(["customer_id", "at", "refuses", "actor"], found))
