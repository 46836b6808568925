"""Whether a line may be proposed: nothing invented, nothing blocked, not too long; and what to know before sending it.

Built lines and a writer's are judged by the same rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keywords.copy.data import Claim
from keywords.copy.facts import Given, broken_offers, invented
from keywords.copy.recent import SentText, nearly_repeated, worn_terms
from keywords.copy.settings import CopySettings
from keywords.copy.traditional import traditional
from keywords.text.normal import normalise
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Tokenizer
from keywords.text.vocabulary import terms_of

_COUNTED = frozenset({Kind.COUNT, Kind.DATE, Kind.PRICE})


@dataclass(frozen=True)
class Notice:
    """Something to know before a line is sent. approval: `words` need a person's yes, for `why`; worn: `words` went to
    these people with `count` messages lately; repeat: `words` is what was sent so."""

    kind: Literal["approval", "worn", "repeat"]
    words: str
    why: str = ""
    count: int = 0


@dataclass(frozen=True)
class Ground:
    """What lines are judged by."""

    given: Given
    settings: CopySettings
    recent: Sequence[SentText] = ()

    @property
    def tokenizer(self) -> Tokenizer:
        """The one that cuts the lines."""
        return self.given.tokenizer


def utf16_units(text: str) -> int:
    """The length of `text` as LINE counts it (Messaging API: character counting): an emoji is two or more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def refusal(line: str, form: str, ground: Ground) -> str | None:
    """Why `line` may not be proposed, in one clause; None: it may."""
    if not line.strip():
        return "it is empty"
    units, most = utf16_units(line), ground.settings.units(form)
    if units > most:
        return f"it is {units} units long, over {most}"
    for claim in claims_in(line, ground.settings.claims(), ground.tokenizer):
        if claim.level == "blocked":
            return f"{claim.word} is blocked ({claim.why})"
    made_up = invented(line, ground.given)
    if made_up:
        return f"nobody gave {'、'.join(made_up)}"
    broken = broken_offers(line, ground.given)
    if broken:
        return f"it says a part of 「{broken[0]}」 and not the whole"
    return None


def notices(line: str, ground: Ground) -> list[Notice]:
    """What to know before `line` is sent."""
    found = [
        Notice("approval", claim.word, claim.why)
        for claim in claims_in(line, ground.settings.claims(), ground.tokenizer)
        if claim.level == "approval"
    ]
    terms = terms_of(ground.tokenizer.tokenize(line))
    worn = worn_terms(terms, ground.recent, ground.settings.worn_messages)
    found += [Notice("worn", term, count=count) for term, count in worn.items()]
    repeated = nearly_repeated(line, ground.recent)
    if repeated is not None:
        found.append(Notice("repeat", repeated.text))
    return found


def claims_in(text: str, claims: Sequence[Claim], tokenizer: Tokenizer) -> list[Claim]:
    """The claims of `text`, whatever spaces or punctuation are put into them, in traditional or simplified characters;
    a longer word stands for its parts.

    第一 of 第一件 is a count and no claim; a claim with digits (100%有效) is looked for as it is.
    """
    letters = _letters(text)
    whole = {letters, traditional(letters)}
    cut = "".join("\n" if t.kind in _COUNTED else _letters(t.text) for t in tokenizer.tokenize(text))
    words = {cut, traditional(cut)}
    found: list[Claim] = []
    for claim in sorted(claims, key=lambda claim: -len(claim.word)):
        wanted = _letters(claim.word)
        places = whole if any(sign.isdigit() for sign in wanted) else words
        if wanted and any(wanted in place for place in places) and not any(_covers(other, claim) for other in found):
            found.append(claim)
    return found


def _covers(longer: Claim, claim: Claim) -> bool:
    """True where nothing is lost by saying only `longer`: a block is never hidden by an approval."""
    return _letters(claim.word) in _letters(longer.word) and longer.level in ("blocked", claim.level)


def _letters(text: str) -> str:
    return "".join(sign for sign in normalise(text).text.lower() if sign.isalnum() or sign == "%")
