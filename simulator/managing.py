"""LINE's endpoints of audiences and coupons."""

from aiohttp import web

from simulator.channels import Channel
from simulator.http import Answer, Route, number, read_body
from simulator.platform import Platform, page
from simulator.refusals import Refusal


def audience_routes(platform: Platform) -> list[Route]:
    """/v2/bot/audienceGroup/…: create, add, show, list, rename and delete."""

    async def create(channel: Channel, request: web.Request, _: str) -> Answer:
        body = await read_body(request)
        with platform.lock:
            return 202, channel.audiences.create(body, channel.friends, platform.clock())

    async def add(channel: Channel, request: web.Request, _: str) -> Answer:
        body = await read_body(request)
        with platform.lock:
            channel.audiences.add(body, channel.friends, platform.clock())
        return 202, {}

    async def show(channel: Channel, request: web.Request, _: str) -> Answer:
        with platform.lock:
            return 200, channel.audiences.show(_audience_id(request), platform.clock())

    async def rename(channel: Channel, request: web.Request, _: str) -> Answer:
        body = await read_body(request)
        with platform.lock:
            channel.audiences.rename(_audience_id(request), body)
        return 200, {}

    async def delete(channel: Channel, request: web.Request, _: str) -> Answer:
        with platform.lock:
            channel.audiences.delete(_audience_id(request))
        return 200, {}

    async def pages(channel: Channel, request: web.Request, _: str) -> Answer:
        name, status = request.query.get("description"), request.query.get("status")
        chosen, size = number(request, "page", 0), number(request, "size", 20)
        with platform.lock:
            return 200, channel.audiences.page(chosen, size, name, status, platform.clock())

    base = "/v2/bot/audienceGroup"
    return [
        ("POST", f"{base}/upload", "audience_create", create),
        ("PUT", f"{base}/upload", "audience_add", add),
        ("GET", f"{base}/list", "audience_list", pages),
        ("GET", f"{base}/{{audience_id}}", "audience_get", show),
        ("DELETE", f"{base}/{{audience_id}}", "audience_delete", delete),
        ("PUT", f"{base}/{{audience_id}}/updateDescription", "audience_rename", rename),
    ]


def _audience_id(request: web.Request) -> int:
    words = request.match_info["audience_id"]
    if not words.isdecimal():
        raise Refusal(400, "The audience group id is invalid")
    return int(words)


def coupon_routes(platform: Platform) -> list[Route]:
    """/v2/bot/coupon…: create, list, show and close."""

    async def create(channel: Channel, request: web.Request, _: str) -> Answer:
        body = await read_body(request)
        with platform.lock:
            return 200, channel.coupons.create(body, platform.clock())

    async def pages(channel: Channel, request: web.Request, _: str) -> Answer:
        limit = number(request, "limit", 20)
        if not 1 <= limit <= 100:
            raise Refusal(400, "The value for the 'limit' parameter is invalid")
        statuses = [s for words in request.query.getall("status", []) for s in words.split(",")]
        with platform.lock:
            found = channel.coupons.titles(statuses)
        return 200, page("items", found, request.query.get("start"), limit)

    async def show(channel: Channel, request: web.Request, _: str) -> Answer:
        with platform.lock:
            return 200, channel.coupons.show(request.match_info["coupon_id"])

    async def close(channel: Channel, request: web.Request, _: str) -> Answer:
        with platform.lock:
            channel.coupons.close(request.match_info["coupon_id"])
        return 200, {}

    return [
        ("POST", "/v2/bot/coupon", "coupon_create", create),
        ("GET", "/v2/bot/coupon", "coupon_list", pages),
        ("GET", "/v2/bot/coupon/{coupon_id}", "coupon_get", show),
        ("PUT", "/v2/bot/coupon/{coupon_id}/close", "coupon_close", close),
    ]
