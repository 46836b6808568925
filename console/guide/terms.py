"""The words of the house with their meanings, out of terms.toml, and what makes a segment, out of segments.toml.
docs/glossary.md shows the same."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import escape

from console.words.catalog import MissingEnglish, english
from segmentation.models import GROUPS, MODELS, Segment

FOLDER = Path(__file__).parent
HAN = re.compile("[\u3400-\u9fff]")
CODE = re.compile("`([^`]+)`")
BRACKETS = re.compile(r"\s*[（(]")
QUOTED = {"zh": "「[^」]*」", "en": "“[^”]*”"}  # names, most of them the brand's
PERSONAL = "_personal"  # a model by each customer's own cycle has the segments of the one by the brand's


@dataclass(frozen=True)
class Term:
    """One word, in English and Traditional Chinese, with its meaning in both. `texts`: Chinese texts of pages that name
    it besides `zh`. `said_en`, `said_zh`: what sentences call it, where that isn't its name; empty for a word that
    sentences use for other things as well."""

    slug: str
    en: str
    zh: str
    meaning_en: str
    meaning_zh: str
    texts: tuple[str, ...] = ()
    said_en: tuple[str, ...] | None = None
    said_zh: tuple[str, ...] | None = None

    def word(self, language: str) -> str:
        """The word in "zh" or "en"."""
        return self.zh if language == "zh" else self.en

    def meaning(self, language: str) -> str:
        """Its meaning in "zh" or "en", as plain text."""
        return self.meaning_zh if language == "zh" else CODE.sub(r"\1", self.meaning_en)

    def said(self, language: str) -> tuple[str, ...]:
        """What sentences call it in "zh" or "en"."""
        given = self.said_zh if language == "zh" else self.said_en
        return (BRACKETS.split(self.word(language))[0],) if given is None else given


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
        slug: Term(slug, **{name: tuple(one) if isinstance(one, list) else one for name, one in words.items()})  # type: ignore[arg-type]
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


@cache
def said_by(language: str) -> re.Pattern[str]:
    """Finds the words in sentences of "zh" or "en" (as HTML), each in a group named by its slug with _ for -; what is
    quoted and, in Chinese, the names of segments are found without a group, so that no word is seen inside of them."""
    names = {segment.chinese for model in segment_terms().values() for segment in (one.segment for one in model)}
    found = [(name, re.escape(name)) for name in names if language == "zh"]
    for one in terms().values():
        forms = [_forms(word) if language == "en" else re.escape(word) for word in one.said(language)]
        if forms:
            longest = max(one.said(language), key=len)
            found.append((longest, f"(?P<{one.slug.replace('-', '_')}>{'|'.join(forms)})"))
    parts = [part for _word, part in sorted(found, key=lambda pair: -len(pair[0]))]
    return re.compile(f"{QUOTED[language]}|(?<![A-Za-z0-9_])(?:{'|'.join(parts)})(?![A-Za-z0-9_])", re.IGNORECASE)


def _forms(word: str) -> str:
    """A pattern of an English word, one or several of it."""
    if word.endswith("y"):
        return f"{_escaped(word[:-1])}(?:y|ies)"
    return f"{_escaped(word)}{'(?:es)?' if word.endswith(('s', 'ch')) else 's?'}"


def _escaped(word: str) -> str:
    return re.escape(str(escape(word)))


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
