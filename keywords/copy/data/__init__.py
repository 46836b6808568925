"""What copy is built from and judged by, as data files, and how they are read."""

from functools import cache
from string import Formatter
from typing import Literal, NamedTuple

from keywords.text.lexicon import lines_of

Allowed = Literal["given", "offer", "date", "stock"]
SLOTS = ("urgency", "call")  # filled from slots.txt; product and offer come from the theme and the marketer
FORMS = ("message", "line", "headline", "alt")


class Promise(NamedTuple):
    """A group of words that promise something, and what allows them."""

    name: str
    allowed_by: Allowed
    parts: tuple[str, ...]
    harmless: tuple[str, ...]

    def holds(self, word: str) -> bool:
        """True where `word` promises this. A Latin part is a word of its own: free, not freestyle."""
        return word not in self.harmless and any(
            part == word if part.isascii() else part in word for part in self.parts
        )


class Template(NamedTuple):
    """A way to build a line of a form."""

    form: str
    text: str

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots it has, in order."""
        return tuple(name for _, name, _, _ in Formatter().parse(self.text) if name)


class Claim(NamedTuple):
    """A word that is blocked, or needs a person's approval, and why."""

    word: str
    level: Literal["blocked", "approval"]
    why: str


@cache
def claims() -> tuple[Claim, ...]:
    """The shipped words of advertising law, in the order of the file."""
    found = []
    for line in lines_of("claims.txt", __name__):
        level, why, words = (part.strip() for part in line.split("|"))
        assert level in ("blocked", "approval"), line
        found += [Claim(word, level, why) for word in words.split()]  # type: ignore[arg-type]
    return tuple(found)


@cache
def promises() -> tuple[Promise, ...]:
    """The groups, in the order of the file: a word is of the first that it fits."""
    found = []
    for line in lines_of("promises.txt", __name__):
        name, allowed_by, parts, harmless = (part.strip() for part in line.split("|"))
        assert allowed_by in ("given", "offer", "date", "stock"), line
        found.append(Promise(name, allowed_by, tuple(parts.split()), tuple(harmless.split())))  # type: ignore[arg-type]
    return tuple(found)


@cache
def slot_words() -> dict[str, tuple[str, ...]]:
    """The words of each slot, in the order of the file."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(SLOTS, ())
    for line in lines_of("slots.txt", __name__):
        slot, words = (part.strip() for part in line.split("|"))
        found[slot] += tuple(words.split())
    return found


@cache
def templates() -> tuple[Template, ...]:
    """The templates, in the order of the file."""
    return tuple(template_of(line) for line in lines_of("templates.txt", __name__))


def template_of(line: str) -> Template:
    """The template of `form | text`. Raises ValueError for an unknown form or slot, no slot, or slots that touch."""
    form, _, text = (part.strip() for part in line.partition("|"))
    if form not in FORMS:
        raise ValueError(f"a template begins with its form ({', '.join(FORMS)}) and a |, not {form!r}")
    found = Template(form, text.replace("\\n", "\n"))
    fields = [field for field in Formatter().parse(found.text) if field[1] is not None]
    if not fields or any(name not in (*SLOTS, "product", "offer") or spec or how for _, name, spec, how in fields):
        raise ValueError("a template has one or more of the slots {urgency}, {product}, {offer} and {call}")
    if len(set(found.slots)) < len(fields) or any(not before for before, *_ in fields[1:]):
        raise ValueError("a template has each slot once, and something between two slots")
    return found
