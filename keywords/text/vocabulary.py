"""The terms of a line: what can bring clicks, told from grammar, links and signs."""

from collections.abc import Iterable

from keywords.text.lexicon import stop_words
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Token

NOT_TERMS = frozenset({Kind.FIELD, Kind.URL, Kind.NUMBER, Kind.MARK})


def terms_of(tokens: Iterable[Token]) -> list[str]:
    """The distinct terms of a line, in order: words, offers, prices, counts, dates, emoji, and the offers' classes.

    Stop words, fields, links, bare numbers and punctuation are left out.
    """
    stops = stop_words()
    found: dict[str, None] = {}
    for token in tokens:
        term = token.term
        if token.kind in NOT_TERMS or term in stops:
            continue
        found[term] = None
        if token.group is not None:
            found[token.group] = None
    return list(found)


def is_class(term: str) -> bool:
    """True for a class that pools offers, such as 折扣:60-79%."""
    return term.startswith(("折扣:", "優惠:"))
