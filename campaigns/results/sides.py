"""The two sides that a lift compares, as chance made them: those meant to be sent to, and those held out.

Whatever became of the call, or nothing has yet, somebody is meant. Held out against only those whom LINE took, one
would compare people with an account that works with people of whom that isn't known. Who was skipped after chance had
given them a variant is meant too (they reached the goal while their message waited, refused, or quiet hours came):
people alike are among the held out, and their orders count. Whom the gate skipped has no variant, and is on neither
side.
"""

from typing import Any

from sqlalchemy import and_, case, or_

CALLED = ("accepted", "failed", "unknown")  # states of deliveries: a call to LINE was made
MEANT = (*CALLED, "chosen")
HELD_OUT, SENT_TO = "held_out", "sent_to"
FIRST_STEP = 1  # the only one whose people chance alone told apart: who gets a later one hangs on the one before
NOT_BY_CHANCE = ("cancelled",)  # a person broke it off, seeing how it went: what a lift would tell is no run's


def is_meant(state: str, variant_id: int | None) -> bool:
    """Whether somebody whose delivery is in `state` (as of its batch) is of those meant to be sent to."""
    return state in MEANT or (state == "skipped" and variant_id is not None)


def side_of(state: Any, has_variant: Any) -> Any:
    """SQL for the side, HELD_OUT or SENT_TO, of a delivery in `state`; NULL for neither."""
    meant = or_(state.in_(MEANT), and_(state == "skipped", has_variant))
    return case((state == HELD_OUT, HELD_OUT), (meant, SENT_TO))
