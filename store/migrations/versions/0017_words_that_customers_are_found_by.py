"""what a search finds customers by; filled for those who are there"""

import sqlalchemy as sa
from alembic import op

from store.types import BigId, ByteOrdered

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

FILL = """
WITH RECURSIVE rest_of_name (customer_id, place, rest) AS (
    SELECT id, 1, lower(name) FROM customer WHERE name <> ''
    UNION ALL
    SELECT customer_id, place + 1, substr(rest, 2) FROM rest_of_name WHERE length(rest) > 1
)
INSERT INTO customer_word (customer_id, place, word)
SELECT customer_id, place, substr(rest, 1, 32) FROM rest_of_name
UNION ALL
SELECT id, 0, substr(lower(member_id), 1, 32) FROM customer WHERE member_id IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "customer_word",
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("word", ByteOrdered, nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_customer_word_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", "place", name=op.f("pk_customer_word")),
        sqlite_with_rowid=False,
    )
    op.execute(FILL)
    op.create_index("ix_customer_word_word_customer_id", "customer_word", ["word", "customer_id"])
