"""campaigns in steps and variants; audiences with exclusions; lists, enrolments, narrowcasts, orders credited"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from store.types import BigId, Decimal4, UTCDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _lists_and_steps()
    _runs_and_orders()
    _best_hours()
    _times_looked_up()
    _campaigns()
    _content()
    _deliveries()
    _message_results()


def _lists_and_steps() -> None:
    op.create_table(
        "customer_list",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_list")),
        sa.UniqueConstraint("name", name=op.f("uq_customer_list_name")),
    )
    op.create_table(
        "customer_list_member",
        sa.Column("list_id", BigId, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_customer_list_member_customer_id")),
        sa.ForeignKeyConstraint(["list_id"], ["customer_list.id"], name=op.f("fk_customer_list_member_list_id")),
        sa.PrimaryKeyConstraint("list_id", "customer_id", name=op.f("pk_customer_list_member")),
    )
    with op.batch_alter_table("customer_list_member") as batch:
        batch.create_index(op.f("ix_customer_list_member_customer_id"), ["customer_id"])

    op.create_table(
        "campaign_step",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("step_number", sa.Integer(), nullable=False),
        sa.Column("wait_minutes", sa.Integer(), nullable=False),
        sa.Column("condition", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_step_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "step_number", name=op.f("pk_campaign_step")),
    )
    op.create_table(
        "enrolment",
        sa.Column("id", BigId, nullable=False),
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("entry_key", AutoString(), nullable=False),
        sa.Column("entered_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("step_number", sa.Integer(), nullable=False),
        sa.Column("due_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("run_id", BigId, nullable=True),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_enrolment_campaign_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_enrolment_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
        sa.UniqueConstraint(
            "campaign_id", "customer_id", "entry_key", name=op.f("uq_enrolment_campaign_id_customer_id_entry_key")
        ),
    )
    with op.batch_alter_table("enrolment") as batch:
        batch.create_index(op.f("ix_enrolment_customer_id"), ["customer_id"])
        batch.create_index(
            "ix_enrolment_taken",
            ["run_id", "customer_id"],
            unique=False,
            sqlite_where=sa.text("state = 'taken'"),
            postgresql_where=sa.text("state = 'taken'"),
        )
        batch.create_index(
            "ix_enrolment_due",
            ["campaign_id", "step_number", "due_at"],
            unique=False,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )

    op.create_table(
        "variant",
        sa.Column("id", BigId, nullable=False),
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("step_number", sa.Integer(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_variant_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variant")),
        sa.UniqueConstraint("campaign_id", "step_number", "name", name=op.f("uq_variant_campaign_id_step_number_name")),
    )


def _runs_and_orders() -> None:
    op.create_table(
        "narrowcast",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("variant_id", BigId, nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("due_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("audience_group_id", BigId, nullable=True),
        sa.Column("uploaded_up_to", BigId, nullable=False),
        sa.Column("upload_size", sa.Integer(), nullable=False),
        sa.Column("retry_key", AutoString(), nullable=False),
        sa.Column("first_attempt_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("request_id", AutoString(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_narrowcast_run_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_narrowcast_variant_id")),
        sa.PrimaryKeyConstraint("run_id", "variant_id", name=op.f("pk_narrowcast")),
    )
    with op.batch_alter_table("narrowcast") as batch:
        batch.create_index(op.f("ix_narrowcast_due_at"), ["due_at"])
    op.create_table(
        "order_credit",
        sa.Column("sales_order_id", BigId, nullable=False),
        sa.Column("basis", AutoString(), nullable=False),
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("variant_id", BigId, nullable=True),
        sa.Column("amount", Decimal4(), nullable=False),
        sa.Column("since", UTCDateTime(timezone=True), nullable=False),
        sa.Column("ordered_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_order_credit_customer_id")),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_order_credit_run_id")),
        sa.ForeignKeyConstraint(["sales_order_id"], ["sales_order.id"], name=op.f("fk_order_credit_sales_order_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_order_credit_variant_id")),
        sa.PrimaryKeyConstraint("sales_order_id", "basis", name=op.f("pk_order_credit")),
    )
    with op.batch_alter_table("order_credit") as batch:
        batch.create_index(op.f("ix_order_credit_run_id_basis"), ["run_id", "basis"])
        batch.create_index(op.f("ix_order_credit_customer_id"), ["customer_id"])

    op.create_table(
        "run_member",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("target", AutoString(), nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "target", "customer_id", name=op.f("pk_run_member")),
    )
    with op.batch_alter_table("run_member") as batch:
        batch.create_index(op.f("ix_run_member_customer_id"), ["customer_id"])
    op.create_table(
        "run_wave",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("shares", sa.JSON(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("decided_at", UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_run_wave_run_id")),
        sa.PrimaryKeyConstraint("run_id", "wave", name=op.f("pk_run_wave")),
    )
    _responses()

    op.create_table(
        "unit_statistic",
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel_id", BigId, nullable=False),
        sa.Column("run_id", BigId, nullable=True),
        sa.Column("variant_id", BigId, nullable=False),
        sa.Column("unit", AutoString(), nullable=True),
        sa.Column("month", AutoString(), nullable=False),
        sa.Column("due_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("fetched_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("delivered", sa.Integer(), nullable=True),
        sa.Column("opened", sa.Integer(), nullable=True),
        sa.Column("clicked", sa.Integer(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("fk_unit_statistic_channel_id")),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_unit_statistic_run_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_unit_statistic_variant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit_statistic")),
        sa.UniqueConstraint("channel_id", "month", "unit", name=op.f("uq_unit_statistic_channel_id_month_unit")),
    )
    with op.batch_alter_table("unit_statistic") as batch:
        batch.create_index(op.f("ix_unit_statistic_due_at"), ["due_at"])
        batch.create_index(op.f("ix_unit_statistic_run_id"), ["run_id"])
        batch.create_index(op.f("ix_unit_statistic_variant_id"), ["variant_id"])


def _best_hours() -> None:
    op.create_table(
        "customer_hour",
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("taps", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_customer_hour_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_hour")),
    )
    op.create_table(
        "segment_hour",
        sa.Column("segment", AutoString(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("taps", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("segment", name=op.f("pk_segment_hour")),
    )


def _times_looked_up() -> None:
    """What triggers look for by its time alone."""
    with op.batch_alter_table("sales_order") as batch:
        batch.create_index(op.f("ix_sales_order_ordered_at"), ["ordered_at"])
    with op.batch_alter_table("behaviour_event") as batch:
        batch.create_index(
            "ix_behaviour_event_cart",
            ["occurred_at"],
            unique=False,
            sqlite_where=sa.text("kind = 'add_to_cart'"),
            postgresql_where=sa.text("kind = 'add_to_cart'"),
        )


def _responses() -> None:
    op.create_table(
        "run_tally",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("batch_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variant_id", BigId, autoincrement=False, nullable=False),
        sa.Column("segment", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("by_reply", sa.Boolean(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_run_tally_run_id")),
        sa.PrimaryKeyConstraint(
            "run_id", "batch_number", "variant_id", "segment", "state", "reason", "by_reply", name=op.f("pk_run_tally")
        ),
    )
    op.create_table(
        "run_response",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("variant_id", BigId, nullable=True),
        sa.Column("segment", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("has_clicked", sa.Boolean(), nullable=False),
        sa.Column("has_blocked", sa.Boolean(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("revenue", Decimal4(), nullable=False),
        sa.Column("tap_orders", sa.Integer(), nullable=False),
        sa.Column("tap_revenue", Decimal4(), nullable=False),
        sa.Column("delivery_orders", sa.Integer(), nullable=False),
        sa.Column("delivery_revenue", Decimal4(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_run_response_customer_id")),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_run_response_run_id")),
        sa.PrimaryKeyConstraint("run_id", "customer_id", name=op.f("pk_run_response")),
    )
    with op.batch_alter_table("run_response") as batch:
        batch.create_index(op.f("ix_run_response_customer_id"), ["customer_id"])
    op.create_table(
        "response_due",
        sa.Column("id", BigId, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("after_run_id", BigId, nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_response_due_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response_due")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("send_batch") as batch:
        batch.add_column(sa.Column("is_tallied", sa.Boolean(), nullable=False, server_default=sa.text("FALSE")))
    with op.batch_alter_table("campaign_run") as batch:
        batch.add_column(sa.Column("response_sums", sa.JSON(none_as_null=True), nullable=True))
        batch.add_column(sa.Column("response_version", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("tallied_at", UTCDateTime(timezone=True), nullable=True))
    # who was in a run before there were responses: worked out by the worker
    op.execute("INSERT INTO response_due (customer_id) SELECT DISTINCT customer_id FROM click WHERE customer_id IS NOT NULL")
    op.execute(
        "INSERT INTO response_due (customer_id) SELECT DISTINCT o.customer_id FROM sales_order o"
        " WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.customer_id = o.customer_id)"
    )


def _campaigns() -> None:
    with op.batch_alter_table("channel") as batch:
        batch.add_column(sa.Column("units_of_others", sa.Integer(), nullable=False, server_default=sa.text("0")))
        batch.add_column(sa.Column("units_month", AutoString(), nullable=True))
        batch.add_column(sa.Column("quota_limit", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("quota_used", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("quota_read_at", UTCDateTime(timezone=True), nullable=True))

    with op.batch_alter_table("campaign") as batch:
        batch.drop_constraint(op.f("ck_campaign_way"), type_="check")
        batch.create_check_constraint(op.f("ck_campaign_way"), "way IN ('push', 'multicast', 'narrowcast')")
        batch.add_column(sa.Column("audience", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("utm", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("0")))
        batch.add_column(sa.Column("is_capped", sa.Boolean(), nullable=False, server_default=sa.text("TRUE")))
        batch.add_column(sa.Column("keeps_quiet_hours", sa.Boolean(), nullable=False, server_default=sa.text("TRUE")))
        batch.add_column(sa.Column("at_best_hour", sa.Boolean(), nullable=False, server_default=sa.text("FALSE")))
        batch.add_column(sa.Column("reply_first_minutes", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("experiment", sa.JSON(none_as_null=True), nullable=True))
        batch.add_column(sa.Column("trigger", sa.JSON(none_as_null=True), nullable=True))
        batch.alter_column("cron", new_column_name="recurs", existing_type=sa.String())
        batch.add_column(sa.Column("trigger_since", UTCDateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("trigger_read_to", UTCDateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("trigger_after_id", BigId, nullable=False, server_default=sa.text("0")))
        batch.add_column(sa.Column("goal", sa.JSON(none_as_null=True), nullable=True))

    with op.batch_alter_table("campaign_run") as batch:
        batch.add_column(sa.Column("step_number", sa.Integer(), nullable=False, server_default=sa.text("1")))
        batch.add_column(sa.Column("variants", sa.JSON(), nullable=False, server_default="[]"))
        batch.add_column(sa.Column("by_enrolment", sa.Boolean(), nullable=False, server_default=sa.text("FALSE")))
        batch.add_column(sa.Column("reply_until", UTCDateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("send_from", UTCDateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("send_until", UTCDateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("members_at", UTCDateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("gain_cut", sa.JSON(none_as_null=True), nullable=True))
        batch.add_column(sa.Column("arms", sa.JSON(none_as_null=True), nullable=True))
        batch.drop_constraint(op.f("uq_campaign_run_campaign_id_scheduled_for"), type_="unique")
        batch.create_unique_constraint(
            op.f("uq_campaign_run_campaign_id_step_number_scheduled_for"),
            ["campaign_id", "step_number", "scheduled_for"],
        )


def _content() -> None:
    """What a campaign said becomes the one variant of its one step; whom it was for, an audience."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("INSERT INTO campaign_step (campaign_id, step_number, wait_minutes) SELECT id, 1, 0 FROM campaign")
    op.execute(
        "INSERT INTO variant (campaign_id, step_number, name, weight, messages, languages)"
        " SELECT id, 1, 'A', 1, messages, '{}' FROM campaign ORDER BY id"
    )
    if is_sqlite:
        audience = "json_object('any_of', json_array(target), 'none_of', json_array())"
        frozen = (
            "json_array(json_object('variant_id', v.id, 'name', v.name, 'weight', v.weight,"
            " 'messages', json(campaign_run.messages), 'languages', json('{}')))"
        )
    else:
        audience = "json_build_object('any_of', json_build_array(target), 'none_of', json_build_array())"
        frozen = (
            "json_build_array(json_build_object('variant_id', v.id, 'name', v.name, 'weight', v.weight,"
            " 'messages', campaign_run.messages, 'languages', CAST('{}' AS json)))"
        )
    op.execute(f"UPDATE campaign SET audience = {audience}")
    op.execute(
        f"UPDATE campaign_run SET variants = (SELECT {frozen} FROM variant v"
        " WHERE v.campaign_id = campaign_run.campaign_id)"
    )
    for table in ("campaign", "campaign_run"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("messages")
            if table == "campaign":
                batch.drop_column("target")


def _deliveries() -> None:
    with op.batch_alter_table("click") as batch:
        batch.add_column(sa.Column("tapped_by_id", BigId, nullable=True))
        batch.alter_column("run_id", existing_type=BigId, nullable=True)
        batch.create_foreign_key(op.f("fk_click_tapped_by_id"), "customer", ["tapped_by_id"], ["id"])
        batch.drop_index(op.f("ix_click_run_id_customer_id"))
        batch.create_index(
            op.f("ix_click_run_id_kind_customer_id_tapped_by_id"), ["run_id", "kind", "customer_id", "tapped_by_id"]
        )
        batch.create_index(
            op.f("ix_click_tapped_by_id"),
            ["tapped_by_id"],
            sqlite_where=sa.text("tapped_by_id IS NOT NULL"),
            postgresql_where=sa.text("tapped_by_id IS NOT NULL"),
        )

    with op.batch_alter_table("delivery") as batch:
        batch.drop_constraint(op.f("fk_delivery_run_id"), type_="foreignkey")
        batch.drop_constraint(op.f("fk_delivery_customer_id"), type_="foreignkey")
        batch.add_column(sa.Column("variant_id", BigId, nullable=True))
        batch.add_column(sa.Column("by_reply", sa.Boolean(), nullable=False, server_default=sa.text("FALSE")))

    with op.batch_alter_table("reply") as batch:
        batch.add_column(sa.Column("run_id", BigId, nullable=True))
        batch.add_column(sa.Column("customer_id", BigId, nullable=True))

    with op.batch_alter_table("send_batch") as batch:
        batch.add_column(sa.Column("variant_id", BigId, nullable=True))
        batch.add_column(sa.Column("language", AutoString(), nullable=True))
        batch.add_column(sa.Column("wave", sa.Integer(), nullable=False, server_default=sa.text("0")))
        batch.add_column(sa.Column("begun_up_to", BigId, nullable=True))
        batch.drop_index(op.f("ix_send_batch_state_lease_until"))
        batch.create_index(
            op.f("ix_send_batch_state_run_id_batch_number"), ["state", "run_id", "batch_number"], unique=False
        )

    with op.batch_alter_table("tracked_link") as batch:
        batch.add_column(sa.Column("name", AutoString(), nullable=True))
        batch.alter_column("campaign_id", existing_type=BigId, nullable=True)
        batch.create_unique_constraint(op.f("uq_tracked_link_name"), ["name"])
    op.execute(
        "UPDATE delivery SET variant_id = (SELECT v.id FROM variant v JOIN campaign_run r"
        " ON r.campaign_id = v.campaign_id WHERE r.id = delivery.run_id) WHERE state NOT IN ('skipped', 'held_out')"
    )


def _message_results() -> None:
    """One row per variant too: counted anew from the facts by the worker, so the old ones need not be kept."""
    op.drop_table("message_result")
    op.create_table(
        "message_result",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("variant_id", BigId, nullable=False),
        sa.Column("segment", AutoString(), nullable=False),
        sa.Column("theme", AutoString(), nullable=True),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("message_text", sa.Text(), nullable=False),
        sa.Column("sent_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["campaign_run.id"], name=op.f("fk_message_result_run_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_message_result_variant_id")),
        sa.PrimaryKeyConstraint("run_id", "variant_id", "segment", name=op.f("pk_message_result")),
    )
