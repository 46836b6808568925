"""Sentences that inner parts say in English, for files and the command line, told in Chinese on pages."""

import re
from collections.abc import Mapping
from pathlib import Path


class Patterns:
    """Sentence patterns with their Chinese, in which {0}, {1} are what the pattern's groups found."""

    def __init__(self, chinese: Mapping[str, str]) -> None:
        self._compiled = [(re.compile(pattern, re.DOTALL), words) for pattern, words in chinese.items()]

    def told(self, sentence: str) -> str | None:
        """The Chinese of `sentence`; None for one that no pattern fits."""
        for pattern, words in self._compiled:
            if found := pattern.fullmatch(sentence):
                return words.format(*found.groups())
        return None


def patterns_of(path: Path) -> Patterns:
    """Those of a file: a pattern, a tab and its Chinese on each line; empty lines and those after # are for people."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return Patterns(dict(line.split("\t") for line in lines if line and not line.startswith("#")))
