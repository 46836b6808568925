"""What is known now, for everything that asks: one function, so that how it is learned can change behind it."""

from zoneinfo import ZoneInfo

from sqlmodel import Session

from keywords.effects.learning import Learning, NothingToLearn, learn
from keywords.effects.messages import stored_messages
from keywords.text.tokenizer import Tokenizer


def current_learning(session: Session, tokenizer: Tokenizer, zone: ZoneInfo) -> Learning | None:
    """What all stored results teach; None while there are none. Reads only."""
    try:
        return learn(stored_messages(session, zone), tokenizer)
    except NothingToLearn:
        return None
