"""What was accepted, kept for ever: who was sent which request when, so that a test can tell once from twice."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted request. `to` are the recipients named (or all followers, for a broadcast), in order, each once;
    `delivered` those of them that follow the account and so see it. Of a narrowcast both are empty until it is sent."""

    request_id: str
    endpoint: str
    retry_key: str | None
    at: datetime
    to: tuple[str, ...]
    delivered: tuple[str, ...]
    messages: list[dict[str, Any]]
    unit: str | None
    sent_messages: list[dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """The same, ready for JSON: `at` in ISO form, UTC."""
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "retry_key": self.retry_key,
            "at": self.at.isoformat(),
            "to": list(self.to),
            "delivered": list(self.delivered),
            "messages": self.messages,
            "unit": self.unit,
        }


class Ledger:
    """Accepted requests in order, with running counts. Not thread-safe: the platform's lock is held around it."""

    def __init__(self) -> None:
        self.entries: list[Accepted] = []
        self._by_request: dict[str, Accepted] = {}
        self._per_user: Counter[str] = Counter()
        self._per_key: Counter[str] = Counter()
        self._per_content: Counter[tuple[str, int]] = Counter()

    def record(self, accepted: Accepted) -> None:
        """Keep one accepted request."""
        self.entries.append(accepted)
        self._by_request[accepted.request_id] = accepted
        if accepted.retry_key is not None:
            self._per_key[accepted.retry_key] += 1
        self._count(accepted)

    def complete(self, request_id: str, to: tuple[str, ...], delivered: tuple[str, ...], at: datetime) -> Accepted:
        """A narrowcast accepted before was sent at `at` to these; the entry as it stands now."""
        before = self._by_request[request_id]
        after = self._by_request[request_id] = replace(before, to=to, delivered=delivered, at=at)
        self.entries[self.entries.index(before)] = after
        self._count(after)
        return after

    def _count(self, accepted: Accepted) -> None:
        content = hash(orjson.dumps(accepted.messages))
        self._per_user.update(accepted.to)
        self._per_content.update((line_user_id, content) for line_user_id in accepted.to)

    def by_request_id(self, request_id: str) -> Accepted | None:
        """The accepted request with that id, if there is one."""
        return self._by_request.get(request_id)

    def summary(self) -> dict[str, Any]:
        """Counts for JSON.

        `per_user` and `per_retry_key` count accepted requests. `duplicates` holds only what came more than once:
        `retry_keys` {key: times} and `contents` {line_user_id: times beyond the first that the very same messages
        were accepted for that person}. Replies are in it too; they have no retry key.
        """
        again: Counter[str] = Counter()
        for (line_user_id, _), times in self._per_content.items():
            if times > 1:
                again[line_user_id] += times - 1
        return {
            "requests": len(self.entries),
            "recipients": self._per_user.total(),
            "delivered": sum(len(entry.delivered) for entry in self.entries),
            "per_user": dict(self._per_user),
            "per_retry_key": dict(self._per_key),
            "duplicates": {
                "retry_keys": {key: times for key, times in self._per_key.items() if times > 1},
                "contents": dict(again),
            },
        }
