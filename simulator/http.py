"""HTTP as LINE speaks it: JSON in and out, its request id, its refusals."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from simulator.channels import Channel
from simulator.platform import Body
from simulator.refusals import Refusal

MAX_BODY_BYTES = 2 * 1024 * 1024  # "Status codes": 413 beyond 2 MB

Answer = tuple[int, Any]
Call = Callable[[Channel, web.Request, str], Awaitable[Answer]]
Route = tuple[str, str, str, Call]  # method, path, name (whose rate and faults it has), what it does


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


def number(request: web.Request, name: str, default: int) -> int:
    """A whole number of the query, `default` when it isn't there. Refusal 400 when it is no number."""
    try:
        return int(request.query.get(name, default))
    except ValueError as error:
        raise Refusal(400, f"The value for the '{name}' parameter is invalid") from error


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
