"""Calendar arithmetic on Ibis expressions."""

from datetime import date
from typing import Any

import ibis

Expression = Any

FOREVER = date(9999, 12, 31)
MOST_DAYS, MOST_YEARS = 4_000_000, 10_000  # both lead out of the calendar, and DuckDB can still add them to a day


def later(day: Expression, days: Expression | int | None) -> Expression:
    """So many days after a date (null: null); for None the end of the calendar."""
    if days is None:
        return ibis.literal(FOREVER)
    interval = ibis.interval(days=days) if isinstance(days, int) else days.cast("int64").as_interval("D")
    # by way of a timestamp: ibis takes the sum for a date already, DuckDB doesn't
    return (day + interval).cast("timestamp").cast("date")
