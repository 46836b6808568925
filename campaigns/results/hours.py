"""When people tapped after a run: by the hour since it began."""

from typing import Any

from sqlalchemy import DateTime, Integer, cast, func, select, type_coerce
from sqlmodel import Session

from store.engine import is_sqlite, table_of
from store.models import CampaignRun, Click

HOUR_SECONDS = 3600

click, run = table_of(Click), table_of(CampaignRun)


def taps_by_hour(session: Session, which: Any) -> list[tuple[int, int]]:
    """(full hours since the beginning of its run, 0 is the first, taps by people in it) of the links of runs that are
    meant by `which` (SQL on `campaign_run`) added up, ascending; hours without a tap are left out. A run that quiet
    hours put off begins at their end."""
    begun = func.coalesce(run.c.send_from, run.c.fired_at)
    if is_sqlite(session):  # whole seconds: days as SQLite subtracts them would miss a full hour by a hair
        seconds = _epoch(click.c.clicked_at) - _epoch(begun)
    else:
        seconds = cast(func.floor(func.extract("epoch", click.c.clicked_at - begun)), Integer)
    hour = seconds // HOUR_SECONDS
    rows = session.execute(
        select(hour, func.count())
        .select_from(click.join(run, run.c.id == click.c.run_id))
        .where(which, click.c.kind == "person")
        .group_by(hour)
        .order_by(hour)
    )
    return [(hour, count) for hour, count in rows]


def _epoch(moment: Any) -> Any:
    return cast(func.strftime("%s", type_coerce(moment, DateTime)), Integer)
