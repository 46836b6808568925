"""The sole door to LINE, a file for each kind of call. `LineDoor` (the SDK, synchronous) for single calls; `BulkDoor`
(http.py) for messages by the thousand, where the SDK's 1.1 ms of processor time a call would be the limit.

Each call either succeeds or says, typed, whether LINE may have acted and whether trying again can help.
Sources: LINE Messaging API reference, "Retrying an API request", "Status codes", "Error responses".
"""

from bot.line.answers import Answer, LineError, Outcome, answer_of_status
from bot.line.bulk import BulkDoor
from bot.line.single import BotInfo, Coupon, LineDoor, Profile, Quota, WebhookEndpoint, WebhookTest

__all__ = [
    "Answer",
    "BotInfo",
    "BulkDoor",
    "Coupon",
    "LineDoor",
    "LineError",
    "Outcome",
    "Profile",
    "Quota",
    "WebhookEndpoint",
    "WebhookTest",
    "answer_of_status",
]
