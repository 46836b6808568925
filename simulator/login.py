"""LINE Login as far as LIFF needs it: ID tokens of people, and the endpoint that checks them.

Source: LINE Login reference, "Verify ID token". Tokens are signed with HS256 by a key of this process.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

ISSUER = "https://access.line.me"
LIFE = timedelta(hours=1)


class Login:
    """One LINE Login channel's tokens."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def id_token(self, line_user_id: str, channel_id: str, **claims: Any) -> str:
        """The token that `liff.getIDToken()` gives somebody; `claims` take the place of the usual ones."""
        now = int(self._clock().timestamp())
        usual = {"iss": ISSUER, "sub": line_user_id, "aud": channel_id, "iat": now, "exp": now + LIFE.seconds}
        signed = b".".join(_encoded(part) for part in ({"typ": "JWT", "alg": "HS256"}, usual | claims))
        return b".".join((signed, self._tag(signed))).decode()

    def _tag(self, signed: bytes) -> bytes:
        return base64.urlsafe_b64encode(hmac.digest(self._key, signed, hashlib.sha256)).rstrip(b"=")

    def routes(self) -> list[web.RouteDef]:
        """LINE's endpoint."""
        return [web.post("/oauth2/v2.1/verify", self._verify)]

    async def _verify(self, request: web.Request) -> web.Response:
        form = await request.post()
        token, channel_id = str(form.get("id_token", "")), str(form.get("client_id", ""))
        signed, _, tag = token.encode().rpartition(b".")
        if not hmac.compare_digest(tag, self._tag(signed)):
            return _no("Invalid IdToken.")
        payload = orjson.loads(base64.urlsafe_b64decode(signed.partition(b".")[2] + b"=="))
        if payload["iss"] != ISSUER:
            return _no("Invalid IdToken Issuer.")
        if payload["exp"] <= self._clock().timestamp():
            return _no("IdToken expired.")
        if payload["aud"] != channel_id:
            return _no("Invalid IdToken Audience.")
        return web.Response(body=orjson.dumps(payload), content_type="application/json")


def _encoded(part: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=")


def _no(words: str) -> web.Response:
    body = orjson.dumps({"error": "invalid_request", "error_description": words})
    return web.Response(status=400, body=body, content_type="application/json")
