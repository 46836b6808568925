"""Every text of the pages has its English, and no English stands unused."""

import re
from pathlib import Path

import pytest

from console.words import names, setting_names
from console.words.catalog import FOLDER, MissingEnglish, english, translate

CONSOLE = FOLDER.parent
HAN = re.compile(r"[\u3400-\u9fff]")
IN_TEMPLATES = re.compile(r"""\bt\(\s*(?:"([^"]+)"|'([^']+)')""")
IN_PYTHON = re.compile(r'\b(?:t|_t|translate)\(\s*"([^"]+)"')


def _texts() -> dict[str, Path]:
    found = {}
    for path in sorted(CONSOLE.rglob("*")):
        pattern = {".html": IN_TEMPLATES, ".py": IN_PYTHON}.get(path.suffix)
        if pattern is None:
            continue
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            text = next(group for group in match.groups() if group)
            if HAN.search(text):
                found[text] = path
    return found


def test_every_text_of_the_pages_has_english() -> None:
    texts = _texts()
    assert len(texts) > 200
    assert {text: str(path.relative_to(CONSOLE)) for text, path in texts.items() if text not in english()} == {}


def test_every_name_has_english() -> None:
    tables = [one for module in (names, setting_names) for name, one in vars(module).items() if name.isupper()]
    found = {text for one in tables for text in one.values() if HAN.search(text)}
    assert len(found) > 200
    assert found - english().keys() == set()


def test_english_fills_the_same_places_and_holds_no_chinese() -> None:
    places = re.compile(r"\{(\w+)\}")
    for text, words in english().items():
        assert set(places.findall(text)) == set(places.findall(words)), text
        assert not HAN.search(words), words


def test_no_template_writes_chinese_past_the_catalogue() -> None:
    for path in sorted(CONSOLE.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        for allowed in (r"\{#.*?#\}", r"\{%.*?%\}", r"\{\{.*?\}\}"):
            text = re.sub(allowed, "", text, flags=re.DOTALL)
        assert not re.findall(r"[\u3400-\u9fff]+", text), path


def test_a_text_without_english_is_an_error_and_chinese_needs_none() -> None:
    with pytest.raises(MissingEnglish):
        translate("沒有這段話", "en")
    assert translate("沒有{n}", "zh", n=3) == "沒有3"
