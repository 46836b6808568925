"""The simulator's own API, /simulator/…: faults, what was accepted, the hidden truth, and making people act now.

For tests and the demo; LINE has nothing like it, and it asks for no token: the server listens on loopback by default.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from simulator.channels import Channel, Friend
from simulator.faults import Fault, FaultPlan
from simulator.http import answer, read_body, refuse
from simulator.life import Life
from simulator.platform import Platform
from simulator.population import truth
from simulator.refusals import Refusal
from simulator.webhooks import Event, WebhookSender

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The handlers of the control API. `sender` sends the first channel's webhooks."""

    def __init__(self, platform: Platform, faults: FaultPlan, life: Life, sender: WebhookSender) -> None:
        self._platform = platform
        self._fault_plan = faults
        self._life = life
        self._sender = sender

    def routes(self) -> list[web.RouteDef]:
        """All of /simulator/…."""
        return [
            web.get("/simulator", _wrap(self._state)),
            web.get("/simulator/faults", _wrap(self._faults)),
            web.post("/simulator/faults", _wrap(self._set_faults)),
            web.get("/simulator/ledger", _wrap(self._ledger)),
            web.get("/simulator/truth", _wrap(self._truth)),
            web.get("/simulator/people", _wrap(self._people)),
            web.post("/simulator/people", _wrap(self._add_people)),
            web.post("/simulator/say", _wrap(self._say)),
            web.post("/simulator/follow", _wrap(self._follow)),
            web.post("/simulator/unfollow", _wrap(self._unfollow)),
            web.get("/simulator/orders", _wrap(self._orders)),
        ]

    def _channel(self, request: web.Request) -> Channel:
        name = request.query.get("channel")
        try:
            return self._platform.channel_named(name)
        except KeyError as error:
            raise Refusal(404, f"There is no channel named {name!r}") from error

    async def _state(self, _: web.Request) -> Any:
        with self._platform.lock:
            now = self._platform.clock()
            channels = [channel.as_json(now) for channel in self._platform.channels]
        return {
            "channels": channels,
            "faults_happened": self._fault_plan.happened,
            "webhooks": asdict(self._sender.counts),
            "life": self._life.as_json(),
        }

    async def _faults(self, _: web.Request) -> Any:
        return {"happened": self._fault_plan.happened}

    async def _set_faults(self, request: web.Request) -> Any:
        try:
            document = orjson.loads(await request.read())
            values = document if isinstance(document, list) else document["faults"]
            faults = [Fault.parse(value) for value in values]
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(400, f"Faults must be a list of rules: {error}") from error
        seed = None if isinstance(document, list) else document.get("seed")
        self._fault_plan.replace(faults, seed)
        return {"faults": len(faults)}

    async def _ledger(self, request: web.Request) -> Any:
        channel = self._channel(request)
        self._platform.send_narrowcasts()
        with self._platform.lock:
            summary = channel.ledger.summary()
            summary["rates"] = channel.rates_seen()
            if request.query.get("detail") == "1":
                summary["entries"] = [entry.as_json() for entry in channel.ledger.entries]
        return summary

    async def _truth(self, _: web.Request) -> Any:
        return truth()

    async def _people(self, request: web.Request) -> Any:
        channel = self._channel(request)
        with self._platform.lock:
            return [
                {
                    "line_user_id": friend.line_user_id,
                    "display_name": friend.display_name,
                    "is_following": friend.is_following,
                }
                for friend in channel.friends.values()
            ]

    async def _add_people(self, request: web.Request) -> Any:
        """Make people known: `{"people": [{"line_user_id", "display_name"?, "is_following"?}]}`; no webhook is sent."""
        people = (await read_body(request)).get("people")
        try:
            friends = [
                Friend(
                    person["line_user_id"], person.get("display_name") or "會員", bool(person.get("is_following", True))
                )
                for person in people or ()
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise Refusal(400, "people must be a list of objects with a line_user_id") from error
        self._platform.add_friends(friends, channel=self._channel(request))
        return {"people": len(friends)}

    async def _say(self, request: web.Request) -> Any:
        body = await read_body(request)
        who, words = _text(body, "line_user_id"), _text(body, "text")
        return await self._tell(self._life.say(who, words, self._platform.clock()))

    async def _follow(self, request: web.Request) -> Any:
        who = _text(await read_body(request), "line_user_id")
        return await self._tell(self._life.follow(who, self._platform.clock()))

    async def _unfollow(self, request: web.Request) -> Any:
        who = _text(await read_body(request), "line_user_id")
        return await self._tell(self._life.unfollow(who, self._platform.clock()))

    async def _tell(self, events: list[Event]) -> Any:
        if not self._sender.endpoint.takes_events:
            raise Refusal(409, "The simulator has no webhook URL to tell: start it with one")
        return {"webhooks": len(events), "is_answered": await self._sender.send(events) if events else None}

    async def _orders(self, request: web.Request) -> Any:
        """Purchases made after the first N of them; ask next time with N + as many as came."""
        after = request.query.get("after", "0")
        if not after.isdecimal():
            raise Refusal(400, "after must be a whole number of at least 0")
        return [purchase.as_json() for purchase in self._life.purchases_after(int(after))]


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(400, f"{name} must be a text that is not empty")
    return value


def _wrap(call: Callable[[web.Request], Awaitable[Any]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        try:
            return answer(200, await call(request), request_id)
        except Refusal as refusal:
            return refuse(refusal, request_id)

    return handle
