"""LINE's endpoints about a channel's webhook: which URL is set, setting it, and a test that really goes there.

Source: "Webhook settings" of the Messaging API reference; reasons and details from "Check webhook error causes and
statistics". LINE takes https only; here plain http will do on this machine, where there is no certificate.
"""

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from simulator.channels import Channel
from simulator.http import Answer, Route, read_body
from simulator.platform import Platform
from simulator.refusals import Refusal
from simulator.webhooks import TIMEOUT_SECONDS, body_of, headers_of

MAX_URL = 500
NOT_SET = "Webhook endpoint not found"
INVALID = "Invalid webhook endpoint URL"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test: `status_code` is 0 where there was no answer."""

    reason: str
    detail: str
    status_code: int = 0


def webhook_routes(platform: Platform) -> list[Route]:
    """/v2/bot/channel/webhook/…: get and set the URL, test it."""

    async def show(channel: Channel, *_: Any) -> Answer:
        with platform.lock:
            if channel.webhook.url is None:
                raise Refusal(404, NOT_SET)
            return 200, {"endpoint": channel.webhook.url, "active": channel.webhook.is_active}

    async def set_url(channel: Channel, request: Any, _: str) -> Answer:
        url = _checked((await read_body(request)).get("endpoint"))
        with platform.lock:
            channel.webhook.url = url
        return 200, {}

    async def test(channel: Channel, request: Any, _: str) -> Answer:
        asked = (await read_body(request)).get("endpoint") if request.can_read_body else None
        url = channel.webhook.url if asked is None else _checked(asked)
        if url is None:
            raise Refusal(404, NOT_SET)
        at = platform.clock()
        outcome = await _try(url, channel.options.secret, body_of(channel.options.bot_user_id, []))
        return 200, {
            "success": outcome.reason == "OK",
            "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "statusCode": outcome.status_code,
            "reason": outcome.reason,
            "detail": outcome.detail,
        }

    base = "/v2/bot/channel/webhook"
    return [
        ("GET", f"{base}/endpoint", "webhook_get", show),
        ("PUT", f"{base}/endpoint", "webhook_set", set_url),
        ("POST", f"{base}/test", "webhook_test", test),
    ]


def _checked(url: Any) -> str:
    """The URL, if LINE would take it. Refusal 400 otherwise."""
    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL:
        raise Refusal(400, INVALID)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise Refusal(400, INVALID) from error
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))):
        raise Refusal(400, INVALID)
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _try(url: str, secret: str, body: bytes) -> Outcome:
    """Send a body once and tell what came of it, in LINE's words."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers_of(secret, body), allow_redirects=False) as answer,
        ):
            is_ok = 200 <= answer.status < 300
            return Outcome("OK" if is_ok else "ERROR_STATUS_CODE", str(answer.status), answer.status)
    except aiohttp.InvalidURL:
        return Outcome("COULD_NOT_CONNECT", "Invalid URL syntax")
    except aiohttp.ClientConnectorDNSError:
        return Outcome("COULD_NOT_CONNECT", "Unknown host")
    except (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError):
        return Outcome("COULD_NOT_CONNECT", "TLS handshake failure")
    except aiohttp.ClientConnectorError:
        return Outcome("COULD_NOT_CONNECT", "Connection failed")
    except aiohttp.ConnectionTimeoutError:
        return Outcome("COULD_NOT_CONNECT", "Connection timeout")
    except TimeoutError:
        return Outcome("REQUEST_TIMEOUT", "Request timeout")
    except (aiohttp.ClientError, ConnectionError):
        return Outcome("UNCLASSIFIED", "Session closed unexpectedly")
