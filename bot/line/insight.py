"""The door for LINE's own figures: aggregates of who opened and tapped, by aggregation unit or by narrowcast.

Sources: "Get statistics per unit", "Get user interaction statistics", "Get number of units used this month" of the
Messaging API reference. A figure that fewer than 20 people made is None, which is not zero.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from linebot.v3 import insight, messaging

from bot.line.sdk import call, client


@dataclass(frozen=True, slots=True)
class Figures:
    """`opened` and `clicked` are people; `delivered` only of a narrowcast that is over. `detail`: LINE's answer."""

    delivered: int | None
    opened: int | None
    clicked: int | None
    detail: dict[str, Any]


class InsightDoor:
    """One channel's door for figures. One per channel and process; thread-safe. LINE answers 60 questions an hour of
    each of the two kinds. Everything raises LineError."""

    def __init__(self, *, api_base: str, access_token: str, timeout_seconds: float) -> None:
        self._api = insight.Insight(client(insight, api_base, access_token))
        self._messaging = messaging.MessagingApi(client(messaging, api_base, access_token))
        self._timeout = timeout_seconds

    def units_used(self) -> int:
        """How many names of units LINE has counted this calendar month; it keeps 1,000."""
        answer = call("units used", self._messaging.get_aggregation_unit_usage, timeout=self._timeout)
        return int(answer.num_of_custom_aggregation_units)

    def of_unit(self, unit: str, first: date, last: date) -> Figures:
        """What was done with the messages sent under `unit` on the days `first` to `last`, inclusive, at most 30 apart,
        in Japan's time (UTC+9)."""
        method = self._api.get_statistics_per_unit
        days = (f"{first:%Y%m%d}", f"{last:%Y%m%d}")
        answer = call("statistics per unit", method, unit, *days, timeout=self._timeout)
        return Figures(None, answer.overview.unique_impression, answer.overview.unique_click, answer.to_dict())

    def of_request(self, request_id: str) -> Figures:
        """What was done with a narrowcast's messages."""
        answer = call("interaction statistics", self._api.get_message_event, request_id, timeout=self._timeout)
        overview = answer.overview
        if overview is None:
            return Figures(None, None, None, answer.to_dict())
        return Figures(overview.delivered, overview.unique_impression, overview.unique_click, answer.to_dict())
