"""Labels for products, proposed from the words of their names and descriptions. A person approves: see
labelling.py. Numeric and textual only; knows no database.

Three sources, from the surest:
1. `word`: a known label, or a word that tells of it, stands in the product's text. Known are the labels that the brand
   uses and those of label_words.txt.
2. `similar`: the labelled products whose words are nearest (cosine of tf-idf) mostly have the label.
3. `term`: a term of the catalogue that behaves like an attribute: it stands in several names, beside different kinds
   of products, and seldom is the kind itself (the last word of a name).
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np

Tokenize = Callable[[Sequence[str]], Sequence[Sequence[str]]]

# How sure each source is, 0..1: a name says what the product is, a description also what it is not.
IN_NAME, IN_DESCRIPTION = 0.9, 0.6
_MOST_SIMILAR, _MOST_TERM = 0.8, 0.5

_NEIGHBOURS = 5
_LEAST_NEIGHBOURS = 2  # one like it may be a chance
_LEAST_LIKENESS = 0.25  # cosine: below it two products share little but filling words
_LEAST_SHARE = 0.6  # of the neighbours' likeness

_LEAST_PRODUCTS = 3  # with a term
_MOST_OF_CATALOGUE = 0.3  # what more products have than that tells few apart
# From so many kinds, and products (or this part of the catalogue), on a term can't score higher by having more.
_MANY_KINDS, _MANY_PRODUCTS, _MANY_OF_CATALOGUE = 5, 20, 0.05
_LEAST_TERM_SCORE = 0.12
_MOST_TERMS = 40  # new labels proposed at a time: a person must read them
_MOST_TERMS_EACH = 3
_TOGETHER = 0.8  # of a word's occurrences are in one pair: the pair is the word
_BLOCK = 1000  # products compared with the labelled ones at a time

_HAN = re.compile(r"[㐀-鿿々〇]+")


@dataclass(frozen=True)
class Article:
    """A product as it is read here."""

    product_id: int
    name: str
    description: str = ""
    categories: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        return f"{self.name}\n{self.description}"


@dataclass(frozen=True)
class Proposal:
    """A label for a product: the score (0..1), which source says so, and the words that it was proposed for."""

    product_id: int
    label: str
    score: float
    source: str  # word | similar | term
    words: tuple[str, ...]


def propose(articles: Sequence[Article], tokenize: Tokenize, never: Iterable[str] = ()) -> list[Proposal]:
    """Labels that the products lack, the surest first within each product, in the order of `articles`; each label at
    most once for a product. `never`: labels that are not proposed for any."""
    left_out = {normal(label) for label in never}
    terms = [list(found) for found in tokenize([normal(article.text) for article in articles])]
    found = [*_by_words(articles), *_by_similar(articles, terms), *_by_terms(articles, tokenize)]
    best: dict[tuple[int, str], Proposal] = {}
    for proposal in found:  # in the order of the sources: an equal score of a surer one stays
        key = (proposal.product_id, normal(proposal.label))
        if key[1] not in left_out and (key not in best or best[key].score < proposal.score):
            best[key] = proposal
    place = {article.product_id: number for number, article in enumerate(articles)}
    has = {article.product_id: {normal(label) for label in article.labels} for article in articles}
    kept = [proposal for (product_id, label), proposal in best.items() if label not in has[product_id]]
    return sorted(kept, key=lambda p: (place[p.product_id], -p.score, p.label))


def normal(text: str) -> str:
    """A text as it is compared: NFKC and lower case."""
    return unicodedata.normalize("NFKC", text).lower().strip()


@cache
def label_words(*, in_english: bool) -> Mapping[str, str]:
    """Word (normal form) -> the label that it tells of, of label_words.txt: its Chinese name, or in English the first
    English word of the line where it has one."""
    found: dict[str, str] = {}
    for line in files(__package__).joinpath("label_words.txt").read_text(encoding="utf-8").splitlines():
        label, _, others = line.split("#")[0].partition("|")
        words = [word.strip() for word in (label, *others.split(",")) if word.strip()]
        english = [word for word in words if not _HAN.search(word)]
        for word in words:
            found.setdefault(normal(word), english[0] if in_english and english else words[0])
    return found


def _is_english(articles: Sequence[Article]) -> bool:
    """Whether most of the catalogue's names have no Chinese in them."""
    return 2 * sum(1 for article in articles if not _HAN.search(article.name)) > len(articles)


def _by_words(articles: Sequence[Article]) -> list[Proposal]:
    """Source 1. The brand's own spelling of a label goes before ours."""
    own = {normal(label): label for article in articles for label in sorted(article.labels)}
    known = {
        word: own.get(normal(label), label) for word, label in label_words(in_english=_is_english(articles)).items()
    }
    known |= {word: label for word, label in own.items() if len(word) > 1}
    pattern = _pattern(known)
    proposals = []
    for article in articles:
        words: dict[str, dict[str, float]] = defaultdict(dict)
        for text, score in ((article.name, IN_NAME), (article.description, IN_DESCRIPTION)):
            for match in pattern.finditer(normal(text)):
                words[known[match.group()]].setdefault(match.group(), score)
        proposals += [
            Proposal(article.product_id, label, max(found.values()), "word", tuple(found))
            for label, found in words.items()
        ]
    return proposals


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Finds the words, the longest first: Chinese ones anywhere, as no space parts them; others as whole words."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    parts = [re.escape(w) if _HAN.search(w) else rf"(?<![^\W_]){re.escape(w)}(?![^\W_])" for w in ordered]
    return re.compile("|".join(parts) or r"(?!)")


def _by_similar(articles: Sequence[Article], terms: Sequence[Sequence[str]]) -> list[Proposal]:
    """Source 2."""
    labelled = [number for number, article in enumerate(articles) if article.labels]
    if len(labelled) < _LEAST_NEIGHBOURS or not any(terms):
        return []
    from sklearn.feature_extraction.text import TfidfVectorizer  # here, not above: it takes a second

    vectorizer = TfidfVectorizer(analyzer=list)
    matrix = vectorizer.fit_transform(terms).tocsr()
    names = vectorizer.get_feature_names_out()
    known = matrix[labelled]
    proposals = []
    for first in range(0, len(articles), _BLOCK):
        likeness = (matrix[first : first + _BLOCK] @ known.T).toarray()
        for row, article in enumerate(articles[first : first + _BLOCK]):
            number = first + row
            near = [n for n in np.argsort(-likeness[row], kind="stable")[: _NEIGHBOURS + 1] if labelled[n] != number]
            alike = {labelled[n]: float(likeness[row, n]) for n in near[:_NEIGHBOURS]}
            alike = {n: value for n, value in alike.items() if value >= _LEAST_LIKENESS}
            for label, votes in _votes(articles, alike).items():
                shared = matrix[number].multiply(matrix[votes].sum(axis=0)).tocoo()
                top = sorted(zip(shared.data, names[shared.col], strict=True), reverse=True)[:3]
                score = _MOST_SIMILAR * sum(alike[n] for n in votes) / sum(alike.values())
                words = tuple(str(word) for _, word in top)
                proposals.append(Proposal(article.product_id, label, round(score, 4), "similar", words))
    return proposals


def _votes(articles: Sequence[Article], alike: Mapping[int, float]) -> dict[str, list[int]]:
    """Label -> the alike products that have it, of labels that enough of them have."""
    votes: dict[str, list[int]] = defaultdict(list)
    for number in alike:
        for label in articles[number].labels:
            votes[label].append(number)
    whole = sum(alike.values())
    return {
        label: given
        for label, given in sorted(votes.items())
        if len(given) >= _LEAST_NEIGHBOURS and sum(alike[n] for n in given) >= _LEAST_SHARE * whole
    }


def _by_terms(articles: Sequence[Article], tokenize: Tokenize) -> list[Proposal]:
    """Source 3: from names only, as descriptions are full of words that say nothing of the product."""
    names = [normal(article.name) for article in articles]
    cut = [list(found) for found in tokenize(names)]
    pairs = [_pairs(name, terms) for name, terms in zip(names, cut, strict=True)]
    having = [
        [term for term in dict.fromkeys([*terms, *joined]) if len(term) > 1 and not term.isdigit()]
        for terms, joined in zip(cut, pairs, strict=True)
    ]
    scores = _term_scores(having, [terms[-1] if terms else "" for terms in cut])
    count = Counter(term for terms in having for term in terms)
    superfluous = _superfluous({pair: parts for found in pairs for pair, parts in found.items()}, count)
    known = {normal(c) for a in articles for c in a.categories} | set(label_words(in_english=False))
    ranked = sorted(scores.keys() - superfluous - known, key=lambda term: (-scores[term], term))
    wanted = {term: scores[term] for term in ranked[:_MOST_TERMS]}
    proposals = []
    for article, terms in zip(articles, having, strict=True):
        mine = sorted((term for term in terms if term in wanted), key=lambda term: (-wanted[term], term))
        proposals += [
            Proposal(article.product_id, term, round(wanted[term], 4), "term", (term,))
            for term in mine[:_MOST_TERMS_EACH]
        ]
    return proposals


def _pairs(name: str, terms: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Neighbouring terms as they stand together in the name -> the two."""
    found = {}
    for left, right in pairwise(terms):
        joined = f"{left}{right}" if _HAN.search(left + right) else f"{left} {right}"
        if joined in name:
            found[joined] = (left, right)
    return found


def _term_scores(having: Sequence[Sequence[str]], heads: Sequence[str]) -> dict[str, float]:
    """Term -> how much it behaves like an attribute (see the module), of those that do enough. The head of a name is
    its last term, which says what kind of thing it is."""
    count = Counter(term for terms in having for term in terms)
    kinds: dict[str, set[str]] = defaultdict(set)
    as_head: Counter[str] = Counter()
    for terms, head in zip(having, heads, strict=True):
        for term in terms:
            if term.endswith(head):
                as_head[term] += 1
            else:
                kinds[term].add(head)
    scores = {}
    many = max(_MANY_PRODUCTS, _MANY_OF_CATALOGUE * len(having))
    for term, products in count.items():
        if _LEAST_PRODUCTS <= products <= _MOST_OF_CATALOGUE * len(having) and len(kinds[term]) > 1:
            often = min(1.0, math.log(products) / math.log(many))
            spread = min(1.0, len(kinds[term]) / _MANY_KINDS)
            scores[term] = _MOST_TERM * math.sqrt(often * spread) * (1 - as_head[term] / products)
    return {term: score for term, score in scores.items() if score >= _LEAST_TERM_SCORE}


def _superfluous(pairs: Mapping[str, tuple[str, str]], count: Mapping[str, int]) -> set[str]:
    """Pairs of words that only happen to meet, and words that seldom stand outside one pair."""
    found = set()
    for pair, parts in pairs.items():
        if count[pair] < _TOGETHER * min(count[part] for part in parts):
            found.add(pair)
        else:
            found |= {part for part in parts if count[pair] >= _TOGETHER * count[part]}
    return found
