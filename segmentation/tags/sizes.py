"""What a whole renewal leaves with the tags themselves: lines, problems, when, and how many had each on that day."""

from datetime import date, datetime
from typing import Any

import ibis
from sqlalchemy import bindparam, delete, insert, select, update
from sqlmodel import Session

from segmentation.tags.current import after
from segmentation.tags.live import Live, still_judged
from store.engine import table_of
from store.models import SegmentSizeOnDay, Tag
from store.types import from_ten_thousandths

Table = Any

TAG_MODEL = "tag"  # what SegmentSizeOnDay calls the model whose segments are tags, by their names

tag, size = table_of(Tag), table_of(SegmentSizeOnDay)


def sizes_after(connection: Any, now: Table, found: Table, segments: Table, moment: Table) -> list[dict[str, Any]]:
    """`tag_id, customers, value` (what they have paid, ten-thousandths) of each tag that somebody has."""
    on = after(now, found, moment)
    paid = segments.select(paid_id="customer_id", paid="paid_total")
    rows = on.left_join(paid, on.customer_id == paid.paid_id)
    total = rows.paid.sum().cast("decimal(38, 0)")
    counted = rows.group_by("tag_id").aggregate(customers=rows.count(), value=ibis.coalesce(total, 0))
    answer: list[dict[str, Any]] = connection.to_pyarrow(counted).to_pylist()
    return answer


def store_outcome(session: Session, live: Live, sizes: list[dict[str, Any]], as_of: date, now: datetime) -> None:
    """Write, in the session's transaction, each judged tag's line and problem, and every tag's size on the day. A tag
    that was changed meanwhile has neither of what it was before; a size goes by the name that its tag has now."""
    cuts = {one.tag_id: one.cut for one in live.tags}
    same, _ = still_judged(session, live, cuts)
    judged = [
        {"key": tag_id, "new_cut": cuts.get(tag_id), "new_problem": live.problems.get(tag_id), "at": now}
        for tag_id in {**cuts, **live.problems}
        if tag_id in same or tag_id not in cuts
    ]
    if judged:
        values: dict[str, Any] = {"cut": "new_cut", "problem": "new_problem", "computed_at": "at"}
        values = {name: bindparam(given, type_=tag.c[name].type) for name, given in values.items()}
        session.connection().execute(update(tag).where(tag.c.id == bindparam("key")).values(values), judged)
    session.execute(delete(size).where(size.c.as_of == as_of, size.c.model == TAG_MODEL))
    found = {row["tag_id"]: (row["customers"], from_ten_thousandths(int(row["value"]))) for row in sizes}
    nobody = (0, from_ten_thousandths(0))
    called = session.execute(select(tag.c.id, tag.c.name).order_by(tag.c.id).with_for_update(read=True))
    counted = [(row.name, *found.get(row.id, nobody)) for row in called if row.id in live.names]
    day = {"as_of": as_of, "model": TAG_MODEL}
    if counted:
        given = [{**day, "segment": name, "customers": people, "value": value} for name, people, value in counted]
        session.execute(insert(size), given)
