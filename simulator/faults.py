"""Faults on request: what goes wrong, at which endpoint, how often. Seeded, so that a run repeats."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What may go wrong. `…_after_accept`: the request was accepted, the caller can't know."""

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept"
    DROP_BEFORE = "drop_before"
    DROP_AFTER_ACCEPT = "drop_after_accept"
    ERROR_500 = "error_500"
    ERROR_500_AFTER_ACCEPT = "error_500_after_accept"
    ERROR_429 = "error_429"
    ERROR_429_OTHER = "error_429_other"  # a limit that LINE's documents don't word
    LATENCY = "latency"
    FAILS_AFTER_ACCEPT = "fails_after_accept"  # a narrowcast: accepted, and then its sending fails at LINE


@dataclass(slots=True)
class Fault:
    """One rule. `endpoint` "*" means every sending endpoint; others are named one by one, such as "audience_add".
    `count` None means for ever; `seconds` is how long a
    timeout holds the connection or a latency waits."""

    endpoint: str
    kind: FaultKind
    probability: float = 1.0
    count: int | None = None
    seconds: float = 30.0

    @classmethod
    def parse(cls, value: Any) -> "Fault":
        """A rule from its JSON object. Raises ValueError saying which field is wrong."""
        if not isinstance(value, dict):
            raise ValueError("a fault must be an object")
        unknown = set(value) - {"endpoint", "kind", "probability", "count", "seconds"}
        if unknown:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r} in a fault")
        try:
            kind = FaultKind(str(value.get("kind")))
        except ValueError as error:
            kinds = ", ".join(FaultKind)
            raise ValueError(f"kind must be one of {kinds}") from error
        probability, count, seconds = value.get("probability", 1.0), value.get("count"), value.get("seconds", 30.0)
        if not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ValueError("probability must be a number from 0 to 1")
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ValueError("count must be a whole number of at least 1, or null")
        if not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError("seconds must be a number of at least 0")
        return cls(str(value.get("endpoint", "*")), kind, float(probability), count, float(seconds))


class FaultPlan:
    """The rules in force. Lives in the server's one thread."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._faults: list[Fault] = []
        self.happened: dict[str, int] = {}

    def replace(self, faults: list[Fault], seed: int | None = None) -> None:
        """Put these rules in force instead of the earlier ones; with a seed, the dice start again."""
        self._faults = list(faults)
        self.happened = {}
        if seed is not None:
            self._random = random.Random(seed)

    def choose(self, endpoint: str, *, is_sending: bool = True) -> Fault | None:
        """The first rule that strikes this request, used up by one; None when all goes well."""
        for fault in self._faults:
            is_meant = fault.endpoint == endpoint or (fault.endpoint == "*" and is_sending)
            if not is_meant or fault.count == 0:
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
            self.happened[fault.kind.value] = self.happened.get(fault.kind.value, 0) + 1
            return fault
        return None
