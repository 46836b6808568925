"""less to write for each customer's segments: no index of NES beside NESL's, none of the runs of changes"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

NES = ("nes", "nes_personal")


def upgrade() -> None:
    for name in NES:
        op.drop_index(op.f(f"ix_customer_segment_{name}"), "customer_segment")
    op.drop_index(op.f("ix_segment_change_run_id_as_of_id"), "segment_change")
    with _changes_made_anew() as batch_op:
        batch_op.drop_constraint(op.f("fk_segment_change_run_id"), type_="foreignkey")
    between_runs = sa.text("run_id IS NULL")
    op.create_index(
        "ix_segment_change_between_runs",
        "segment_change",
        ["as_of", "id"],
        sqlite_where=between_runs,
        postgresql_where=between_runs,
    )


def downgrade() -> None:
    op.drop_index("ix_segment_change_between_runs", "segment_change")
    with _changes_made_anew() as batch_op:
        batch_op.create_foreign_key(op.f("fk_segment_change_run_id"), "segment_run", ["run_id"], ["id"])
    op.create_index(op.f("ix_segment_change_run_id_as_of_id"), "segment_change", ["run_id", "as_of", "id"])
    for name in NES:
        op.create_index(op.f(f"ix_customer_segment_{name}"), "customer_segment", [name])


@contextmanager
def _changes_made_anew() -> Iterator[BatchOperations]:
    """SQLite copies the table. The copy knows only of the ids that it holds, and would give those again whose rows were
    deleted: campaigns, which have read up to them, would pass over whoever moves next."""
    newest = None
    if op.get_bind().dialect.name == "sqlite":
        newest = op.get_bind().scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'segment_change'"))
    with op.batch_alter_table("segment_change", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        yield batch_op
    if newest is not None:
        op.execute("DELETE FROM sqlite_sequence WHERE name = 'segment_change'")
        op.execute(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('segment_change', {int(newest)})")
