"""The console's two languages: pages are written in Traditional Chinese, their English stands in `en/*.po`."""

from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

LANGUAGES = {"zh": "zh-Hant-TW", "en": "en"}
FOLDER = Path(__file__).parent


class MissingEnglish(KeyError):
    """Words of a page that no file in `en/` translates."""


@cache
def english() -> dict[str, str]:
    """Every text of the pages with its English. One file a room; a text may stand in several with one meaning only.

    Raises ValueError for a text with two meanings, naming both files.
    """
    found: dict[str, str] = {}
    sources: dict[str, str] = {}
    for path in sorted((FOLDER / "en").glob("*.po")):
        with path.open(encoding="utf-8") as file:
            for message in read_po(file, locale="en"):
                if not message.id or not message.string:
                    continue
                text, words = str(message.id), str(message.string)
                if found.setdefault(text, words) != words:
                    raise ValueError(f"{text!r} is {found[text]!r} in {sources[text]} and {words!r} in {path.name}")
                sources.setdefault(text, path.name)
    return found


def translate(text: str, language: str, **values: object) -> str:
    """`text` in `language` ("zh" or "en"), its {named} places filled from `values`.

    Raises MissingEnglish for a text without English: a page may not forget it.
    """
    if language != "zh":
        try:
            text = english()[text]
        except KeyError as error:
            raise MissingEnglish(text) from error
    return text.format(**values) if values else text
