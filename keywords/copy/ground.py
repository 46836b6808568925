"""What lines are judged by, read from the database: the brand's rules, and what was sent of late."""

from datetime import datetime, timedelta

from sqlmodel import Session

from keywords.copy.facts import Given
from keywords.copy.judging import Ground
from keywords.copy.recent import recent_texts
from keywords.copy.settings import read_settings


def ground_for(session: Session, given: Given, *, segment: str | None, now: datetime) -> Ground:
    """The ground for lines to `segment` (rfm8; None: to anybody) at `now` (aware UTC). Reads only."""
    rules = read_settings(session)
    since = now - timedelta(days=rules.worn_days)
    return Ground(given, rules, recent_texts(session, given.tokenizer, since=since, segment=segment))
