"""Only the marketer gives facts: which discounts, prices, counts, dates and promises of a line nobody gave."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import regex  # type: ignore[import-untyped]

from keywords.copy.data import Promise, promises
from keywords.text.lexicon import categories
from keywords.text.normal import normalise
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Token, Tokenizer

FACT_KINDS = frozenset({Kind.DISCOUNT, Kind.PRICE, Kind.COUNT, Kind.DATE, Kind.NUMBER, Kind.URL})
_PROMOTIONS = frozenset({"促銷", "雙11", "週年慶", "清倉"})  # themes that are promotions
# Numbers in words that the tokenizer leaves to the dictionary: 兩件, 三天, 八成. 一 alone is mostly no number (一起).
_HAN_COUNT = regex.compile(
    r"[二兩三四五六七八九十百千萬][二兩三四五六七八九十百千萬零]*(?:件|入|包|盒|瓶|組|片|雙|套|份|張|人|次|天|日|小時|分鐘|週|周|個月|年|倍|點|杯|名|款|晚|成|元|塊)"
    r"|一(?:折|元|成|天內|日內|週內|件)"
)


@dataclass(frozen=True)
class Given:
    """What the marketer wrote about what is offered: the theme, offers and products, word for word."""

    tokenizer: Tokenizer
    theme: str
    offers: Sequence[str] = ()
    products: Sequence[str] = ()

    @cached_property
    def text(self) -> str:
        """All of it in normal form, lower case."""
        return "\n".join(normalise(part).text.lower() for part in (self.theme, *self.offers, *self.products))

    @cached_property
    def is_promotion(self) -> bool:
        """True where an offer was given, or the theme says that there is one."""
        named = [category for category in categories() if category.name in _PROMOTIONS]
        return bool(self.offers) or any(n in self.text for c in named for n in (c.name, *c.aliases))

    @cached_property
    def facts(self) -> frozenset[str]:
        """The discounts, prices, counts, dates, numbers and links that were given, as terms."""
        return frozenset(token.term for token in self._tokens if token.kind in FACT_KINDS)

    @cached_property
    def has_date(self) -> bool:
        """True where a date was given."""
        return any(token.kind is Kind.DATE for token in self._tokens)

    @cached_property
    def _tokens(self) -> list[Token]:
        parts = (self.theme, *self.offers, *self.products)
        return [token for part in parts for token in self.tokenizer.tokenize(part)]


def invented(line: str, given: Given) -> list[str]:
    """What `line` states or promises that the marketer did not give, as it stands in it; empty: nothing."""
    tokens = given.tokenizer.tokenize(line)
    found = [token.text for token in tokens if token.kind in FACT_KINDS and token.term not in given.facts]
    plain = normalise(line).text
    found += [match for match in _HAN_COUNT.findall(plain) if match not in given.text]
    words = [token.text for token in tokens if token.kind is Kind.WORD]
    found += [word for word in words if not _is_allowed(word, given)]
    found += [
        part
        for promise in promises()
        for part in promise.parts
        if len(part) > 1 and part in plain and not any(part in word for word in words) and not _is_allowed(part, given)
    ]  # cut in two by the dictionary: 新/登場
    return list(dict.fromkeys(found))


def _is_allowed(word: str, given: Given) -> bool:
    """True where `word` promises nothing, or what it promises was given."""
    promise = promise_of(word)
    if promise is None or word.lower() in given.text:
        return True
    if promise.allowed_by == "offer":
        return given.is_promotion
    if promise.allowed_by == "given":
        return False
    is_named = any(part in given.text for part in promise.parts)
    return is_named or (promise.allowed_by == "date" and given.has_date)


def promise_of(word: str) -> Promise | None:
    """What `word` promises; None: nothing."""
    return next((promise for promise in promises() if promise.holds(word)), None)
