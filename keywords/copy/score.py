"""Score my copy: the click rate that a text may expect, which of its words carry or cost, and what to try instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keywords.copy.data import slot_words
from keywords.copy.facts import Given, invented
from keywords.copy.suggestion import GIVEN_KINDS, terms_within
from keywords.effects.learning import Learning
from keywords.effects.prediction import Joint, Prediction, Situation, ground_of, joint_of
from keywords.text.lexicon import categories
from keywords.text.patterns import Kind
from keywords.text.tokenizer import Tokenizer
from keywords.text.vocabulary import is_class

Verdict = Literal["carries", "costs", "open", "unknown"]  # above nil, below, neither is sure; never learned
MAX_REPLACEMENTS = 5
_EACH = 2  # replacements of one term
_KINDS = ("articles", "qualities", "offers")  # of a category: none stands where another does


@dataclass(frozen=True)
class Part:
    """A term of the text and what it adds to the log-odds of a click; of an unknown one, what any term may add."""

    term: str
    effect: float
    low: float
    high: float
    messages: int  # that had it; 0: unknown
    verdict: Verdict
    words: tuple[str, ...] = ()  # of a phrase, whose effect is what it adds to theirs


@dataclass(frozen=True)
class Replacement:
    """A term of the same kind in the place of another, and what that adds, with its 90 % interval (log-odds)."""

    term: str
    by: str
    gain: float
    low: float
    high: float
    messages: int  # that had `by`


@dataclass(frozen=True)
class Score:
    """`prediction` None: nothing was sent yet. `unseen`: of the situation, what nothing was ever sent to."""

    text: str
    prediction: Prediction | None
    parts: list[Part]  # in the order of the text
    replacements: list[Replacement]  # the greatest gain first
    unseen: tuple[str, ...]


def score(text: str, learning: Learning | None, tokenizer: Tokenizer, situation: Situation) -> Score:
    """What `text` may expect in `situation`. Pure: the same learning, the same answer."""
    ground = ground_of(learning) if learning is not None else None
    terms = list(dict.fromkeys(terms_within(text, learning, tokenizer)))
    swaps = _swaps(text, terms, learning, tokenizer, situation)
    joint = joint_of(ground, [*terms, *(by for _, by in swaps)], situation)
    return Score(
        text=text,
        prediction=joint.predict([terms])[0] if joint.is_learned else None,
        parts=parts_of(terms, joint, learning),
        replacements=_replacements(swaps, joint, learning),
        unseen=joint.unseen,
    )


def parts_of(terms: Sequence[str], joint: Joint, learning: Learning | None) -> list[Part]:
    """Each of `terms`, with what it adds."""
    return [_part(term, joint, learning) for term in terms]


def _part(term: str, joint: Joint, learning: Learning | None) -> Part:
    effect, low, high = joint.effect([term])
    if term not in joint.known:
        return Part(term, effect, low, high, 0, "unknown")
    verdict: Verdict = "carries" if low > 0 else "costs" if high < 0 else "open"
    words = learning.phrases.get(term, ()) if learning is not None else ()
    return Part(term, effect, low, high, _messages(term, learning), verdict, words)


def _messages(term: str, learning: Learning | None) -> int:
    place = learning.place(term) if learning is not None else None
    return 0 if learning is None or place is None else int(learning.message_count[place])


def _swaps(
    text: str, terms: Sequence[str], learning: Learning | None, tokenizer: Tokenizer, situation: Situation
) -> list[tuple[str, str]]:
    """(Term of the text, learned term of the same kind that may stand there), promising nothing that isn't there."""
    if learning is None:
        return []
    given = Given(tokenizer, situation.theme or "", offers=(text,))
    wanted = {term: roles_of(term, tokenizer) for term in terms}
    free = [
        (term, roles_of(term, tokenizer))
        for term in learning.terms
        if term not in wanted and not is_class(term) and term not in learning.phrases and not invented(term, given)
    ]
    return [(term, by) for term, roles in wanted.items() for by, others in free if roles & others]


def roles_of(term: str, tokenizer: Tokenizer) -> frozenset[str]:
    """What a term is in a line: an emoji, a word of a slot, an article of a category. Empty: nothing known, or a
    discount, price, count or date, which no other term can stand for."""
    kinds = {token.kind for token in tokenizer.tokenize(term)}
    if kinds & GIVEN_KINDS:
        return frozenset()
    if kinds == {Kind.EMOJI}:
        return frozenset({"emoji"})
    slots = {slot for slot, words in slot_words().items() if term in words}
    return frozenset(slots or {f"{c.name} {kind}" for c in categories() for kind in _KINDS if term in getattr(c, kind)})


def _replacements(swaps: Sequence[tuple[str, str]], joint: Joint, learning: Learning | None) -> list[Replacement]:
    found = [
        Replacement(term, by, *joint.effect([by], less=[term]), messages=_messages(by, learning)) for term, by in swaps
    ]
    best: list[Replacement] = []
    for one in sorted(found, key=lambda r: -r.gain):
        if one.gain > 0 and sum(other.term == one.term for other in best) < _EACH and len(best) < MAX_REPLACEMENTS:
            best.append(one)
    return best
