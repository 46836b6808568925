"""One way to write the same text (NFKC, no zero-width characters), with the way back to the original's offsets."""

import unicodedata
from typing import NamedTuple

import regex  # type: ignore[import-untyped]

# Full-width ASCII and the ideographic space, which are most of what NFKC changes in marketing lines: one for one.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
# Invisible characters; a joiner is one unless an emoji follows it. Written as escapes: they can't be seen.
_INVISIBLE = regex.compile(
    r"[\u00AD\u061C\u180B-\u180E\u200B\u200C\u200E\u200F\u202A-\u202E\u2060-\u2064\u2066-\u2069\uFEFF]"
    r"|\u200D(?!\p{Extended_Pictographic})"
)
_CLUSTER = regex.compile(r"\X")


class Normal(NamedTuple):
    """`text` is the normal form; character i of it stands for original[starts[i]:ends[i]]. None: same offsets."""

    text: str
    starts: list[int] | None
    ends: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span in the original of `text[start:end]`, which is not empty."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def visible(text: str) -> str:
    """`text` without the characters that can't be seen."""
    shown: str = _INVISIBLE.sub("", text)
    return shown


def normalise(original: str) -> Normal:
    """The normal form of `original` (Unicode Standard Annex 15) without invisible characters.

    A sign that NFKC would write as several (…, ℃, ㈱) stays as it is unless they are ASCII letters or digits (㎏, ①),
    so that no two tokens ever share a character of the original.
    """
    text = original.translate(_FULL_WIDTH)
    if unicodedata.is_normalized("NFKC", text) and not _INVISIBLE.search(text):
        return Normal(text, None, None)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    # cluster by cluster: marks combine only with their own base, so the pieces add up to the whole's normal form
    for match in _CLUSTER.finditer(original):
        cluster, start = match.group(), match.start()
        piece = unicodedata.normalize("NFKC", visible(cluster))
        if len(piece) <= 1 or (piece.isascii() and piece.isalnum()):
            pieces.append(piece)
            starts += [start] * len(piece)
            ends += [match.end()] * len(piece)
            continue
        hidden = {i for found in _INVISIBLE.finditer(cluster) for i in range(*found.span())}
        kept = [i for i in range(len(cluster)) if i not in hidden]
        pieces += [cluster[i] for i in kept]
        starts += [start + i for i in kept]
        ends += [start + i + 1 for i in kept]
    return Normal("".join(pieces), starts, ends)
