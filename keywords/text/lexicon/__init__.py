"""The word lists that ship with the product, as data files, and how they are read."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Category(NamedTuple):
    """A theme that a marketer may name, and what belongs to it."""

    name: str
    aliases: tuple[str, ...]
    articles: tuple[str, ...]  # what is sold
    qualities: tuple[str, ...]  # what is said of it, and occasions: no line can offer them by themselves
    offers: tuple[str, ...]  # what is offered on it

    @property
    def terms(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.articles, *self.qualities, *self.offers)


def lines_of(name: str, package: str = __name__) -> list[str]:
    """The lines of a data file of `package`, without comments and empty ones."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    kept = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in kept if line]


@cache
def marketing_words() -> tuple[str, ...]:
    """Words of Taiwanese marketing, which a general dictionary cuts wrongly or lacks; in order of code points."""
    words = (word for name in marketing_files() for line in lines_of(f"words/{name}") for word in line.split())
    return tuple(sorted(word.replace("_", " ") for word in words))


def marketing_files() -> list[str]:
    """The names of the files of `marketing_words`."""
    return sorted(file.name for file in files(__name__).joinpath("words").iterdir() if file.name.endswith(".txt"))


@cache
def stop_words() -> frozenset[str]:
    """Words that carry grammar, not an offer; lower case."""
    return frozenset(word for line in lines_of("stopwords.txt") for word in line.split())


@cache
def variants() -> dict[str, str]:
    """Words that say the same as another, in lower case, and that other: 特價 -> 優惠."""
    lines = [[word.replace("_", " ").lower() for word in line.split()] for line in lines_of("variants.txt")]
    return {word: head for head, *others in lines for word in others}


@cache
def categories() -> tuple[Category, ...]:
    """The category lexicon, in the order of the file."""
    found = []
    for line in lines_of("categories.txt"):
        name, *words = (part.strip() for part in line.split("|"))
        found.append(Category(name, *(tuple(part.split()) for part in words)))
    return tuple(found)
