"""Whole lines from a theme: templates filled with the terms that promise clicks and what the marketer gave.

Every way to fill the templates is scored by the joint posterior of all terms for the segment and hour ("safe": by the
expected effect; "explore": by one draw of all effects together). Lines are then taken one by one, less willingly if
they repeat words of those taken or of what the people got lately. What the marketer gave always stands in them whole:
an offer without its condition or its last day would be another offer. Nothing is read or written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from keywords.copy.data import FORMS, Template, slot_words
from keywords.copy.facts import invented
from keywords.copy.judging import Ground, Notice, claims_in, notices, refusal, utf16_units
from keywords.copy.recent import ALIKE, likenesses, worn_terms
from keywords.copy.score import Part, parts_of
from keywords.copy.suggestion import Fitting, Mode, fitting_terms, terms_within
from keywords.effects.learning import Learning
from keywords.effects.prediction import Joint, Prediction, Situation, ground_of, joint_of
from store.errors import BadInput

Floats = NDArray[np.float64]

AT_LEAST = 5  # lines of a request
DRAWS = 200  # that a propensity is counted on
_PRODUCTS, _WORDS = 8, 8  # tried in a slot, those that might promise most
# What it costs a line, in log-odds, to repeat: a word or template of a line already taken, its urgency and product
# together, a worn term, a recent text.
_USED, _USED_BOTH, _WORN, _REPEATED = 0.12, 1.0, 0.1, 0.5


@dataclass(frozen=True)
class Line:
    """A line that may be sent. `prediction` None: nothing was sent yet."""

    text: str
    form: str
    prediction: Prediction | None
    parts: list[Part]  # the terms that made it, and what each adds
    notices: list[Notice]
    units: int  # UTF-16 units, as LINE counts
    propensity: float | None  # 0..1, above 0: the chance that this request showed it; None: a writer's, not known
    by: str  # "template" | "writer"

    @property
    def terms(self) -> list[str]:
        """Its terms, as the model knows them."""
        return [part.term for part in self.parts]


@dataclass(frozen=True)
class Dropped:
    """A line that may not be proposed, and why."""

    text: str
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    situation: Situation  # its theme is the theme
    form: str = "message"
    count: int = AT_LEAST
    mode: Mode = "safe"


@dataclass(frozen=True)
class _Filled:
    """A template filled: the words in its slots, in order."""

    template: Template
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.template.text.format(**dict(zip(self.template.slots, self.words, strict=True)))


def compose(wanted: Wanted, learning: Learning | None, ground: Ground, rng: np.random.Generator) -> list[Line]:
    """The best lines for `wanted`, different from each other, the best first; `wanted.count` of them if so many may be
    built. Same `rng` state, same lines. Raises BadInput for an unknown form, for words of the marketer's that are
    blocked, and where no line fits the length."""
    if wanted.form not in FORMS:
        raise BadInput(f"there is no form {wanted.form!r}; the forms are {', '.join(FORMS)}")
    refuse_blocked(ground)
    filled, terms, joint = _candidates(wanted, learning, ground)
    if not filled:
        most = ground.settings.units(wanted.form)
        raise BadInput(
            f"no {wanted.form} fits {most} units: give shorter offers, raise {wanted.form}_units, or add a template"
            f" {'with' if ground.given.offers else 'without'} {{offer}}"
        )
    uses = _uses(filled)
    score = joint.mean if wanted.mode == "safe" else joint.draws(rng, 1)[0]
    weights = joint.weights(terms)
    burden = _burdens(filled, terms, ground)
    taken = _take(weights @ score - burden, uses, wanted.count)
    # each word by itself promises nothing new; a brand's template may, or two words that read as a third: it falls out
    while refused := {i: why for i in taken if (why := refusal(filled[i].text, wanted.form, ground)) is not None}:
        burden[list(refused)] = np.inf
        taken = _take(weights @ score - burden, uses, wanted.count)
        if not taken:
            raise BadInput(f"no {wanted.form} may be proposed: {next(iter(refused.values()))}")
    taken.sort(key=lambda i: -float(weights[i] @ score))
    shown = np.ones(len(filled))
    if wanted.mode == "explore":
        drawn = (_take(weights @ one - burden, uses, wanted.count) for one in joint.draws(rng, DRAWS))
        counts = np.bincount([i for lines in drawn for i in lines], minlength=len(filled))
        shown = (counts + 1) / (DRAWS + 1)  # with this request, which showed what it shows
    return [
        replace(judged(filled[i].text, wanted, learning, ground), propensity=float(shown[i]), by="template")
        for i in taken
    ]


def judged(text: str, wanted: Wanted, learning: Learning | None, ground: Ground) -> Line:
    """`text`, which may be proposed, as a line with its prediction, terms and notices."""
    terms = list(dict.fromkeys(terms_within(text, learning, ground.tokenizer)))
    joint = joint_of(ground_of(learning) if learning is not None else None, terms, wanted.situation)
    return Line(
        text=text,
        form=wanted.form,
        prediction=joint.predict([terms])[0] if joint.is_learned else None,
        parts=parts_of(terms, joint, learning),
        notices=notices(text, ground),
        units=utf16_units(text),
        propensity=None,
        by="writer",
    )


def judge_written(
    texts: Iterable[str], wanted: Wanted, learning: Learning | None, ground: Ground
) -> tuple[list[Line], list[Dropped]]:
    """A writer's lines, judged as ours are: those that may be proposed, the best first, and the others with why not."""
    lines, dropped = [], []
    for text in dict.fromkeys(text.strip() for text in texts):
        reason = refusal(text, wanted.form, ground)
        if reason is None:
            lines.append(judged(text, wanted, learning, ground))
        else:
            dropped.append(Dropped(text, reason))
    return sorted(lines, key=lambda line: -line.prediction.logit if line.prediction else 0.0), dropped


def refuse_blocked(ground: Ground) -> None:
    """Raise BadInput if the marketer's own words hold a blocked one."""
    given = ground.given
    for words in (given.theme, *given.offers, *given.products):
        for claim in claims_in(words, ground.settings.claims(), ground.tokenizer):
            if claim.level == "blocked":
                raise BadInput(f"「{words}」 holds {claim.word}, which is blocked ({claim.why})")


def _candidates(
    wanted: Wanted, learning: Learning | None, ground: Ground
) -> tuple[list[_Filled], list[list[str]], Joint]:
    """Every allowed way to fill the form's templates, the terms of each, and the posterior of them all."""
    given, tokenizer = ground.given, ground.tokenizer
    fitting = fitting_terms(given.theme, learning, tokenizer)
    choices = {
        "urgency": _allowed(slot_words()["urgency"], ground),
        "call": _allowed(slot_words()["call"], ground),
        "product": list(given.products) or _articles(fitting, ground) or [given.theme],
        "offer": ["、".join(given.offers)],
    }
    parts = {word: terms_within(word, learning, tokenizer) for words in choices.values() for word in words}
    stock = ground_of(learning) if learning is not None else None
    joint = joint_of(stock, [term for terms in parts.values() for term in terms], wanted.situation)
    choices["urgency"] = _hopeful(choices["urgency"], parts, joint, _WORDS)
    choices["call"] = _hopeful(choices["call"], parts, joint, _WORDS)
    choices["product"] = _hopeful(choices["product"], parts, joint, _PRODUCTS)
    fits = [t for t in ground.settings.forms(wanted.form) if ("offer" in t.slots) == bool(given.offers)]
    ways = (_Filled(t, words) for t in fits for words in product(*(choices[slot] for slot in t.slots)))
    most = ground.settings.units(wanted.form)
    filled = [way for way in ways if len(set(way.words)) == len(way.words) and utf16_units(way.text) <= most]
    terms = [list(dict.fromkeys(term for word in way.words for term in parts[word])) for way in filled]
    return filled, terms, joint


def _allowed(words: Sequence[str], ground: Ground) -> list[str]:
    """Those of `words` that promise nothing that wasn't given, and that aren't blocked."""
    claims = ground.settings.claims()
    return [
        word
        for word in words
        if not invented(word, ground.given)
        and not any(claim.level == "blocked" for claim in claims_in(word, claims, ground.tokenizer))
    ]


def _articles(fitting: Fitting, ground: Ground) -> list[str]:
    """What is sold, by the theme; no words of other slots, and not one sign alone."""
    taken = {word for words in slot_words().values() for word in words}
    return _allowed([word for word in fitting.articles if word not in taken and len(word) > 1], ground)


def _hopeful(words: Sequence[str], parts: dict[str, list[str]], joint: Joint, count: int) -> list[str]:
    """The `count` words that might promise most: by the upper end of the interval, so that the untried are among them.
    Equals stay in order."""
    if not words:
        return []
    weights = joint.weights([parts[word] for word in words])
    weights[:, 0] = 0.0
    mean, deviation = joint.difference(weights)
    return [words[i] for i in sorted(np.argsort(-(mean + deviation), kind="stable")[:count])]


def _uses(filled: Sequence[_Filled]) -> Floats:
    """Lines x what may be used up; the product of two rows is what repeating costs: each word that both have, the
    template, and their words but for the call together. Offers may come again."""
    names: dict[object, int] = {}
    rows: list[dict[int, float]] = []
    for way in filled:
        words = {slot: word for slot, word in zip(way.template.slots, way.words, strict=True) if slot != "offer"}
        row = {names.setdefault(one, len(names)): np.sqrt(_USED) for one in (way.template, *words.values())}
        words.pop("call", None)
        row[names.setdefault(frozenset(words.values()), len(names))] = np.sqrt(_USED_BOTH)
        rows.append(row)
    uses = np.zeros((len(filled), len(names)))
    for line, row in zip(uses, rows, strict=True):
        line[list(row)] = list(row.values())
    return uses


def _burdens(filled: Sequence[_Filled], terms: Sequence[Sequence[str]], ground: Ground) -> Floats:
    """What it costs each line that the people got the like lately."""
    used = {term for row in terms for term in row}
    worn = set(worn_terms(used, ground.recent, ground.settings.worn_messages))
    burden = np.array([_WORN * len(worn.intersection(row)) for row in terms])
    repeats = likenesses([way.text for way in filled], ground.recent).max(axis=1, initial=0.0) >= ALIKE
    return np.asarray(burden + _REPEATED * repeats)


def _take(scores: Floats, uses: Floats, count: int) -> list[int]:
    """The places of `count` lines, the best first; those of -inf never."""
    left, taken = scores.copy(), []
    for _ in range(min(count, int(np.isfinite(scores).sum()))):
        best = int(np.argmax(left))
        taken.append(best)
        left -= uses @ uses[best]
        left[best] = -np.inf
    return taken
