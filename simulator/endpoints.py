"""LINE's endpoints over HTTP, with faults on request; `simulator/server.py` serves them."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from simulator.channels import Channel
from simulator.checks import check_messages
from simulator.faults import Fault, FaultKind, FaultPlan
from simulator.http import Answer, Call, Route, answer, number, read_body, refuse
from simulator.insight import insight_routes
from simulator.ledger import Accepted
from simulator.managing import audience_routes, coupon_routes
from simulator.platform import UNITS_A_PAGE, Platform, page
from simulator.refusals import OTHER_LIMIT, RATE_EXCEEDED, Refusal, invalid_body
from simulator.webhook_settings import webhook_routes

IS_TO_FAIL = web.RequestKey("is_to_fail", bool)
SENDING = ("push", "multicast", "narrowcast", "broadcast", "reply")


class Endpoints:
    """The handlers of LINE's endpoints over one platform, struck by the faults in force."""

    def __init__(self, platform: Platform, faults: FaultPlan) -> None:
        self.platform = platform
        self.faults = faults

    def routes(self) -> list[web.RouteDef]:
        """LINE's endpoints."""
        base = "/v2/bot/message"
        routes: list[Route] = [
            *(("POST", f"{base}/{name}", name, self._sends(name)) for name in SENDING),
            *(("POST", f"{base}/validate/{name}", f"validate_{name}", self._validate) for name in SENDING),
            ("GET", "/v2/bot/info", "info", self._info),
            ("GET", "/v2/bot/profile/{line_user_id}", "profile", self._profile),
            ("GET", "/v2/bot/followers/ids", "followers", self._followers),
            ("GET", f"{base}/quota", "quota", self._quota),
            ("GET", f"{base}/quota/consumption", "consumption", self._consumption),
            ("GET", f"{base}/progress/narrowcast", "progress", self._progress),
            ("GET", f"{base}/aggregation/info", "units", self._units),
            ("GET", f"{base}/aggregation/list", "unit_names", self._unit_names),
            *audience_routes(self.platform),
            *coupon_routes(self.platform),
            *insight_routes(self.platform),
            *webhook_routes(self.platform),
        ]
        return [web.route(method, path, self._wrap(name, call)) for method, path, name, call in routes]

    def _wrap(self, endpoint: str, call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A handler that checks the token and the rate, calls, and turns a Refusal into LINE's answer; a fault may
        strike it."""

        async def handle(request: web.Request) -> web.Response:
            request_id = str(uuid.uuid4())
            try:
                channel = self.platform.channel_of(request.headers.get("Authorization"))
                self.platform.take_rate(channel, endpoint)
                self.platform.send_narrowcasts()
                status, document = await call(channel, request, request_id)
            except Refusal as refusal:
                return refuse(refusal, request_id)
            return answer(status, document, request_id)

        async def handle_with_faults(request: web.Request) -> web.StreamResponse:
            fault = self.faults.choose(endpoint, is_sending=endpoint in SENDING)
            return await handle(request) if fault is None else await _fail(fault, request, handle)

        return handle_with_faults

    def _sends(self, endpoint: str) -> Call:
        async def call(channel: Channel, request: web.Request, request_id: str) -> Answer:
            body = await read_body(request)
            retry_key = request.headers.get("X-Line-Retry-Key")
            if endpoint == "narrowcast":
                is_to_fail = request.get(IS_TO_FAIL, False)
                self.platform.accept_narrowcast(channel, body, retry_key, request_id, is_to_fail=is_to_fail)
                return 202, {}
            return _success(endpoint, self.platform.send(channel, endpoint, body, retry_key, request_id))

        return call

    async def _validate(self, channel: Channel, request: web.Request, _: str) -> Answer:
        messages = (await read_body(request)).get("messages")
        if details := check_messages(messages):
            raise invalid_body(details)
        with self.platform.lock:
            channel.coupons.check(messages or [])
        return 200, {}

    async def _profile(self, channel: Channel, request: web.Request, _: str) -> Answer:
        return 200, self.platform.profile(channel, request.match_info["line_user_id"])

    async def _info(self, channel: Channel, _: web.Request, __: str) -> Answer:
        options = channel.options
        return 200, {
            "userId": options.bot_user_id,
            "basicId": "@" + options.bot_user_id[-8:],
            "displayName": options.display_name,
            "chatMode": "bot",
            "markAsReadMode": "auto",
        }

    async def _followers(self, channel: Channel, request: web.Request, _: str) -> Answer:
        limit = number(request, "limit", 300)
        return 200, self.platform.followers(channel, request.query.get("start"), limit)

    async def _quota(self, channel: Channel, _: web.Request, __: str) -> Answer:
        quota = channel.options.quota
        return 200, {"type": "none"} if quota is None else {"type": "limited", "value": quota}

    async def _consumption(self, channel: Channel, _: web.Request, __: str) -> Answer:
        with self.platform.lock:
            return 200, {"totalUsage": channel.used(self.platform.clock())}

    async def _progress(self, channel: Channel, request: web.Request, _: str) -> Answer:
        with self.platform.lock:
            narrowcast = channel.narrowcasts.get(request.query.get("requestId", ""))
            if narrowcast is None:
                raise Refusal(404, "Not found")
            return 200, narrowcast.progress(self.platform.clock())

    async def _units(self, channel: Channel, _: web.Request, __: str) -> Answer:
        with self.platform.lock:
            return 200, {"numOfCustomAggregationUnits": len(channel.unit_names(self.platform.clock()))}

    async def _unit_names(self, channel: Channel, request: web.Request, _: str) -> Answer:
        with self.platform.lock:
            names = channel.unit_names(self.platform.clock())
        limit = min(number(request, "limit", UNITS_A_PAGE), UNITS_A_PAGE)
        return 200, page("customAggregationUnits", names, request.query.get("start"), limit)


def _success(endpoint: str, accepted: Accepted) -> Answer:
    if endpoint in ("push", "reply"):
        return 200, {"sentMessages": accepted.sent_messages}
    return 200, {}


async def _fail(
    fault: Fault, request: web.Request, handle: Callable[[web.Request], Awaitable[web.Response]]
) -> web.StreamResponse:
    """Answer a request that a fault strikes; where the kind says so, it is accepted (or refused) first as usual."""
    request_id = str(uuid.uuid4())
    kind = fault.kind
    if kind is FaultKind.LATENCY:
        await asyncio.sleep(fault.seconds)
        return await handle(request)
    if kind is FaultKind.FAILS_AFTER_ACCEPT:
        request[IS_TO_FAIL] = True
        return await handle(request)
    if kind is FaultKind.ERROR_429:
        return refuse(Refusal(429, RATE_EXCEEDED), request_id)
    if kind is FaultKind.ERROR_429_OTHER:
        return refuse(Refusal(429, OTHER_LIMIT), request_id)
    if kind in (FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.DROP_AFTER_ACCEPT, FaultKind.ERROR_500_AFTER_ACCEPT):
        await handle(request)
    if kind in (FaultKind.ERROR_500, FaultKind.ERROR_500_AFTER_ACCEPT):
        return refuse(Refusal(500, "Internal Server Error"), request_id)
    if kind in (FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER_ACCEPT):
        await asyncio.sleep(fault.seconds)
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere: the connection is gone
