"""Marks between words, as each language of the pages writes them."""

COLON = {"zh": "：", "en": ": "}
COMMA = {"zh": "、", "en": ", "}


def bracketed(text: str, language: str) -> str:
    """What follows a word in brackets."""
    return f"（{text}）" if language == "zh" else f" ({text})"


def quoted(name: str, language: str) -> str:
    """A name that follows a word, such as that of a field."""
    return f"「{name}」" if language == "zh" else f" “{name}”"
