"""LINE's endpoints over HTTP, with faults on request; `simulator/server.py` serves them."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web

from simulator.channels import Channel
from simulator.checks import check_messages
from simulator.faults import Fault, FaultKind, FaultPlan
from simulator.ledger import Accepted
from simulator.platform import UNITS_A_PAGE, Body, Platform, page
from simulator.refusals import RATE_EXCEEDED, Refusal, invalid_body

MAX_BODY_BYTES = 2 * 1024 * 1024  # "Status codes": 413 beyond 2 MB
SENDING = ("push", "multicast", "narrowcast", "broadcast", "reply")

Answer = tuple[int, Any]
Call = Callable[[Channel, web.Request, str], Awaitable[Answer]]


class Endpoints:
    """The handlers of LINE's endpoints over one platform, struck by the faults in force."""

    def __init__(self, platform: Platform, faults: FaultPlan) -> None:
        self.platform = platform
        self.faults = faults

    def routes(self) -> list[web.RouteDef]:
        """LINE's endpoints."""
        base = "/v2/bot/message"
        sends = [web.post(f"{base}/{name}", self._send_handler(name)) for name in SENDING]
        checks = [web.post(f"{base}/validate/{name}", self._wrap(f"validate_{name}", _validate)) for name in SENDING]
        reads = [
            web.get("/v2/bot/info", self._wrap("info", self._info), allow_head=False),
            web.get("/v2/bot/profile/{line_user_id}", self._wrap("profile", self._profile), allow_head=False),
            web.get("/v2/bot/followers/ids", self._wrap("followers", self._followers), allow_head=False),
            web.get(f"{base}/quota", self._wrap("quota", self._quota), allow_head=False),
            web.get(f"{base}/quota/consumption", self._wrap("consumption", self._consumption), allow_head=False),
            web.get(f"{base}/progress/narrowcast", self._wrap("progress", self._progress), allow_head=False),
            web.get(f"{base}/aggregation/info", self._wrap("units", self._units), allow_head=False),
            web.get(f"{base}/aggregation/list", self._wrap("unit_names", self._unit_names), allow_head=False),
        ]
        return [*sends, *checks, *reads]

    def _wrap(self, endpoint: str, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler that checks the token and the rate, calls, and turns a Refusal into LINE's answer."""

        async def handle(request: web.Request) -> web.Response:
            request_id = str(uuid.uuid4())
            try:
                channel = self.platform.channel_of(request.headers.get("Authorization"))
                self.platform.take_rate(channel, endpoint)
                status, document = await call(channel, request, request_id)
            except Refusal as refusal:
                return refuse(refusal, request_id)
            return answer(status, document, request_id)

        return handle

    def _send_handler(self, endpoint: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def call(channel: Channel, request: web.Request, request_id: str) -> Answer:
            body = await read_body(request)
            retry_key = request.headers.get("X-Line-Retry-Key")
            accepted = self.platform.send(channel, endpoint, body, retry_key, request_id)
            return _success(endpoint, accepted)

        handle = self._wrap(endpoint, call)

        async def handle_with_faults(request: web.Request) -> web.StreamResponse:
            fault = self.faults.choose(endpoint)
            return await handle(request) if fault is None else await _fail(fault, request, handle)

        return handle_with_faults

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
        limit = _number(request, "limit", 300)
        return 200, self.platform.followers(channel, request.query.get("start"), limit)

    async def _quota(self, channel: Channel, _: web.Request, __: str) -> Answer:
        quota = channel.options.quota
        return 200, {"type": "none"} if quota is None else {"type": "limited", "value": quota}

    async def _consumption(self, channel: Channel, _: web.Request, __: str) -> Answer:
        with self.platform.lock:
            return 200, {"totalUsage": channel.used(self.platform.clock())}

    async def _progress(self, channel: Channel, request: web.Request, _: str) -> Answer:
        with self.platform.lock:
            accepted = channel.ledger.by_request_id(request.query.get("requestId", ""))
        if accepted is None or accepted.endpoint != "narrowcast":
            raise Refusal(404, "Not found")
        count = len(accepted.delivered)
        return 200, {
            "phase": "succeeded",
            "successCount": count,
            "failureCount": len(accepted.to) - count,
            "targetCount": len(accepted.to),
            "acceptedTime": _line_time(accepted, 0),
            "completedTime": _line_time(accepted, 1),
        }

    async def _units(self, channel: Channel, _: web.Request, __: str) -> Answer:
        with self.platform.lock:
            return 200, {"numOfCustomAggregationUnits": len(channel.unit_names(self.platform.clock()))}

    async def _unit_names(self, channel: Channel, request: web.Request, _: str) -> Answer:
        with self.platform.lock:
            names = channel.unit_names(self.platform.clock())
        limit = min(_number(request, "limit", UNITS_A_PAGE), UNITS_A_PAGE)
        return 200, page("customAggregationUnits", names, request.query.get("start"), limit)


def answer(status: int, document: Any, request_id: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer with LINE's request id."""
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        headers={"X-Line-Request-Id": request_id, "Content-Type": "application/json", **(headers or {})},
    )


def refuse(refusal: Refusal, request_id: str) -> web.Response:
    """LINE's answer to a request that it does not accept."""
    return answer(refusal.status, refusal.body(), request_id, refusal.headers)


async def read_body(request: web.Request) -> Body:
    """The JSON object of a request. Refusal 413 over 2 MB, 415 when it isn't declared JSON, 400 when it isn't one."""
    if request.content_type != "application/json":
        raise Refusal(415, f"The content type, {request.content_type}, is not supported")
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refusal(413, "Payload Too Large") from error
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        where = f"(line: {error.lineno}, column: {error.colno})"
        raise Refusal(400, f"The request body could not be parsed as JSON {where}") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The request body could not be parsed as JSON (line: 1, column: 1)")
    return body


async def _validate(_: Channel, request: web.Request, __: str) -> Answer:
    details = check_messages((await read_body(request)).get("messages"))
    if details:
        raise invalid_body(details)
    return 200, {}


def _success(endpoint: str, accepted: Accepted) -> Answer:
    if endpoint in ("push", "reply"):
        return 200, {"sentMessages": accepted.sent_messages}
    return (202 if endpoint == "narrowcast" else 200), {}


def _line_time(accepted: Accepted, seconds: int) -> str:
    at = accepted.at + timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _number(request: web.Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError as error:
        raise Refusal(400, f"The value for the '{name}' parameter is invalid") from error


async def _fail(
    fault: Fault, request: web.Request, handle: Callable[[web.Request], Awaitable[web.Response]]
) -> web.StreamResponse:
    """Answer a request that a fault strikes; where the kind says so, it is accepted (or refused) first as usual."""
    request_id = str(uuid.uuid4())
    kind = fault.kind
    if kind is FaultKind.LATENCY:
        await asyncio.sleep(fault.seconds)
        return await handle(request)
    if kind is FaultKind.ERROR_429:
        return refuse(Refusal(429, RATE_EXCEEDED), request_id)
    if kind in (FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.DROP_AFTER_ACCEPT, FaultKind.ERROR_500_AFTER_ACCEPT):
        await handle(request)
    if kind in (FaultKind.ERROR_500, FaultKind.ERROR_500_AFTER_ACCEPT):
        return refuse(Refusal(500, "Internal Server Error"), request_id)
    if kind in (FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER_ACCEPT):
        await asyncio.sleep(fault.seconds)
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere: the connection is gone


@web.middleware
async def line_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn aiohttp's 404 and 405 into LINE's form."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refuse(Refusal(404, "Not found"), str(uuid.uuid4()))
    except web.HTTPMethodNotAllowed as error:
        allowed = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return refuse(Refusal(405, "Method Not Allowed", headers=allowed), str(uuid.uuid4()))
