"""What LINE makes of a call, in our words: the outcomes of sending, and the one error of everything else."""

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from store.errors import ExpectedError

Outcome = Literal[
    "accepted", "refused", "in_doubt", "not_reached", "slow_down", "limited", "quota_exhausted", "stopped"
]

# LINE tells its kinds of 429 apart only by the message ("Error messages"): these two are known.
_QUOTA_WORDS, _RATE_WORDS = b"monthly limit", b"rate limit"
_NO_WORDS = ("no message", "no readable error body")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one call that sends.

    accepted: LINE has it (also 409: it had it already). refused: final, nobody got it. in_doubt: LINE may have it,
    repeat with the same key. not_reached: no connection, so nothing was sent. slow_down: over the rate.
    limited: over a limit of another kind, such as too many messages to one person; whether it ends is not known.
    quota_exhausted: the month's messages are used up. stopped: the token or account is not allowed to send.
    """

    outcome: Outcome
    request_id: str | None = None
    problem: str | None = None


class LineError(ExpectedError):
    """LINE could not be reached or said no. `in_doubt`: it may have acted all the same."""

    def __init__(self, sentence: str, *, status: int | None = None, may_try_again: bool, in_doubt: bool) -> None:
        super().__init__(sentence)
        self.status = status
        self.may_try_again = may_try_again
        self.in_doubt = in_doubt
        self.http_status = 502


def answer_of_status(status: int, headers: Any, body: bytes) -> Answer:
    """What an answer other than 2xx means. 409 is success: LINE accepted this retry key before."""
    request_id = headers.get("x-line-request-id")
    problem = f"{status}: {error_words(body)}"
    if status == 409:
        return Answer("accepted", headers.get("x-line-accepted-request-id") or request_id)
    if status == 429:
        return Answer(_limit_of(body), request_id, problem)
    if status in (401, 403) or status < 400 or status in (404, 405):  # the last: not LINE's address at all
        return Answer("stopped", request_id, problem)
    if status >= 500 or status == 408:
        return Answer("in_doubt", request_id, problem)
    return Answer("refused", request_id, problem)


def _limit_of(body: bytes) -> Outcome:
    """Which limit a 429 is about. One that says nothing comes from something in between that is too busy."""
    if _QUOTA_WORDS in body:
        return "quota_exhausted"
    return "slow_down" if _RATE_WORDS in body or error_words(body) in _NO_WORDS else "limited"


def error_words(body: bytes | None) -> str:
    """LINE's own message and the first details of an error body; the body is not repeated, it may quote people."""
    try:
        parsed = orjson.loads(body or b"")
        details = "; ".join(f"{d.get('property', '?')}: {d.get('message', '?')}" for d in parsed.get("details", [])[:3])
        return f"{parsed.get('message', _NO_WORDS[0])}{f' ({details})' if details else ''}"[:300]
    except (orjson.JSONDecodeError, AttributeError):
        return _NO_WORDS[1]
