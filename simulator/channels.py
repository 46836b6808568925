"""The state of one channel of the look-alike: its friends, its quota, its retry keys and reply tokens, its ledger."""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from simulator.audiences import Audiences
from simulator.coupons import Coupons
from simulator.interactions import Interactions
from simulator.ledger import Accepted, Ledger
from simulator.narrowcasts import Narrowcast
from simulator.rates import EVERYTHING_ELSE, LINE_RATES, Meter, Rate
from simulator.webhooks import Endpoint

RETRY_KEY_KEPT = timedelta(hours=24)  # "Retrying an API request"
REPLY_TOKEN_KEPT = timedelta(minutes=1)  # "Send reply message", Reply token
LINE_ZONE = timezone(timedelta(hours=9))  # the zone of LINE's own statistics; that of the quota month is not published


@dataclass(slots=True)
class Friend:
    """A person known to the channel. `is_following` is False after a block; profile fields are what LINE shows."""

    line_user_id: str
    display_name: str
    is_following: bool = True
    language: str = "zh-Hant"
    picture_url: str = ""
    status_message: str = ""

    def profile(self) -> dict[str, str]:
        """The body of LINE's profile answer; empty fields are left out."""
        fields = {
            "userId": self.line_user_id,
            "displayName": self.display_name,
            "language": self.language,
            "pictureUrl": self.picture_url,
            "statusMessage": self.status_message,
        }
        return {key: value for key, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """What is set for a channel. `quota` None: no limit. `rates` replaces LINE's for the endpoints it names.

    `unknown_in_multicast`: LINE's reference contradicts itself on an id unknown to the channel in a multicast:
    "strict" refuses the whole batch with 400, "lenient" answers 200 and leaves that person out.
    `audience_seconds`: how long an upload to an audience takes; `narrowcast_seconds`: from acceptance to the sending.
    """

    name: str = "main"
    secret: str = "simulated-channel-secret"  # noqa: S105 - the simulator's own, opens nothing else
    access_token: str = "simulated-access-token"  # noqa: S105
    bot_user_id: str = "U" + "0" * 31 + "1"
    display_name: str = "模擬商店 Simulated Shop"
    quota: int | None = None
    unknown_in_multicast: Literal["strict", "lenient"] = "strict"
    rates: dict[str, Rate] = field(default_factory=dict)
    audience_seconds: float = 2.0
    narrowcast_seconds: float = 2.0


class Channel:
    """One LINE Official Account's state. Not thread-safe: the platform's lock is held around every use."""

    def __init__(self, options: ChannelOptions, monotonic: Callable[[], float]) -> None:
        self.options = options
        self.friends: dict[str, Friend] = {}
        self.ledger = Ledger()
        self.units: dict[str, dict[str, int]] = {}  # month -> unit name -> requests
        self.audiences = Audiences(options.audience_seconds)
        self.narrowcasts: dict[str, Narrowcast] = {}  # request id -> narrowcast
        self.interactions = Interactions()
        self.coupons = Coupons()
        self.webhook = Endpoint()
        self._monotonic = monotonic
        self._rates = LINE_RATES | options.rates
        self._meters: dict[str, Meter] = {}
        self._used: Counter[str] = Counter()  # month -> messages
        self._retry_keys: dict[str, Accepted] = {}
        self._reply_tokens: dict[str, tuple[datetime, str]] = {}

    def meter(self, endpoint: str) -> Meter:
        """The bucket of `endpoint`, made full at first use."""
        meter = self._meters.get(endpoint)
        if meter is None:
            rate = self._rates.get(endpoint, EVERYTHING_ELSE)
            meter = self._meters[endpoint] = Meter(rate, self._monotonic)
        return meter

    def rates_seen(self) -> dict[str, dict[str, int]]:
        """Per endpoint: requests let through, requests refused, and the most let through within one second."""
        return {
            endpoint: {
                "let_through": meter.accepted,
                "refused": meter.refused,
                "peak_in_one_second": meter.peak_in_one_second,
            }
            for endpoint, meter in self._meters.items()
        }

    def used(self, now: datetime) -> int:
        """Messages counted in the quota this calendar month."""
        return self._used[_month(now)]

    def room(self, now: datetime) -> int | None:
        """Messages left in this month's quota after what narrowcasts under way have reserved; None for no limit."""
        if self.options.quota is None:
            return None
        reserved = sum(n.reserved for n in self.narrowcasts.values() if n.success_count is None)
        return max(0, self.options.quota - self.used(now) - reserved)

    def has_room_for(self, count: int, now: datetime) -> bool:
        """Whether `count` more messages fit in this month's quota."""
        room = self.room(now)
        return room is None or count <= room

    def count_messages(self, count: int, now: datetime) -> None:
        """Add to this month's use."""
        self._used[_month(now)] += count

    def accepted_under(self, retry_key: str, now: datetime) -> Accepted | None:
        """The request accepted under `retry_key` in the last 24 hours, if any."""
        accepted = self._retry_keys.get(retry_key)
        if accepted is None or now - accepted.at >= RETRY_KEY_KEPT:
            return None
        return accepted

    def keep_retry_key(self, retry_key: str, accepted: Accepted) -> None:
        """From now on the key is taken, for 24 hours."""
        self._retry_keys[retry_key] = accepted

    def new_reply_token(self, line_user_id: str, now: datetime) -> str:
        """A reply token for a webhook that leaves now; usable once, for a minute."""
        token = uuid.uuid4().hex
        self._reply_tokens[token] = (now, line_user_id)
        return token

    def use_reply_token(self, token: str, now: datetime) -> str | None:
        """Whom the token answers, using it up; None when unknown, used or older than a minute."""
        made = self._reply_tokens.pop(token, None)
        if made is None or now - made[0] > REPLY_TOKEN_KEPT:
            return None
        return made[1]

    def count_unit(self, unit: str, now: datetime, most: int) -> bool:
        """Count a request under an aggregation unit; False when the month's names are full and it is dropped."""
        names = self.units.setdefault(_month(now), {})
        if unit not in names and len(names) >= most:
            return False
        names[unit] = names.get(unit, 0) + 1
        return True

    def unit_names(self, now: datetime) -> list[str]:
        """This month's aggregation units, oldest first."""
        return list(self.units.get(_month(now), {}))

    def as_json(self, now: datetime) -> dict[str, Any]:
        """The state in figures, for the control API."""
        following = sum(friend.is_following for friend in self.friends.values())
        return {
            "name": self.options.name,
            "friends": len(self.friends),
            "following": following,
            "quota": self.options.quota,
            "used": self.used(now),
            "rates": self.rates_seen(),
        }


def _month(now: datetime) -> str:
    return now.astimezone(LINE_ZONE).strftime("%Y-%m")
