"""A month of automations that fire person by person, for `benchmarks/console.py`: the calendar and the automations sum
its runs up."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert, text

from store.engine import table_of, transaction
from store.models import Campaign, CampaignRun, CampaignStep

AUTOMATIONS = 20
DAYS = 29
ROWS_AT_ONCE = 5_000
PEOPLE = 3  # of each run that are sent to; in every seventh one more is held out
HELD_OUT_IN = 7


def fill_firings(engine: Engine, firings: int, now: datetime) -> int:
    """So many runs of the last month, each to three people of whom one in five runs taps; a tenth is put off. Returns
    the campaign of one automation."""
    with transaction(engine) as session:
        fields: dict[str, Any] = {"channel_id": 1, "state": "scheduled", "way": "push", "created_at": now}
        audience = {"any_of": ["all"], "none_of": []}
        made = [
            Campaign(name=f"自動 {n}", audience=audience, trigger={"on": "birthday", "days_before": 7}, **fields)
            for n in range(AUTOMATIONS)
        ]
        session.add_all(made)
        session.flush()
        ids = [one.id or 0 for one in made]
        session.add_all(CampaignStep(campaign_id=key, step_number=1) for key in ids)
        for first in range(0, firings, ROWS_AT_ONCE):
            places = range(first, min(firings, first + ROWS_AT_ONCE))
            rows = [_run(ids[place % AUTOMATIONS], place, firings, now) for place in places]
            session.execute(insert(table_of(CampaignRun)), rows)
        theirs = f"campaign_id BETWEEN {ids[0]} AND {ids[-1]}"
        for statement in (
            "INSERT INTO run_tally (run_id, batch_number, variant_id, segment, state, reason, by_reply, people)"
            f" SELECT id, 0, 1, 'none', 'accepted', '', FALSE, {PEOPLE} FROM campaign_run WHERE {theirs}",
            "INSERT INTO run_tally (run_id, batch_number, variant_id, segment, state, reason, by_reply, people)"
            " SELECT id, 0, 0, 'none', 'held_out', '', FALSE, 1 FROM campaign_run"
            f" WHERE {theirs} AND compared_held = 1",
            "INSERT INTO run_response (run_id, customer_id, segment, state, has_clicked, has_blocked, orders, revenue,"
            " tap_orders, tap_revenue, delivery_orders, delivery_revenue) SELECT id, 1, 'none', 'accepted', TRUE,"
            f" FALSE, 0, 0, 0, 0, 0, 0 FROM campaign_run WHERE {theirs} AND id % 5 = 0",
        ):
            session.execute(text(statement))
    return ids[0]


def _run(campaign_id: int, place: int, firings: int, now: datetime) -> dict[str, Any]:
    at = now - timedelta(minutes=(firings - place) * DAYS * 1440 / firings)
    messages = [{"type": "text", "text": "生日快樂，這是送給您的折價券。" * 10}]
    return {
        "campaign_id": campaign_id,
        "step_number": 1,
        "scheduled_for": at + timedelta(microseconds=place),
        "state": "sent",
        "variants": [{"variant_id": 1, "name": "A", "weight": 1, "messages": messages, "languages": {}}],
        "way": "push",
        "link_ids": {},
        "by_enrolment": True,
        "send_from": at + timedelta(hours=9) if place % 10 == 0 else None,
        "frozen_up_to": 0,
        "reached_count": PEOPLE,
        "message_count": PEOPLE,
        "compared_sent": PEOPLE,
        "compared_held": int(place % HELD_OUT_IN == 0),
        "compared_again": PEOPLE + int(place % HELD_OUT_IN == 0),
        **dict.fromkeys(("fired_at", "frozen_at", "finished_at", "tallied_at"), at),
    }
