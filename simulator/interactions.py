"""Who opened and tapped what, and LINE's figures of it: aggregates only, and none of fewer than 20 people.

Source: "Get user interaction statistics" and "Get statistics per unit" of the Messaging API reference.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from simulator.ledger import Accepted

LEAST_SHOWN = 20  # smaller figures, and those of fewer people, are null
COUNTED_FOR = timedelta(days=14)  # after the sending; then the figures stand


@dataclass(slots=True)
class _Seen:
    """What one request's recipients did with it, each person with how often."""

    opened: Counter[str] = field(default_factory=Counter)
    tapped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # url -> person -> taps


class Interactions:
    """All openings and taps of one channel. Not thread-safe: the platform's lock is held around every use."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = defaultdict(_Seen)

    def note(self, accepted: Accepted, line_user_id: str, at: datetime, url: str | None = None) -> None:
        """The message came fully into view, or, with `url`, that link was tapped. Nothing when it is too late."""
        if at - accepted.at >= COUNTED_FOR:
            return
        seen = self._seen[accepted.request_id]
        if url is None:
            seen.opened[line_user_id] += 1
        else:
            seen.tapped[url][line_user_id] += 1

    def of_request(self, accepted: Accepted, *, is_over: bool) -> dict[str, Any]:
        """LINE's GetMessageEventResponse of a narrowcast or broadcast; `delivered` is null until all is sent."""
        figures = self._figures([accepted])
        overview = {
            "requestId": accepted.request_id,
            "timestamp": int(accepted.at.timestamp()),
            "delivered": len(accepted.delivered) if is_over else None,
            **figures["overview"],
        }
        return figures | {"overview": overview}

    def of_unit(self, sent: Iterable[Accepted]) -> dict[str, Any]:
        """LINE's GetStatisticsPerUnitResponse of the requests that were sent under a unit."""
        return self._figures(list(sent))

    def _figures(self, sent: Sequence[Accepted]) -> dict[str, Any]:
        opened: Counter[str] = Counter()
        tapped: dict[str, Counter[str]] = defaultdict(Counter)
        for accepted in sent:
            if (seen := self._seen.get(accepted.request_id)) is not None:
                opened.update(seen.opened)
                for url, taps in seen.tapped.items():
                    tapped[url].update(taps)
        everybody: Counter[str] = Counter()
        for taps in tapped.values():
            everybody.update(taps)
        bubbles = max((len(accepted.messages) for accepted in sent), default=0)
        return {
            "overview": {
                "uniqueImpression": _people(opened),
                "uniqueClick": _people(everybody),
                "uniqueMediaPlayed": None,
                "uniqueMediaPlayed100Percent": None,
            },
            "messages": [
                {"seq": number, "impression": _times(opened), "uniqueImpression": _people(opened)}
                for number in range(1, bubbles + 1)
            ],
            "clicks": [
                {
                    "seq": 1,
                    "url": url,
                    "click": _times(taps),
                    "uniqueClick": _people(taps),
                    "uniqueClickOfRequest": _people(taps),
                }
                for url, taps in tapped.items()
            ],
        }


def _people(who: Counter[str]) -> int | None:
    return len(who) if len(who) >= LEAST_SHOWN else None


def _times(who: Counter[str]) -> int | None:
    return who.total() if len(who) >= LEAST_SHOWN else None
