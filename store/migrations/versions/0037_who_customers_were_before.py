"""whom a link names that was sent to somebody before they were found to be a member; no id of a customer twice"""

import sqlalchemy as sa
from alembic import op

from store.types import BigId

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former_customer",
        sa.Column("former_id", BigId, autoincrement=False, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_former_customer_customer_id_customer")
        ),
        sa.PrimaryKeyConstraint("former_id", name=op.f("pk_former_customer")),
    )
    with op.batch_alter_table("former_customer") as batch_op:
        batch_op.create_index(op.f("ix_former_customer_customer_id"), ["customer_id"])
    _make_customers_anew(sqlite_autoincrement=True)


def downgrade() -> None:
    _make_customers_anew(sqlite_autoincrement=False)
    with op.batch_alter_table("former_customer") as batch_op:
        batch_op.drop_index(op.f("ix_former_customer_customer_id"))
    op.drop_table("former_customer")


def _make_customers_anew(*, sqlite_autoincrement: bool) -> None:
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL never gives an id of a sequence again
        kwargs = {"sqlite_autoincrement": sqlite_autoincrement}
        with op.batch_alter_table("customer", recreate="always", table_kwargs=kwargs):
            pass
