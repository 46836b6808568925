"""The rules of LINE's sending endpoints over the state of its channels: what is accepted, refused and delivered.

Knows no HTTP: `simulator/endpoints.py` gives it parsed bodies and headers. Thread-safe. The clock (aware UTC) decides
about retry keys, reply tokens and months; rates go by a monotonic clock, since those limits are about real seconds.
"""

import itertools
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator import refusals
from simulator.channels import Channel, ChannelOptions, Friend
from simulator.checks import check_messages
from simulator.ledger import Accepted
from simulator.narrowcasts import Narrowcast, target_of, up_to_remaining_quota
from simulator.refusals import Refusal

MAX_RECIPIENTS = 500
MAX_UNITS_A_MONTH = 1000
RETRYABLE = ("push", "multicast", "narrowcast", "broadcast")
FOLLOWERS_A_PAGE = 1000
UNITS_A_PAGE = 100

_USER_ID = re.compile(r"U[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
UNIT_NAME = re.compile(r"[a-zA-Z0-9_]{1,30}")

Body = dict[str, Any]
Listener = Callable[[Channel, Accepted], None]


def utc_now() -> datetime:
    """Now, aware UTC."""
    return datetime.now(UTC)


class Platform:
    """All channels. `on_delivered` is called after each acceptance that reached someone, outside the lock."""

    def __init__(
        self,
        channels: Sequence[ChannelOptions] = (),
        *,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        on_delivered: Listener | None = None,
    ) -> None:
        self.clock = clock
        self.on_delivered = on_delivered
        self.lock = threading.RLock()
        self.channels = [Channel(options, monotonic) for options in channels or (ChannelOptions(),)]
        self._by_token = {f"Bearer {c.options.access_token}": c for c in self.channels}
        self._message_ids = itertools.count(100_000_000_000_000_001)

    def channel_of(self, authorization: str | None) -> Channel:
        """The channel whose token an Authorization header bears. Refusal 401 otherwise."""
        channel = self._by_token.get(authorization or "")
        if channel is None:
            raise Refusal(401, refusals.UNAUTHORIZED)
        return channel

    def channel_named(self, name: str | None) -> Channel:
        """The channel of that name, the first one for None. Raises KeyError when there is none."""
        if name is None:
            return self.channels[0]
        return {channel.options.name: channel for channel in self.channels}[name]

    def add_friends(self, friends: Iterable[Friend], *, channel: Channel | None = None) -> None:
        """Make people known to the channel (the first by default), replacing those with the same id."""
        chosen = channel or self.channels[0]
        with self.lock:
            chosen.friends.update((friend.line_user_id, friend) for friend in friends)

    def set_following(self, line_user_id: str, is_following: bool, *, channel: Channel | None = None) -> bool:
        """Follow or block; True when that changed something. A stranger who follows becomes a friend."""
        chosen = channel or self.channels[0]
        with self.lock:
            friend = chosen.friends.get(line_user_id)
            if friend is None:
                if is_following:
                    chosen.friends[line_user_id] = Friend(line_user_id, f"會員{line_user_id[-4:]}")
                return is_following
            changed = friend.is_following != is_following
            friend.is_following = is_following
            return changed

    def take_rate(self, channel: Channel, endpoint: str) -> None:
        """Count one request. Refusal 429 when the endpoint is called too often."""
        with self.lock:
            if not channel.meter(endpoint).take():
                raise Refusal(429, refusals.RATE_EXCEEDED)

    def send(self, channel: Channel, endpoint: str, body: Body, retry_key: str | None, request_id: str) -> Accepted:
        """Accept one request of `endpoint` (push, multicast, broadcast, reply) or raise its Refusal.

        Nothing is sent to anyone when it is refused. Whoever blocked the account is accepted and not delivered to.
        """
        with self.lock:
            self._check(channel, endpoint, body, retry_key)
            unit = self._unit_of(endpoint, body)
            now = self.clock()
            to = self._recipients(channel, endpoint, body, now)
            delivered = tuple(user for user in to if (f := channel.friends.get(user)) is not None and f.is_following)
            if endpoint != "reply":
                if not channel.has_room_for(len(delivered), now):
                    raise Refusal(429, refusals.QUOTA_EXCEEDED)
                channel.count_messages(len(delivered), now)
            if unit is not None and not channel.count_unit(unit, now, MAX_UNITS_A_MONTH):
                unit = None  # the 1,001st name of a month is dropped silently and the message still goes
            sent = [{"id": str(next(self._message_ids)), "quoteToken": uuid.uuid4().hex} for _ in body["messages"]]
            accepted = Accepted(request_id, endpoint, retry_key, now, to, delivered, body["messages"], unit, sent)
            self._accept(channel, accepted)
        if delivered and self.on_delivered is not None:
            self.on_delivered(channel, accepted)
        return accepted

    def accept_narrowcast(
        self, channel: Channel, body: Body, retry_key: str | None, request_id: str, *, is_to_fail: bool = False
    ) -> None:
        """Accept a narrowcast, to be sent later, or raise its Refusal. Its whole target is reserved in the quota until
        then. `is_to_fail`: it will fail at LINE and reach nobody."""
        with self.lock:
            self._check(channel, "narrowcast", body, retry_key)
            now = self.clock()
            target = target_of(body, channel.audiences, self._following(channel), now)
            room = channel.room(now)
            if room is not None and up_to_remaining_quota(body):
                target = target[:room]
            if not channel.has_room_for(len(target), now):
                raise Refusal(429, refusals.QUOTA_EXCEEDED)
            ends_at = now + timedelta(seconds=channel.options.narrowcast_seconds)
            channel.narrowcasts[request_id] = Narrowcast(request_id, now, ends_at, target, len(target), is_to_fail)
            accepted = Accepted(request_id, "narrowcast", retry_key, now, (), (), body["messages"], None, [])
            self._accept(channel, accepted)

    def send_narrowcasts(self) -> None:
        """Send the narrowcasts whose time has come. Called by whoever looks, and by the server's own clock."""
        with self.lock:
            now = self.clock()
            sent = [
                (channel, self._send_narrowcast(channel, narrowcast))
                for channel in self.channels
                for narrowcast in channel.narrowcasts.values()
                if narrowcast.success_count is None and narrowcast.ends_at <= now
            ]
        for channel, accepted in sent:
            if accepted.delivered and self.on_delivered is not None:
                self.on_delivered(channel, accepted)

    def _send_narrowcast(self, channel: Channel, narrowcast: Narrowcast) -> Accepted:
        to = () if narrowcast.is_to_fail else narrowcast.target
        delivered = tuple(user for user in to if (f := channel.friends.get(user)) is not None and f.is_following)
        narrowcast.success_count = len(delivered)
        channel.count_messages(len(delivered), narrowcast.ends_at)
        return channel.ledger.complete(narrowcast.request_id, to, delivered, narrowcast.ends_at)

    def note(self, request_id: str, line_user_id: str, at: datetime, *, channel: Channel, url: str | None) -> None:
        """A person saw a message of a request or, with `url`, tapped a link of it."""
        with self.lock:
            accepted = channel.ledger.by_request_id(request_id)
            if accepted is not None:
                channel.interactions.note(accepted, line_user_id, at, url)

    @staticmethod
    def _accept(channel: Channel, accepted: Accepted) -> None:
        channel.ledger.record(accepted)
        if accepted.retry_key is not None:
            channel.keep_retry_key(accepted.retry_key, accepted)

    def _check(self, channel: Channel, endpoint: str, body: Body, retry_key: str | None) -> None:
        self._check_retry_key(channel, endpoint, retry_key)
        if details := check_messages(body.get("messages")):
            raise refusals.invalid_body(details)
        channel.coupons.check(body["messages"])

    def _check_retry_key(self, channel: Channel, endpoint: str, retry_key: str | None) -> None:
        if retry_key is None:
            return
        if endpoint not in RETRYABLE:
            raise Refusal(400, "Retry key is not supported by this endpoint")
        if not _UUID.fullmatch(retry_key):
            raise Refusal(400, "Invalid retry key")
        accepted = channel.accepted_under(retry_key, self.clock())
        if accepted is not None:
            raise Refusal(
                409,
                refusals.RETRY_KEY_ACCEPTED,
                headers={"x-line-accepted-request-id": accepted.request_id},
                fields={"sentMessages": accepted.sent_messages} if accepted.endpoint == "push" else None,
            )

    @staticmethod
    def _unit_of(endpoint: str, body: Body) -> str | None:
        units = body.get("customAggregationUnits")
        if not units or endpoint not in ("push", "multicast"):
            return None
        if not isinstance(units, list) or len(units) != 1 or not isinstance(units[0], str):
            raise refusals.invalid_body(
                [{"message": "Size must be between 0 and 1", "property": "customAggregationUnits"}]
            )
        if not UNIT_NAME.fullmatch(units[0]):
            raise refusals.invalid_body([{"message": "Invalid unit name", "property": "customAggregationUnits[0]"}])
        return units[0]

    def _recipients(self, channel: Channel, endpoint: str, body: Body, now: datetime) -> tuple[str, ...]:
        if endpoint == "push":
            to = body.get("to")
            if not isinstance(to, str) or not _USER_ID.fullmatch(to):
                raise refusals.invalid_property("to")
            if to not in channel.friends:
                raise Refusal(400, refusals.FAILED_TO_SEND)
            return (to,)
        if endpoint == "multicast":
            return self._batch(channel, body.get("to"))
        if endpoint == "reply":
            token = body.get("replyToken")
            whom = channel.use_reply_token(token, now) if isinstance(token, str) else None
            if whom is None:
                raise Refusal(400, refusals.INVALID_REPLY_TOKEN)
            return (whom,)
        return self._following(channel)

    @staticmethod
    def _following(channel: Channel) -> tuple[str, ...]:
        return tuple(user for user, friend in channel.friends.items() if friend.is_following)

    @staticmethod
    def _batch(channel: Channel, to: Any) -> tuple[str, ...]:
        if not isinstance(to, list) or not 1 <= len(to) <= MAX_RECIPIENTS:
            raise refusals.invalid_body([{"message": f"Size must be between 1 and {MAX_RECIPIENTS}", "property": "to"}])
        wrong = [n for n, user in enumerate(to) if not isinstance(user, str) or not _USER_ID.fullmatch(user)]
        if wrong:
            raise refusals.invalid_body([{"message": "Invalid user id", "property": f"to[{n}]"} for n in wrong])
        if channel.options.unknown_in_multicast == "strict" and any(user not in channel.friends for user in to):
            raise Refusal(400, refusals.FAILED_TO_SEND)
        return tuple(dict.fromkeys(to))

    def profile(self, channel: Channel, line_user_id: str) -> dict[str, str]:
        """The profile of a follower. Refusal 404 for a stranger or one who blocked the account."""
        with self.lock:
            friend = channel.friends.get(line_user_id)
            if friend is None or not friend.is_following:
                raise Refusal(404, "Not found")
            return friend.profile()

    def followers(self, channel: Channel, start: str | None, limit: int) -> dict[str, Any]:
        """One page of follower ids: `userIds` and, when there are more, `next`. Refusal 400 for a bad page."""
        if not 1 <= limit <= FOLLOWERS_A_PAGE:
            raise Refusal(400, "The value for the 'limit' parameter is invalid")
        with self.lock:
            everyone = [user for user, friend in channel.friends.items() if friend.is_following]
        return page("userIds", everyone, start, limit)


def page(name: str, values: list[Any], start: str | None, limit: int) -> dict[str, Any]:
    """Values from `start` (a token given before, or None), with `next` when more follow. Refusal 400 if it is bad."""
    try:
        first = int(start, 16) if start else 0
    except ValueError as error:
        raise Refusal(400, "The value for the 'start' parameter is invalid") from error
    answer: dict[str, Any] = {name: values[first : first + limit]}
    if first + limit < len(values):
        answer["next"] = f"{first + limit:x}"
    return answer
