"""keyword reports go to marketers who bound their own LINE account, no longer to LINE user ids that somebody typed"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from store.types import BigId, UTCDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

GROUP = "keyword_report"
NOT_BOUND = "nobody has bound the LINE account that the report was to go to"

brand_setting = sa.table("brand_setting", sa.column("name", sa.String()), sa.column("value", sa.JSON()))
user = sa.table("console_user", sa.column("id", BigId), sa.column("email", sa.String()))
own = sa.table("console_line", sa.column("user_id", BigId), sa.column("line_account_id", BigId))
account = sa.table("line_account", sa.column("id", BigId), sa.column("line_user_id", sa.String()))
delivery = sa.table(
    "keyword_report_delivery",
    *(sa.column(name, sa.String()) for name in ("period", "recipient", "state", "problem")),
    sa.column("done_at", UTCDateTime(timezone=True)),
)


def upgrade() -> None:
    bound = (
        sa.select(account.c.line_user_id, user.c.email)
        .join(own, own.c.line_account_id == account.c.id)
        .join(user, user.c.id == own.c.user_id)
    )
    connection = op.get_bind()
    whose = {line_user_id: email for line_user_id, email in connection.execute(bound)}
    for value in connection.scalars(sa.select(brand_setting.c.value).where(brand_setting.c.name == GROUP)).all():
        kept = {name: given for name, given in value.items() if name != "line_user_ids"}
        emails = sorted({whose[one] for one in value.get("line_user_ids") or () if one in whose})
        if emails:
            kept["marketers"] = emails
        connection.execute(brand_setting.update().where(brand_setting.c.name == GROUP).values(value=kept))
    _rename_deliveries(connection, whose)


def _rename_deliveries(connection: sa.Connection, whose: dict[str, str]) -> None:
    """Those to a LINE account that somebody bound become theirs; what is due to another's doesn't go."""
    rows = connection.execute(sa.select(delivery.c.period, delivery.c.recipient, delivery.c.state)).all()
    there = {(period, recipient) for period, recipient, _ in rows}
    for period, recipient, state in rows:
        if recipient == "folder":
            continue
        this = delivery.update().where(delivery.c.period == period, delivery.c.recipient == recipient)
        theirs = (period, whose.get(recipient, ""))
        if theirs[1] and theirs not in there:
            there.add(theirs)
            connection.execute(this.values(recipient=theirs[1]))
        elif state == "due":
            connection.execute(this.values(state="failed", done_at=datetime.now(UTC), problem=NOT_BOUND))
