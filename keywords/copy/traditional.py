"""Simplified characters read as traditional ones: what a line says is judged in either script."""

from functools import cache

from opencc import OpenCC


@cache
def _converter() -> OpenCC:
    return OpenCC("s2tw")


def traditional(text: str) -> str:
    """`text` in Taiwan's characters (OpenCC s2tw). It also changes a few that were traditional before (台 becomes 臺),
    so look into both."""
    found: str = _converter().convert(text)
    return found
