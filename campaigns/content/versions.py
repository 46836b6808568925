"""A variant of a run, ready to be sent: its content compiled once for each language that it was written in."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from campaigns.content.languages import version_for
from campaigns.content.message import Content, compile_content


class Versions:
    """The compiled versions of one variant (`messages` and `languages`, as a run keeps them). Raises InvalidMessage."""

    def __init__(self, variant: Mapping[str, Any]) -> None:
        languages: Mapping[str, Any] = variant.get("languages") or {}
        self._content: dict[str | None, Content] = {
            language: compile_content(messages) for language, messages in languages.items()
        }
        self._content[None] = compile_content(variant["messages"])
        names = tuple(languages)
        self._choose = lru_cache(maxsize=256)(lambda *spoken: version_for(names, *spoken))

    def for_reader(self, *languages: str | None) -> Content:
        """The version for somebody who reads these languages, the most trusted first."""
        return self._content[self._choose(*languages) if len(self._content) > 1 else None]

    def in_language(self, language: str | None) -> Content:
        """The version written in `language`, one of the variant's own; None: the plain one."""
        return self._content[language]
