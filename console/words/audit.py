"""What people did, as marketers read it: the audit log keeps it in English."""

from functools import cache

from console.words.catalog import FOLDER
from console.words.patterns import Patterns, patterns_of


def done(action: str, language: str) -> str:
    """`action` of an AuditEntry in `language` ("zh" or "en"); one that audit.tsv doesn't know stays as it is."""
    return action if language == "en" else _patterns().told(action) or action


@cache
def _patterns() -> Patterns:
    return patterns_of(FOLDER / "audit.tsv")
