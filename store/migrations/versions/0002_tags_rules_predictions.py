"""tags that put themselves on and off, rules, predictions, history of segments by change"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, Decimal4, UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LONG_AGO = "1970-01-01 00:00:00.000000"
MODELS = ("rf4", "rf11", "rfm3", "rfm8", "nesl", "nes")
NEW_MODELS = ("nesl_personal", "nes_personal", "activity")


def upgrade() -> None:
    _events()
    _rules_and_tags()
    _segments()
    _history()
    _predictions()
    _demand()
    _changes()


def _moment(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column:
    return sa.Column(name, UTCDateTime(timezone=True), nullable=nullable, server_default=default)


def _key(name: str = "id") -> sa.Column:
    return sa.Column(name, BigId, nullable=False)


def _to(table: str, *, of: str, column: str | None = None, nullable: bool = False) -> tuple:
    column = column or f"{table}_id"
    name = op.f(f"fk_{of}_{column}")
    return sa.Column(column, BigId, nullable=nullable), sa.ForeignKeyConstraint([column], [f"{table}.id"], name=name)


def _events() -> None:
    with op.batch_alter_table("behaviour_event") as batch:
        batch.alter_column("channel_id", existing_type=BigId, nullable=True)
        batch.add_column(sa.Column("sku", AutoString(), nullable=True))
        batch.add_column(sa.Column("topic", AutoString(), nullable=True))
        batch.add_column(sa.Column("campaign_id", BigId, nullable=True))
        batch.create_foreign_key(op.f("fk_behaviour_event_campaign_id"), "campaign", ["campaign_id"], ["id"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    run_id = "json_extract(payload, '$.run_id')" if is_sqlite else "CAST(payload ->> 'run_id' AS bigint)"
    op.execute(
        f"UPDATE behaviour_event SET campaign_id = (SELECT campaign_id FROM campaign_run WHERE id = {run_id})"
        " WHERE kind = 'click'"
    )
    op.add_column("tracked_link", sa.Column("topic", AutoString(), nullable=True))


def _rules_and_tags() -> None:
    op.create_table(
        "rule",
        _key(),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule")),
        sa.UniqueConstraint("name", name=op.f("uq_rule_name")),
    )
    for column in (
        sa.Column("kind", AutoString(), nullable=False, server_default="fact"),
        sa.Column("line", AutoString(), nullable=False, server_default="static"),
        sa.Column("source", AutoString(), nullable=False, server_default="hand"),
        sa.Column("definition", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("cut", sa.Float(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true()),
        _moment("created_at", default=LONG_AGO),
        _moment("computed_at", nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
    ):
        op.add_column("tag", column)
    for column in (
        sa.Column("strength", sa.Float(), nullable=False, server_default="1"),
        sa.Column("source", AutoString(), nullable=False, server_default="hand"),
        sa.Column("evidence", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("off_evidence", sa.JSON(), nullable=True),
        sa.Column("falls_off_on", sa.Date(), nullable=True),
    ):
        op.add_column("customer_tag", column)
    op.execute(
        "UPDATE customer_tag SET source = 'import', evidence = "
        + (
            "json_object('note', reason)"
            if op.get_bind().dialect.name == "sqlite"
            else "json_build_object('note', reason)"
        )
    )
    op.drop_column("customer_tag", "reason")
    op.create_table(
        "tag_check",
        *_to("tag", of="tag_check"),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("people", "tagged", "happened", "hits")),
        _moment("computed_at"),
        sa.PrimaryKeyConstraint("tag_id", "as_of", name=op.f("pk_tag_check")),
    )


def _segments() -> None:
    op.add_column("segment_run", sa.Column("last_change_id", BigId, nullable=False, server_default="0"))
    for column in (
        sa.Column("cycle_days", sa.Integer(), nullable=True),
        *(
            sa.Column(name, AutoString(), nullable=False, server_default="none" if name == "activity" else "never")
            for name in NEW_MODELS
        ),
        sa.Column("loyalty", sa.Float(), nullable=True),
        sa.Column("loyalty_percentile", sa.Float(), nullable=True),
        sa.Column("paid_total", Decimal4(), nullable=True),
        _moment("computed_at", default=LONG_AGO),
    ):
        op.add_column("customer_segment", column)
    for name in NEW_MODELS:
        op.create_index(op.f(f"ix_customer_segment_{name}"), "customer_segment", [name])
    op.create_table(
        "brand_setting",
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        _moment("updated_at"),
        sa.Column("updated_by", AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_brand_setting")),
    )
    op.create_table(
        "segment_size_on_day",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("model", AutoString(), nullable=False),
        sa.Column("segment", AutoString(), nullable=False),
        sa.Column("customers", sa.Integer(), nullable=False),
        sa.Column("value", Decimal4(), nullable=False),
        sa.PrimaryKeyConstraint("as_of", "model", "segment", name=op.f("pk_segment_size_on_day")),
    )


def _history() -> None:
    op.drop_index(op.f("ix_segment_change_run_id"), "segment_change")
    op.rename_table("segment_change", "segment_change_by_run")
    if op.get_bind().dialect.name == "postgresql":  # constraint names belong to the schema there, not to the table
        op.execute("ALTER TABLE segment_change_by_run DROP CONSTRAINT pk_segment_change")
    models = (*MODELS, *NEW_MODELS)
    needed = ("nesl", "nes", *NEW_MODELS)
    op.create_table(
        "segment_change",
        _key(),
        *_to("customer", of="segment_change"),
        *_to("segment_run", of="segment_change", column="run_id", nullable=True),
        sa.Column("as_of", sa.Date(), nullable=False),
        _moment("changed_at"),
        *(sa.Column(f"old_{name}", AutoString(), nullable=True) for name in models),
        *(sa.Column(name, AutoString(), nullable=name not in needed) for name in models),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_change")),
        sqlite_autoincrement=True,
    )
    kept = ", ".join((*(f"old_{name}" for name in MODELS), *MODELS))
    op.execute(
        f"INSERT INTO segment_change (customer_id, run_id, as_of, changed_at, {kept}, {', '.join(NEW_MODELS)})"
        f" SELECT customer_id, run_id, run.as_of, coalesce(run.finished_at, run.started_at), {kept},"
        " 'never', 'never', 'none' FROM segment_change_by_run JOIN segment_run run ON run.id = run_id"
        " ORDER BY run_id, customer_id"
    )
    op.drop_table("segment_change_by_run")
    op.create_index(op.f("ix_segment_change_customer_id_id"), "segment_change", ["customer_id", "id"])
    op.create_index(op.f("ix_segment_change_run_id_as_of_id"), "segment_change", ["run_id", "as_of", "id"])
    op.create_index(op.f("ix_segment_change_changed_at"), "segment_change", ["changed_at"])
    op.execute(
        "UPDATE segment_run SET last_change_id ="
        " coalesce((SELECT max(id) FROM segment_change WHERE run_id <= segment_run.id), 0)"
    )


def _predictions() -> None:
    op.create_table(
        "prediction_run",
        _key(),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("cycle_days", sa.Integer(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("customer_count", sa.Integer(), nullable=False),
        _moment("started_at"),
        _moment("lease_until"),
        _moment("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction_run")),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "uq_prediction_run_running",
        "prediction_run",
        ["state"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_table(
        "customer_prediction",
        *_to("customer", of="customer_prediction"),
        *_to("prediction_run", of="customer_prediction", column="run_id"),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("p_buy", "churn_risk", "expected_orders")),
        *(sa.Column(name, Decimal4(), nullable=True) for name in ("spend_90", "spend_365")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_prediction")),
    )


def _demand() -> None:
    op.create_table(
        "demand_report",
        _key(),
        sa.Column("as_of", sa.Date(), nullable=False),
        _moment("made_at"),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_demand_report")),
    )


def _changes() -> None:
    op.create_table(
        "customer_change",
        _key(),
        *_to("customer", of="customer_change"),
        _moment("noted_at"),
        sa.Column("after_run_id", BigId, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_change")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lease",
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("holder", AutoString(), nullable=False),
        _moment("taken_at"),
        _moment("lease_until"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "product_label",
        *_to("product", of="product_label"),
        sa.Column("label", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        _moment("proposed_at"),
        _moment("decided_at", nullable=True),
        sa.Column("decided_by", AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("product_id", "label", name=op.f("pk_product_label")),
    )


def downgrade() -> None:
    raise NotImplementedError("the way back from 0002 is a backup")
