"""narrowcasts and LINE's figures of them by language"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = ["run_id", "variant_id", "language"]


def upgrade() -> None:
    # What was there were plain versions: a narrowcast had no others.
    plain = {"nullable": False, "server_default": ""}
    with op.batch_alter_table("unit_statistic") as batch:
        batch.add_column(sa.Column("language", AutoString(), **plain))
    with op.batch_alter_table("narrowcast") as batch:
        batch.add_column(sa.Column("language", AutoString(), **plain))
        batch.drop_constraint(op.f("pk_narrowcast"), type_="primary")
        batch.create_primary_key(op.f("pk_narrowcast"), KEY)
