"""What is known now, for everything that asks: one function, so that how it is learned can change behind it."""

from sqlmodel import Session

from keywords.effects.learning import Learning
from keywords.effects.stored import stored_learning


def current_learning(session: Session) -> Learning | None:
    """What all stored results taught when they were last learned from; None while nothing was. Reads only."""
    stored = stored_learning(session)
    return None if stored is None else stored.learning
