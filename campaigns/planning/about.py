"""Which part of a plan an error is about, so that whoever wrote the plan is led to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from store.errors import BadInput

PlanPart = Literal[
    "audience", "content", "time", "steps", "way", "holdout", "replies", "window", "priority", "experiment", "name"
]


@contextmanager
def about(part: PlanPart) -> Iterator[None]:
    """What is refused within is about `part`, unless something further in knows better."""
    try:
        yield
    except BadInput as error:
        error.part = error.part or part
        raise
