"""changes of segments that lines drawn anew made, by other settings or for another day, are told apart"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("segment_change", sa.Column("is_relabelled", sa.Boolean(), nullable=False, server_default=sa.false()))
    for run_id in relabelling_runs(op.get_bind()):
        op.execute(sa.text("UPDATE segment_change SET is_relabelled = true WHERE run_id = :run").bindparams(run=run_id))


def relabelling_runs(connection: sa.Connection) -> list[int]:
    """The first run there was, runs by other settings than the run before, for an earlier day, and back from there."""
    rows = connection.execute(sa.text("SELECT id, as_of, state, settings FROM segment_run ORDER BY id")).all()
    found, former, newest = [], None, None
    for run_id, as_of, state, settings in rows:
        chosen = (json.loads(settings) if isinstance(settings, str) else settings).get("chosen")
        if former is None or not former[0] == newest <= as_of or former[1] != chosen:
            found.append(run_id)
        if state == "finished":
            former, newest = (as_of, chosen), max(newest or as_of, as_of)
    return found
