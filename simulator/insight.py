"""LINE's endpoints of figures: how many saw and tapped a narrowcast, a broadcast, or what was sent under a unit."""

from datetime import date, datetime, timedelta

from aiohttp import web

from simulator.channels import LINE_ZONE, Channel
from simulator.http import Answer, Route
from simulator.platform import UNIT_NAME, Platform
from simulator.refusals import Refusal

LONGEST_SPAN = timedelta(days=30)


def insight_routes(platform: Platform) -> list[Route]:
    """/v2/bot/insight/message/event… by request id and by unit."""

    async def by_request(channel: Channel, request: web.Request, _: str) -> Answer:
        with platform.lock:
            accepted = channel.ledger.by_request_id(request.query.get("requestId", ""))
            if accepted is None or accepted.endpoint not in ("narrowcast", "broadcast"):
                raise Refusal(404, "Not found")
            narrowcast = channel.narrowcasts.get(accepted.request_id)
            is_over = narrowcast is None or narrowcast.success_count is not None
            return 200, channel.interactions.of_request(accepted, is_over=is_over)

    async def by_unit(channel: Channel, request: web.Request, _: str) -> Answer:
        unit = request.query.get("customAggregationUnit", "")
        if not UNIT_NAME.fullmatch(unit):
            raise Refusal(400, "The value for the 'customAggregationUnit' parameter is invalid")
        first, last = _day(request, "from"), _day(request, "to")
        if not first <= last <= first + LONGEST_SPAN:
            raise Refusal(400, "The value for the 'to' parameter is invalid")
        with platform.lock:
            sent = [
                entry
                for entry in channel.ledger.entries
                if entry.unit == unit and first <= entry.at.astimezone(LINE_ZONE).date() <= last
            ]
            return 200, channel.interactions.of_unit(sent)

    base = "/v2/bot/insight/message/event"
    return [("GET", base, "insight_request", by_request), ("GET", f"{base}/aggregation", "insight_unit", by_unit)]


def _day(request: web.Request, name: str) -> date:
    try:
        return datetime.strptime(request.query.get(name, ""), "%Y%m%d").date()  # noqa: DTZ007 - a day of LINE's zone
    except ValueError as error:
        raise Refusal(400, f"The value for the '{name}' parameter is invalid") from error
