"""Every answer of LINE's that is no success, in LINE's words ("Status codes", "Error responses", "Error messages")."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

RATE_EXCEEDED = "The API rate limit has been exceeded. Try again later."
QUOTA_EXCEEDED = "You have reached your monthly limit."
OTHER_LIMIT = "Another limit has been exceeded."  # LINE has more limits than sentences in its documents
RETRY_KEY_ACCEPTED = "The retry key is already accepted"
FAILED_TO_SEND = "Failed to send messages"
INVALID_REPLY_TOKEN = "Invalid reply token"  # noqa: S105 - a sentence, not a secret
_AUTHENTICATION_FAILED = "Authentication failed due to the following reason: "
UNAUTHORIZED = (
    _AUTHENTICATION_FAILED + "invalid token. Confirm that the access token in the authorization header is valid."
)


class Detail(TypedDict):
    """What is wrong with one property of a request; `property` is written like `messages[0].text`."""

    message: str
    property: NotRequired[str]


class Refusal(Exception):
    """A request that LINE does not accept: HTTP status, `{message, details[]}` and any further headers and fields."""

    def __init__(
        self,
        status: int,
        message: str,
        details: Sequence[Detail] = (),
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = list(details)
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})

    def body(self) -> dict[str, Any]:
        """The JSON document that LINE answers with; `details` is left out when there are none."""
        document: dict[str, Any] = {"message": self.message, **self.fields}
        if self.details:
            document["details"] = self.details
        return document


def invalid_property(name: str) -> Refusal:
    """400 for a property of the body that has the wrong form."""
    return Refusal(400, f"The property, '{name}', in the request body is invalid (line: -, column: -)")


def invalid_body(details: Sequence[Detail]) -> Refusal:
    """400 for a body with one or more wrong properties, each named."""
    return Refusal(400, f"The request body has {len(details)} error(s)", details)
