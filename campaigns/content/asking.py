"""LINE's own word on a content: every step, variant and language as it reads for somebody, by its validate endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from sqlmodel import Session, col, select

from campaigns.content.message import InvalidMessage, NotRenderable, compile_content
from store.errors import ExpectedError
from store.models import Variant

EXAMPLE = {"name": "王小明", "display_name": "小明", "city": "台北市", "gender": "female", "language": "zh-TW"}
EXAMPLE_LINK = "https://brand.example/r/" + "A" * 32  # as long as a tracked link


class Validator(Protocol):
    """The door to LINE that is needed here."""

    def validate(self, messages: list[dict[str, Any]]) -> None:
        """Let LINE check messages without sending. Raises an ExpectedError with LINE's words."""


@dataclass(frozen=True)
class Verdict:
    """What LINE (or we) said of one version of a content. `problem` None: it is fine."""

    step_number: int
    variant: str
    language: str | None  # None: the plain version
    problem: str | None


@dataclass(frozen=True)
class Version:
    """One version of a content: messages of a step's variant in a language (None: the plain one)."""

    step_number: int
    variant: str
    language: str | None
    messages: list[dict[str, Any]]


def versions_of(session: Session, campaign_id: int) -> list[Version]:
    """All versions of a campaign's content, by step, variant and language; empty for an unknown campaign."""
    rows = session.exec(
        select(Variant).where(Variant.campaign_id == campaign_id).order_by(col(Variant.step_number), col(Variant.name))
    )
    return [
        Version(row.step_number, row.name, language, messages)
        for row in rows
        for language, messages in ((None, row.messages), *sorted(row.languages.items()))
    ]


def example_of(messages: list[dict[str, Any]], fields: Mapping[str, Any] = EXAMPLE) -> list[dict[str, Any]]:
    """The messages as a person of these fields gets them. Raises InvalidMessage, NotRenderable."""
    filled: list[dict[str, Any]] = orjson.loads(compile_content(messages)(fields, lambda _: EXAMPLE_LINK))
    return filled


def ask_line(versions: list[Version], validator: Validator) -> list[Verdict]:
    """Each version, filled in for an example and for somebody of whom nothing is known, as LINE judges it. Two calls
    a version; no transaction may be open."""
    return [Verdict(v.step_number, v.variant, v.language, _problem(v.messages, validator)) for v in versions]


def _problem(messages: list[dict[str, Any]], validator: Validator) -> str | None:
    try:
        for fields in (EXAMPLE, {}):
            validator.validate(example_of(messages, fields))
    except (InvalidMessage, NotRenderable, ExpectedError) as error:
        return str(error)
    return None
