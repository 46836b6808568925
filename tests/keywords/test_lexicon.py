"""The form of the word lists: read by people, so sorted, with their source, each word once."""

from importlib.resources import files

import pytest

from keywords.text import lexicon
from keywords.text.lexicon import lines_of, marketing_files, marketing_words
from keywords.text.normal import normalise


def _raw(name: str) -> list[str]:
    return files(lexicon).joinpath("words", name).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", marketing_files())
def test_each_list_says_what_it_holds_and_where_it_is_from(name: str) -> None:
    first, second, *_ = _raw(name)
    assert first.startswith("# ")
    assert second.startswith("# Source: written for this project")
    assert "Licence: Apache-2.0" in second


@pytest.mark.parametrize("name", marketing_files())
def test_words_are_in_order_within_their_section(name: str) -> None:
    sections: list[list[str]] = [[]]
    for line in _raw(name):
        if line.startswith("#"):
            sections.append([])
        else:
            assert len(line) <= 120
            sections[-1] += line.split(" ")
    for words in sections:
        assert words == sorted(words)


def test_no_word_is_listed_twice_and_each_is_in_its_normal_form() -> None:
    words = marketing_words()
    assert len(words) == len(set(words)) > 6_000
    for word in words:
        assert normalise(word).text == word
        assert 2 <= len(word) <= 12


def test_set_phrases_are_in_no_other_list() -> None:
    phrases = {word for line in lines_of("words/slogans.txt") for word in line.split()}
    others = [name for name in marketing_files() if name != "slogans.txt"]
    assert not phrases & {word for name in others for line in lines_of(f"words/{name}") for word in line.split()}
