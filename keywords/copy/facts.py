"""Only the marketer gives facts: which discounts, prices, counts, dates and promises of a line nobody gave."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import regex  # type: ignore[import-untyped]

from keywords.copy.data import Promise, promises
from keywords.copy.traditional import traditional
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
# Amounts in words without a unit, which a price hides behind: 不到五百, 三千有找, 上千. Not 千萬別, 上百搭.
_HAN_AMOUNT = regex.compile(
    r"[一二兩三四五六七八九十][百千萬][一二兩三四五六七八九十百千萬零]*"
    r"|[二兩三四五六七八九]十[一二三四五六七八九]?|[數上破逾近](?:百(?![搭貨])|千(?!萬)|萬(?![用能聖]))"
)
_FEASTS = (
    "元旦|除夕|過年|農曆年|春節|新年|初[一二三四五六]|元宵|情人節|婦女節|兒童節|清明|母親節|端午|父親節|七夕|中元|中秋|重陽|國慶|"
    "萬聖|感恩節|黑五|聖誕|耶誕|平安夜|跨年|開學|暑假|寒假|連假|年"
)
# A feast as the first or the last day; the feast alone is what a line is about.
_DEADLINE = regex.compile(
    rf"(?:只到|限到|直到|倒數到|[到至])(?:{_FEASTS})節?|(?:{_FEASTS})節?(?:當[天日]|[前後止](?!進)|截止|為止|結束|起(?![跑步床來飛]))"
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
        return "\n".join(_plain(part) for part in self._parts)

    @cached_property
    def read(self) -> str:
        """The same in traditional characters."""
        return traditional(self.text)

    @cached_property
    def amounts(self) -> frozenset[str]:
        """The amounts in words and the feasts as days that were given."""
        return frozenset(_amounts(self.text) + _amounts(self.read))

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
        return [token for part in self._parts for token in self.tokenizer.tokenize(part)]

    @property
    def _parts(self) -> tuple[str, ...]:
        return (self.theme, *self.offers, *self.products)


def invented(line: str, given: Given) -> list[str]:
    """What `line` states or promises that the marketer did not give, as it stands in it (in simplified characters: as
    they read in traditional ones); empty: nothing."""
    found = _invented(line, given)
    read = traditional(line)
    if read != line:
        found += [said for said in _invented(read, given) if traditional(said) not in map(traditional, found)]
    return list(dict.fromkeys(found))


def _invented(line: str, given: Given) -> list[str]:
    tokens = given.tokenizer.tokenize(line)
    found = [token.text for token in tokens if token.kind in FACT_KINDS and token.term not in given.facts]
    plain = _plain(line)
    found += [match for match in _HAN_COUNT.findall(plain) if match not in given.text]
    found += [match for match in _amounts(plain) if match not in given.amounts]
    words = [token.text for token in tokens if token.kind in (Kind.WORD, Kind.LATIN)]
    found += [word for word in words if not _is_allowed(word, given)]
    found += [
        part
        for promise in promises()
        for part in promise.parts
        if len(part) > 1
        and not part.isascii()
        and part in plain
        and not any(part in word for word in words)
        and not _is_allowed(part, given)
    ]  # cut in two by the dictionary: 新/登場
    return found


def broken_offers(line: str, given: Given) -> list[str]:
    """The offers of which `line` says a number, a date or what one gets, but not the whole: an offer without its
    condition is another offer. What the theme or a product says as well is theirs."""
    rest = _plain(line)
    for offer in sorted(given.offers, key=len, reverse=True):
        rest = regex.sub(r"\s*".join(map(regex.escape, "".join(_plain(offer).split()))), "\n", rest)
    apart = Given(given.tokenizer, given.theme, (), given.products)
    said = _promised(rest, apart)
    return [offer for offer in given.offers if said & _promised(offer, apart)]


def _promised(text: str, apart: Given) -> set[str]:
    """The facts of `text`, and its words that only an offer of their own allows, but for what is in `apart`."""
    plain = _plain(text)
    tokens = [token for read in {plain, traditional(plain)} for token in apart.tokenizer.tokenize(read)]
    facts = {token.term for token in tokens if token.kind in FACT_KINDS} - apart.facts
    named = {
        part
        for promise in promises()
        if promise.allowed_by == "given"
        for token in tokens
        if promise_of(token.text) is promise and not _is_allowed(token.text, apart)
        for part in promise.parts
        if part in token.text
    }
    return facts | named | (set(_amounts(plain)) - apart.amounts)


def _plain(text: str) -> str:
    """Normal form, lower case."""
    return normalise(text).text.lower()


def _amounts(plain: str) -> list[str]:
    return [*_HAN_AMOUNT.findall(plain), *_DEADLINE.findall(plain)]


def _is_allowed(word: str, given: Given) -> bool:
    """True where `word` promises nothing, or what it promises was given."""
    word = word.lower()
    promise = promise_of(word)
    if promise is None or word in given.text or word in given.read:
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
