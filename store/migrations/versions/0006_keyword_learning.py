"""what texts were cut into and what keywords learned are kept; results say their format and when they changed"""

import json

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "text_cut",
        sa.Column("text_key", AutoString(), nullable=False),
        sa.Column("cut_with", AutoString(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("text_key", name=op.f("pk_text_cut")),
    )
    op.create_table(
        "keyword_learning",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("computed_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("cut_with", AutoString(), nullable=False),
        sa.Column("zone", AutoString(), nullable=False),
        sa.Column("result_count", BigId, nullable=False),
        sa.Column("recipients", BigId, nullable=False),
        sa.Column("clicks", BigId, nullable=False),
        sa.Column("newest_change", UTCDateTime(timezone=True), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keyword_learning")),
    )
    _message_results()


def _message_results() -> None:
    """Old results changed when they were sent, as far as is known; their format is that of their run's variant."""
    with op.batch_alter_table("message_result") as batch:
        batch.add_column(sa.Column("format", AutoString(), server_default="", nullable=False))
        batch.add_column(sa.Column("changed_at", UTCDateTime(timezone=True), nullable=True))
    op.execute("UPDATE message_result SET changed_at = sent_at")
    with op.batch_alter_table("message_result") as batch:
        batch.alter_column("changed_at", existing_type=UTCDateTime(timezone=True), nullable=False)
        batch.create_index(
            op.f("ix_message_result_changed_at_recipients_clicks"), ["changed_at", "recipients", "clicks"]
        )
    connection = op.get_bind()
    runs = sa.text("SELECT id, variants FROM campaign_run WHERE id IN (SELECT run_id FROM message_result)")
    for run_id, variants in connection.execute(runs).all():
        for variant in json.loads(variants) if isinstance(variants, str) else variants:
            kinds = {"text" if m["type"] == "textV2" else m["type"] for m in variant["messages"]}
            connection.execute(
                sa.text("UPDATE message_result SET format = :format WHERE run_id = :run AND variant_id = :variant"),
                {"format": "+".join(sorted(kinds)), "run": run_id, "variant": variant["variant_id"]},
            )


def downgrade() -> None:
    with op.batch_alter_table("message_result") as batch:
        batch.drop_index(op.f("ix_message_result_changed_at_recipients_clicks"))
        batch.drop_column("changed_at")
        batch.drop_column("format")
    op.drop_table("keyword_learning")
    op.drop_table("text_cut")
