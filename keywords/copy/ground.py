"""What lines are judged by: the brand's rules, and what was sent of late."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlmodel import Session

from keywords.copy.facts import Given
from keywords.copy.judging import Ground
from keywords.copy.recent import Sent, sent_texts
from keywords.copy.settings import read_settings

Sends = Callable[[Session, datetime], Iterable[Sent]]  # what was sent since then (aware UTC), the newest first


def ground_for(session: Session, given: Given, sends: Sends, *, segment: str | None, now: datetime) -> Ground:
    """The ground for lines to `segment` (rfm8; None: to anybody) at `now` (aware UTC). Reads only."""
    rules = read_settings(session)
    sent = sends(session, now - timedelta(days=rules.worn_days))
    return Ground(given, rules, sent_texts(sent, given.tokenizer, segment=segment))
