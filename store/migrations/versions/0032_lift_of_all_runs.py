"""lift of all runs: each knows the sides that it compares, and orders count by the first step

Orders in campaigns of several steps are worked out anew by the job `results`.
"""

import sqlalchemy as sa
from alembic import op

from store.types import BigId

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

COUNTS = ["reached_count", "message_count"]
COMPARED = ["compared_sent", "compared_held", "compared_again"]
PEOPLE = "coalesce((SELECT sum(people) FROM run_tally WHERE run_id = campaign_run.id AND {}), 0)"
MEANT = PEOPLE.format("(state IN ('accepted', 'failed', 'unknown', 'chosen') OR (state = 'skipped' AND variant_id > 0))")
HELD = PEOPLE.format("state = 'held_out'")
BROKEN = "EXISTS (SELECT 1 FROM run_tally WHERE run_id = campaign_run.id AND state = 'skipped' AND reason = 'cancelled')"
MINE, EARLIER = (f"({run}.compared_sent + {run}.compared_held)" for run in ("campaign_run", "e"))


def upgrade() -> None:
    for name in COMPARED:
        op.add_column("campaign_run", sa.Column(name, BigId if name == "compared_again" else sa.Integer(), nullable=True))
    none = ", ".join(f"{name} = 0" for name in COMPARED)
    op.execute(f"UPDATE campaign_run SET {none} WHERE tallied_at IS NOT NULL")
    op.execute(
        f"UPDATE campaign_run SET compared_sent = {MEANT}, compared_held = {HELD}"
        f" WHERE tallied_at IS NOT NULL AND step_number = 1 AND NOT {BROKEN}"
    )
    # How often the people of a run are in earlier ones: campaigns/results/again.py
    op.execute(
        f"UPDATE campaign_run SET compared_again = {MINE} + 2 * coalesce((SELECT sum(CASE WHEN {EARLIER} < {MINE}"
        f" THEN {EARLIER} ELSE {MINE} END) FROM campaign_run e WHERE e.campaign_id = campaign_run.campaign_id"
        f" AND e.step_number = 1 AND e.id < campaign_run.id), 0) WHERE {MINE} > 0 AND NOT by_enrolment"
    )
    op.execute("CREATE TEMPORARY TABLE again (run_id BIGINT PRIMARY KEY, pairs BIGINT)")
    op.execute(
        "INSERT INTO again SELECT run_id, sum(2 * place - 1) FROM (SELECT d.run_id, row_number() OVER (PARTITION BY"
        " r.campaign_id, d.customer_id ORDER BY d.run_id) AS place FROM delivery d JOIN campaign_run r"
        " ON r.id = d.run_id AND r.by_enrolment AND r.step_number = 1"
        " WHERE d.state <> 'skipped' OR d.variant_id IS NOT NULL) AS entered GROUP BY run_id"
    )
    op.execute(
        "UPDATE campaign_run SET compared_again = coalesce((SELECT pairs FROM again WHERE run_id = campaign_run.id), 0)"
        f" WHERE {MINE} > 0 AND by_enrolment"
    )
    op.execute("DROP TABLE again")
    op.drop_index("ix_campaign_run_of_campaign", "campaign_run")
    op.create_index("ix_campaign_run_of_campaign", "campaign_run", ["campaign_id", "fired_at", "id", *COUNTS, *COMPARED])
    op.execute(
        "INSERT INTO response_due (customer_id) SELECT DISTINCT d.customer_id FROM campaign_step s"
        " JOIN campaign_run r ON r.campaign_id = s.campaign_id JOIN delivery d ON d.run_id = r.id"
        " JOIN sales_order o ON o.customer_id = d.customer_id WHERE s.step_number > 1"
    )
