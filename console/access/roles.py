"""Who may do what: four roles, each of which may do all that the next may."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any

from flask import abort, g


class Role(StrEnum):
    """The highest first: each may do what those below it may."""

    OWNER = "owner"  # people, settings, erasing
    MARKETER = "marketer"  # campaigns, tags, rules, audiences
    ANALYST = "analyst"  # exports
    READER = "reader"  # looks only

    def may(self, needed: "Role") -> bool:
        """Whether this role may do what needs `needed`."""
        order = list(Role)
        return order.index(self) <= order.index(needed)


@dataclass(frozen=True)
class SignedIn:
    """The person behind a request (`g.user`)."""

    id: int
    email: str
    name: str
    role: Role


def needs(role: Role) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A view that only `role` and higher ones may use; 403 for others."""

    def guarded(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def ask(*args: Any, **kwargs: Any) -> Any:
            if not g.user.role.may(role):
                abort(403)
            return view(*args, **kwargs)

        ask.needed_role = role  # type: ignore[attr-defined]
        return ask

    return guarded
