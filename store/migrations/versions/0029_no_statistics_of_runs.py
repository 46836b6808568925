"""PostgreSQL plans queries on deliveries without statistics of their runs: those never know of a run being sent now"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # By statistics in which a run does not stand it has no rows, so any index seems as good: each multicast walked all of
    # its run. Without any, a run is taken for a share of the table.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delivery ALTER COLUMN run_id SET STATISTICS 0")
        op.execute("ALTER TABLE delivery ALTER COLUMN run_id TYPE bigint")  # as it is; forgets what was gathered
