"""Tokens of tracked links: the ids of link, run and customer, and a tag made with the service's key.

A token holds no address: where a link leads is looked up by its id, so there is no open redirect. No row is needed per
link sent.
"""

import base64
import hmac
import re
import struct
from dataclasses import dataclass

from store.errors import NotFound

_FIELDS = struct.Struct(">IIQ")  # link, run (0: a shop's code), customer (0: the same link for everyone)
_TAG_BYTES = 8  # enough against guessing for a tracking link; it opens nothing private
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")  # 24 bytes in Base64: no padding, no second spelling


class UnknownToken(NotFound):
    """A link token that this service did not make, or whose link is gone."""


@dataclass(frozen=True, slots=True)
class Tap:
    """Whose link was fetched. `run_id` None: a code that hangs in a shop. `customer_id` None: the same for everyone."""

    link_id: int
    run_id: int | None
    customer_id: int | None


class TokenSigner:
    """Makes and reads link tokens with one key."""

    def __init__(self, secret_key: str) -> None:
        # Derived, so that a link token can never stand in for anything else signed with the service's key.
        key = hmac.digest(secret_key.encode(), b"link token", "sha256")
        # Copied for each token: `hmac.digest` makes it anew, and lets go of the interpreter while other threads wait.
        self._mac = hmac.new(key, digestmod="sha256")

    def sign(self, link_id: int, run_id: int | None, customer_id: int | None) -> str:
        """A URL-safe token of 32 characters."""
        fields = _FIELDS.pack(link_id, run_id or 0, customer_id or 0)
        return base64.urlsafe_b64encode(fields + self._tag(fields)).decode()

    def read(self, token: str) -> Tap:
        """What a token says. Raises UnknownToken unless this key signed it."""
        if not _TOKEN.fullmatch(token):
            raise UnknownToken("this link is not one of ours")
        raw = base64.urlsafe_b64decode(token)
        fields, tag = raw[: _FIELDS.size], raw[_FIELDS.size :]
        if not hmac.compare_digest(self._tag(fields), tag):
            raise UnknownToken("this link is not one of ours")
        link_id, run_id, customer_id = _FIELDS.unpack(fields)
        return Tap(link_id, run_id or None, customer_id or None)

    def _tag(self, fields: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(fields)
        return mac.digest()[:_TAG_BYTES]
