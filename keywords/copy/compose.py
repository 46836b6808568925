"""Whole lines from a theme: templates filled with the terms that promise clicks and what the marketer gave.

Every way to fill the templates is scored by the joint posterior of all terms for the segment and hour ("safe": by the
expected effect, but for one line in ROOM_OF; "explore": by one draw of all effects together). Lines are then taken one
by one, less willingly if they repeat words of those taken or of what the people got lately; a brand's own templates
first, the shipped ones for what they don't fill. What the marketer gave always stands in them whole: an offer without
its condition or its last day would be another offer. Nothing is read or written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keywords.copy.data import FORMS, Template, slot_words, templates
from keywords.copy.facts import invented
from keywords.copy.judging import Ground, Notice, claims_in, notices, refusal, utf16_units
from keywords.copy.recent import ALIKE, likenesses, worn_terms
from keywords.copy.score import Part, parts_of
from keywords.copy.suggestion import Fitting, Mode, fitting_terms, room_of, terms_within
from keywords.copy.taking import Race
from keywords.effects.learning import Learning
from keywords.effects.prediction import Joint, Prediction, Situation, Z, ground_of, joint_of
from store.errors import BadInput

Floats = NDArray[np.float64]

AT_LEAST = 5  # lines of a request
DRAWS = 200  # that a propensity is counted on
_PRODUCTS, _WORDS = 8, 8  # tried in a slot, those that might promise most
# What it costs a line, in log-odds, to repeat: a word or template of a line already taken, its urgency and product
# together, a worn term, a recent text.
_USED, _USED_BOTH, _WORN, _REPEATED = 0.12, 1.0, 0.1, 0.5
_NOT_OWN = 1e3  # the like for a shipped template beside the brand's own: more than any effects


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
    by: Literal["own", "built_in", "writer"]  # a template of the brand's, a shipped one, a model
    is_trial: bool = False  # shown in the room that safe keeps for what is not yet proven

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
    """A template filled: the words in its slots, in order; and whose template it is."""

    template: Template
    words: tuple[str, ...]
    by: Literal["own", "built_in"]

    @property
    def text(self) -> str:
        return self.template.text.format(**dict(zip(self.template.slots, self.words, strict=True)))


def compose(wanted: Wanted, learning: Learning | None, ground: Ground, rng: np.random.Generator) -> list[Line]:
    """The best lines for `wanted`, different from each other, the best first, what safe has in its room last;
    `wanted.count` of them if so many may be built. Same `rng` state, same lines. Raises BadInput for an unknown form,
    for words of the marketer's that are blocked, and where no line fits the length."""
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
    # each word by itself promises nothing new; a brand's template may, or two words that read as a third: it falls out
    why = cache(lambda i: refusal(filled[i].text, wanted.form, ground))
    weights, draws = joint.weights(terms), joint.draws(rng, 1 + DRAWS)
    race = Race(
        expected=weights @ joint.mean,
        drawn=draws @ weights.T,
        is_open=_are_open(terms, joint),
        uses=_uses(filled),
        burden=_burdens(filled, terms, ground),
        may=lambda i: why(i) is None,
        count=wanted.count,
        room=room_of(wanted.count, wanted.mode),
    )
    firm, tried = race.run()
    if not firm and not tried:
        raise BadInput(f"no {wanted.form} may be proposed: {why(0)}")
    shown = race.propensities(firm, tried)
    return [
        replace(
            judged(filled[i].text, wanted, learning, ground),
            propensity=float(shown[i]),
            by=filled[i].by,
            is_trial=wanted.mode == "safe" and i in tried,
        )
        for i in [*firm, *tried]
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
    own = ground.settings.own_templates(wanted.form)
    by: dict[Template, Literal["own", "built_in"]] = {
        **dict.fromkeys((t for t in templates() if t.form == wanted.form), "built_in"),
        **dict.fromkeys(own, "own"),
    }
    fits = [t for t in by if ("offer" in t.slots) == bool(given.offers)]
    ways = (_Filled(t, words, by[t]) for t in fits for words in product(*(choices[slot] for slot in t.slots)))
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
    """What it costs each line that the people got the like lately, and that the brand has templates of its own."""
    used = {term for row in terms for term in row}
    worn = set(worn_terms(used, ground.recent, ground.settings.worn_messages))
    burden = np.array([_WORN * len(worn.intersection(row)) for row in terms])
    repeats = likenesses([way.text for way in filled], ground.recent).max(axis=1, initial=0.0) >= ALIKE
    is_own = np.array([way.by == "own" for way in filled])
    not_own = _NOT_OWN * ~is_own if is_own.any() else 0.0
    return np.asarray(burden + _REPEATED * repeats + not_own)


def _are_open(terms: Sequence[Sequence[str]], joint: Joint) -> NDArray[np.bool_]:
    """Of each line, whether it has a term whose interval spans nil: one that is not yet proven."""
    names = list(joint.terms)
    weights = joint.weights([[name] for name in names])
    weights[:, 0] = 0.0
    mean, deviation = joint.difference(weights)
    is_open = {name for name, spans in zip(names, np.abs(mean) <= Z * deviation, strict=True) if spans}
    return np.array([not is_open.isdisjoint(row) for row in terms], dtype=np.bool_)
