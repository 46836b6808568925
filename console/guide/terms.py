"""The words of the house with their meanings, out of terms.toml, and what makes a segment, out of segments.toml.
docs/glossary.md shows the same."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from console.words.catalog import MissingEnglish, english
from segmentation.models import GROUPS, MODELS, Segment

FOLDER = Path(__file__).parent
HAN = re.compile("[\u3400-\u9fff]")
CODE = re.compile("`([^`]+)`")
PERSONAL = "_personal"  # a model by each customer's own cycle has the segments of the one by the brand's


@dataclass(frozen=True)
class Term:
    """One word, in English and Traditional Chinese, with its meaning in both. `texts`: Chinese texts of pages that name
    it besides `zh`."""

    slug: str
    en: str
    zh: str
    meaning_en: str
    meaning_zh: str
    texts: tuple[str, ...] = ()

    def word(self, language: str) -> str:
        """The word in "zh" or "en"."""
        return self.zh if language == "zh" else self.en

    def meaning(self, language: str) -> str:
        """Its meaning in "zh" or "en", as plain text."""
        return self.meaning_zh if language == "zh" else CODE.sub(r"\1", self.meaning_en)


@dataclass(frozen=True)
class SegmentTerm:
    """One segment of a model (or one of the five groups, of the model "groups"), with who is in it."""

    model: str
    segment: Segment
    en: str
    zh: str

    def meaning(self, language: str) -> str:
        """Who is in it, in "zh" or "en"."""
        return self.zh if language == "zh" else self.en


def _read(name: str) -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


@cache
def terms() -> dict[str, Term]:
    """Every word by its slug, in the glossary's order."""
    return {
        slug: Term(slug, **{**words, "texts": tuple(words.get("texts", ()))})  # type: ignore[arg-type]
        for slug, words in _read("terms.toml").items()
    }


@cache
def segment_terms() -> dict[str, list[SegmentTerm]]:
    """The segments by model, each in the model's order; the five overlapping groups as "groups"."""
    named = {**MODELS, "groups": GROUPS}
    return {
        model: [SegmentTerm(model, segment, *meanings[segment.name]) for segment in named[model]]
        for model, meanings in _read("segments.toml").items()
    }


def segment_term(model: str, name: str) -> SegmentTerm:
    """The segment `name` of `model`. Raises StopIteration for one that there isn't."""
    return next(one for one in segment_terms()[model.removesuffix(PERSONAL)] if one.segment.name == name)


@cache
def named_by(language: str) -> dict[str, Term]:
    """Which word a text of a page in "zh" or "en", case-folded, names. The first keeps a text that two have."""
    found: dict[str, Term] = {}
    for one in terms().values():
        for text in (one.word(language), *(_in(language, text) for text in one.texts)):
            found.setdefault(text.casefold(), one)
    for one in terms().values():
        if one.zh in english():  # a page may say the word itself in other English
            found.setdefault(_in(language, one.zh).casefold(), one)
    return found


def _in(language: str, text: str) -> str:
    """A text of a page in `language`; 購買週期 may stand for 購買週期（天，或 auto）. Raises MissingEnglish."""
    if language == "zh" or not HAN.search(text):
        return text
    if text in english():
        return english()[text]
    for whole, words in english().items():
        if whole.startswith(f"{text}（"):
            return words.split(" (")[0]
    raise MissingEnglish(text)


def glossary_rows() -> list[str]:
    """The rows of the tables in docs/glossary.md: words first, then segments."""
    words = [
        f'| <a id="{one.slug}"></a>{one.en} | {one.zh} | {one.meaning_en} | {one.meaning_zh} |'
        for one in terms().values()
    ]
    segments = [
        f'| <a id="{one.model}-{one.segment.name}"></a>`{one.model}` {one.segment.name} | {one.segment.chinese} |'
        f" {one.en} | {one.zh} |"
        for model in segment_terms().values()
        for one in model
    ]
    return words + segments
