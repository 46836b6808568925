"""The door to LINE Login: whose an ID token is. Apart from the others: it needs no channel access token.

Source: LINE Login reference, "Verify ID token" (POST /oauth2/v2.1/verify).
"""

import re
from base64 import urlsafe_b64decode
from datetime import datetime

import orjson
import urllib3

from bot.line.answers import LineError

ISSUER = "https://access.line.me"
MAX_TOKEN = 4_096  # characters; LINE's own are about 600
_USER_ID = re.compile(r"U[0-9a-f]{32}")


class LoginDoor:
    """Asks LINE about ID tokens made for one LINE Login channel. Thread-safe."""

    def __init__(self, *, api_base: str, channel_id: str, timeout_seconds: float) -> None:
        self._url = f"{api_base}/oauth2/v2.1/verify"
        self._channel_id = channel_id
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(total=timeout_seconds))

    def user_of(self, id_token: str, *, now: datetime) -> str | None:
        """The LINE user id that LINE vouches for; None when the token is forged, expired or another channel's.

        What is plainly no token of this channel is not even asked about. Raises LineError when LINE can't be asked.
        """
        if not self._may_be_ours(id_token, now):
            return None
        fields = {"id_token": id_token, "client_id": self._channel_id}
        try:
            answer = self._http.request("POST", self._url, fields=fields, encode_multipart=False)
        except urllib3.exceptions.HTTPError as error:
            raise LineError(
                f"LINE could not be asked about an ID token: {type(error).__name__}", may_try_again=True, in_doubt=False
            ) from error
        if answer.status >= 500 or answer.status == 429:
            sentence = f"LINE refused to check an ID token with status {answer.status}"
            raise LineError(sentence, status=answer.status, may_try_again=True, in_doubt=False)
        if answer.status != 200:
            return None
        payload = _object(answer.data)
        user_id = payload.get("sub")
        is_right = payload.get("iss") == ISSUER and payload.get("aud") == self._channel_id
        return user_id if is_right and isinstance(user_id, str) and _USER_ID.fullmatch(user_id) else None

    def _may_be_ours(self, id_token: str, now: datetime) -> bool:
        parts = id_token.split(".")
        if len(id_token) > MAX_TOKEN or len(parts) != 3:
            return False
        try:
            payload = _object(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except ValueError:
            return False
        until = payload.get("exp")
        return payload.get("aud") == self._channel_id and isinstance(until, int) and until > now.timestamp()


def _object(raw: bytes) -> dict[str, object]:
    try:
        read = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
