"""What people are about to do, in order of time, and the doing of it.

Two ways of use. History: the caller takes `due(until)` and performs each action itself, at whatever speed, with
`apply` for what happens inside LINE. Live: `Life.run` performs them on the running event loop as they fall due.
"""

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import aiohttp

from simulator import webhooks
from simulator.channels import Channel, Friend
from simulator.ledger import Accepted
from simulator.platform import Platform
from simulator.population import WEEK, Action, ActionKind, Population
from simulator.webhooks import Event

IN_APP_BROWSER = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 Safari Line/14.19.0"
)
PREVIEW_ROBOT = "facebookexternalhit/1.1;line-poker/1.0"
LOOK_EVERY_SECONDS = 0.05
MAX_AT_ONCE = 32
PAGE_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Purchase:
    """An order made by a person of the population; its shop is told by `GET /simulator/orders`."""

    order_id: str
    customer_id: str
    ordered_at: datetime
    amount: Decimal

    def as_json(self) -> dict[str, str]:
        """Ready for JSON: the time in ISO form, UTC; the amount as exact text."""
        return {
            "order_id": self.order_id,
            "customer_id": self.customer_id,
            "ordered_at": self.ordered_at.isoformat(),
            "amount": str(self.amount),
        }


class Life:
    """The actions to come, a heap by time, and the purchases made. Thread-safe.

    `time_scale`: how many seconds of people's time pass in one second of the platform's clock; 1 in history mode.
    """

    def __init__(
        self, platform: Platform, population: Population, *, channel: Channel | None = None, time_scale: float = 1.0
    ) -> None:
        if time_scale <= 0:
            raise ValueError("time_scale must be above 0")
        self.population = population
        self.purchases: list[Purchase] = []
        self.performed: dict[str, int] = {}
        self._platform = platform
        self._channel = channel or platform.channels[0]
        self.time_scale = time_scale
        self._heap: list[tuple[datetime, int, Action]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def notice(self, channel: Channel, accepted: Accepted) -> None:
        """Let those who were delivered a message react to it later. Made to be a platform's `on_delivered`."""
        if channel is not self._channel:
            return
        with self._lock:
            for line_user_id in accepted.delivered:
                for action in self.population.react(line_user_id, accepted.messages, accepted.at):
                    sooner = accepted.at + (action.at - accepted.at) / self.time_scale
                    self._push(replace(action, at=sooner, request_id=accepted.request_id))

    def add(self, actions: Iterable[Action]) -> None:
        """Let these happen at their times."""
        with self._lock:
            for action in actions:
                self._push(action)

    def _push(self, action: Action) -> None:
        heapq.heappush(self._heap, (action.at, next(self._numbers), action))

    def due(self, until: datetime) -> list[Action]:
        """Take out every action up to and including `until`, in order of time."""
        taken = []
        with self._lock:
            while self._heap and self._heap[0][0] <= until:
                taken.append(heapq.heappop(self._heap)[2])
        return taken

    def waiting(self) -> int:
        """How many actions are still to come."""
        return len(self._heap)

    def apply(self, action: Action) -> list[Event]:
        """Do what an action changes inside the simulator; the webhook events that it makes, none or one.

        A purchase is recorded, a block or follow changes the friendship, an opening or a tap counts in LINE's figures
        (the tap itself is a request to the service, as a preview is). Someone who has blocked the account can't write
        to it.
        """
        self.performed[action.kind.value] = self.performed.get(action.kind.value, 0) + 1
        who, at = action.line_user_id, action.at
        if action.kind is ActionKind.BUY:
            with self._lock:
                self.purchases.append(Purchase(action.order_id, action.customer_id, at, action.amount))
        elif action.kind is ActionKind.BLOCK:
            return self.unfollow(who, at)
        elif action.kind is ActionKind.FOLLOW:
            return self.follow(who, at)
        elif action.kind is ActionKind.SAY:
            return self.say(who, action.text, at)
        elif action.kind is ActionKind.PRESS:
            return self.press(who, action.text, at)
        elif action.kind in (ActionKind.OPEN, ActionKind.TAP) and action.request_id:
            url = action.url if action.kind is ActionKind.TAP else None
            self._platform.note(action.request_id, who, at, channel=self._channel, url=url)
        return []

    def follow(self, line_user_id: str, at: datetime) -> list[Event]:
        """Follow the account; the event, or none for one who follows already."""
        was_known = line_user_id in self._channel.friends
        person = self.population.people.get(line_user_id)
        if person is not None and not was_known:
            self._platform.add_friends([Friend(line_user_id, person.name, is_following=False)], channel=self._channel)
        if not self._platform.set_following(line_user_id, True, channel=self._channel):
            return []
        return [webhooks.follow(line_user_id, at, self._reply_token(line_user_id), is_unblocked=was_known)]

    def unfollow(self, line_user_id: str, at: datetime) -> list[Event]:
        """Block the account; the event, or none for one who doesn't follow."""
        if not self._platform.set_following(line_user_id, False, channel=self._channel):
            return []
        return [webhooks.unfollow(line_user_id, at)]

    def say(self, line_user_id: str, words: str, at: datetime) -> list[Event]:
        """Write in the chat; the event, or none for one who doesn't follow."""
        if not self._is_following(line_user_id):
            return []
        return [webhooks.text(line_user_id, at, self._reply_token(line_user_id), words)]

    def press(self, line_user_id: str, data: str, at: datetime) -> list[Event]:
        """Press a postback button; the event, or none for one who doesn't follow."""
        if not self._is_following(line_user_id):
            return []
        return [webhooks.postback(line_user_id, at, self._reply_token(line_user_id), data)]

    def _is_following(self, line_user_id: str) -> bool:
        friend = self._channel.friends.get(line_user_id)
        return friend is not None and friend.is_following

    def purchases_after(self, number: int) -> list[Purchase]:
        """The purchases made after the first `number` of them, in the order they were made."""
        with self._lock:
            return self.purchases[number:]

    def _reply_token(self, line_user_id: str) -> str:
        with self._platform.lock:
            return self._channel.new_reply_token(line_user_id, self._platform.clock())

    async def live_on(self) -> None:
        """Add what people do of their own accord, a week of their time at once, until cancelled."""
        start = self._platform.clock()
        since = start
        while True:
            until = since + WEEK
            actions = await asyncio.to_thread(self.population.ordinary_life, since, until)
            self.add(replace(a, at=start + (a.at - start) / self.time_scale) for a in actions)
            since = until
            ends_at = start + (until - start) / self.time_scale
            await asyncio.sleep(max(0.0, (ends_at - self._platform.clock()).total_seconds()))

    async def run(self, tell: Callable[[list[Event]], None]) -> None:
        """Perform actions as they fall due, until cancelled. `tell` is given the webhook events that they make."""
        timeout = aiohttp.ClientTimeout(total=PAGE_TIMEOUT_SECONDS)
        gate = asyncio.Semaphore(MAX_AT_ONCE)
        async with aiohttp.ClientSession(timeout=timeout) as browser, asyncio.TaskGroup() as tasks:
            while True:
                for action in self.due(self._platform.clock()):
                    tasks.create_task(self._perform(action, browser, gate, tell))
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _perform(
        self,
        action: Action,
        browser: aiohttp.ClientSession,
        gate: asyncio.Semaphore,
        tell: Callable[[list[Event]], None],
    ) -> None:
        async with gate:
            events = self.apply(action)
            if events:
                tell(events)
            if action.kind in (ActionKind.TAP, ActionKind.PREVIEW):
                await self._open(action, browser)

    async def _open(self, action: Action, browser: aiohttp.ClientSession) -> None:
        """Fetch the link without following where it leads: the shop behind it is not simulated."""
        try:
            headers = {"user-agent": user_agent(action)}
            async with browser.get(action.url, headers=headers, allow_redirects=False) as answer:
                outcome = f"{action.kind}_answered_{answer.status}"
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError):
            outcome = f"{action.kind}_failed"  # a dead link disappoints a person; it must not stop the others
        self.performed[outcome] = self.performed.get(outcome, 0) + 1

    def as_json(self) -> dict[str, Any]:
        """The state in figures, for the control API."""
        return {
            "people": len(self.population.people),
            "waiting": self.waiting(),
            "performed": dict(self.performed),
            "purchases": len(self.purchases),
        }


def user_agent(action: Action) -> str:
    """The User-Agent that a tap or preview comes with."""
    return PREVIEW_ROBOT if action.kind is ActionKind.PREVIEW else IN_APP_BROWSER
