"""How LINE counts characters ("Character counting in a text"): UTF-16 units, and grapheme clusters where that page says
so: labels of actions, texts of message and postback actions, titles and texts of templates.
"""

import regex  # type: ignore[import-untyped, unused-ignore]


def utf16_length(text: str) -> int:
    """UTF-16 code units: an emoji outside the basic plane is 2."""
    return len(text) if text.isascii() else len(text) + sum(character > "\uffff" for character in text)


def grapheme_length(text: str) -> int:
    """Extended grapheme clusters (UAX 29): what a reader calls characters, a family emoji is 1."""
    return len(text) if text.isascii() and "\r" not in text else len(regex.findall(r"\X", text))
