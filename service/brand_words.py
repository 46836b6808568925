"""The tokenizer that knows the brand's own words, for those rooms that may not see keywords."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from sqlalchemy import select
from sqlmodel import Session

from keywords.text.brand import read_words
from keywords.text.lexicon import stop_words
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Tokenizer
from segmentation.labels import label_words
from store.engine import table_of
from store.models import Product

product = table_of(Product)
_WORDS = frozenset({Kind.WORD, Kind.LATIN})


def tokenize_for_brand(session: Session) -> Callable[[Sequence[str]], list[list[str]]]:
    """A function that gives the terms of each text (lower case; no stop words, numbers, prices, links, emoji), with
    the brand's own words, its products' labels and categories and our list of label words known as single words."""
    own = set(read_words(session).words)
    for labels, categories in session.execute(select(product.c.labels, product.c.categories)):
        own.update(labels, categories)
    return terms_with(own)


def terms_with(words: Iterable[str]) -> Callable[[Sequence[str]], list[list[str]]]:
    """The same function, for the words given and our list of label words."""
    tokenizer = _tokenizer(frozenset(words) | frozenset(label_words(in_english=False)))
    stops = stop_words()

    def tokenize(texts: Sequence[str]) -> list[list[str]]:
        return [
            [token.term for token in tokenizer.tokenize(text) if token.kind in _WORDS and token.term not in stops]
            for text in texts
        ]

    return tokenize


@lru_cache(maxsize=1)  # 70 MB each; the words change seldom
def _tokenizer(words: frozenset[str]) -> Tokenizer:
    return Tokenizer(words)
