"""Why a tag is on somebody, or came off, in the marketer's words: from the evidence that is stored with it, and as of
which day that was so. Evidence is written when a tag goes on, and again only when its strength or its last day moves.

Never people's sentences: evidence holds values, days and ids only, and notes of the brand's own people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.tags.rule_words import Asked, told_of
from console.words.catalog import translate
from console.words.marks import bracketed
from console.words.names import EVIDENCE


@dataclass(frozen=True)
class Told:
    """One fact of the evidence: its name and its value, in the language of the page."""

    name: str
    value: str


def told(source: str, evidence: Mapping[str, Any] | None, asked: Asked, language: str) -> list[Told]:
    """The facts of `evidence` as its `source` (of the CustomerTag) wrote it, and their day; empty for none."""
    if not evidence:
        return []
    if source == "rule":
        rows = _of_rule(evidence, asked, language)
    elif source == "preference":
        rows = _of_preference(evidence, language)
    else:
        facts = dict(evidence)
        if "measure" in facts:  # its name and its value are one fact
            facts = {facts.pop("measure"): facts.pop("value", None), **facts}
        number = facts.get("campaign_id")
        if isinstance(number, int) and number in asked.campaigns:
            facts["campaign_id"] = asked.campaigns[number]
        rows = [_fact(name, value, language) for name, value in facts.items() if name not in ("as_of", "group")]
    as_of = evidence.get("as_of")
    return rows if as_of is None else [*rows, Told(translate("當時", language), f"{as_of} 00:00")]


def _of_rule(evidence: Mapping[str, Any], asked: Asked, language: str) -> list[Told]:
    """What was found for each condition; by the condition's path where the rule has changed since."""
    found, mark = evidence.get("found") or {}, evidence.get("mark", asked.mark)
    if mark != asked.mark:
        changed = Told(translate("規則後來改過", language), translate("當時找到的值", language))
        return [changed, *(Told(path, text_of(value)) for path, value in found.items())]
    return [
        Told(*told_of(asked.conditions[path], value, language, asked.campaigns))
        if path in asked.conditions
        else Told(path, text_of(value))
        for path, value in found.items()
    ]


def _of_preference(evidence: Mapping[str, Any], language: str) -> list[Told]:
    score, line = evidence.get("score"), "off" if evidence.get("off_by") else "on"
    beside = bracketed(f"{translate(_LINES[line], language)} {evidence.get(line)}", language)
    rows = [Told(translate("分數", language), text_of(score) + beside)]
    rows.append(Told(translate("佔比", language), f"{float(evidence.get('share') or 0):.0%}"))
    if evidence.get("ahead"):
        rows.append(Told(translate("現在更在意", language), str(evidence["ahead"])))
    for signal in evidence.get("signals") or ():
        what = translate(EVIDENCE[signal["source"]], language) if signal["source"] in EVIDENCE else signal["source"]
        about = f" {signal['sku']}" if signal.get("sku") else ""
        rows.append(Told(str(signal["day"]), f"{what}{about} +{float(signal['weight']):.2f}"))
    return rows


_LINES = {"on": "貼上門檻", "off": "取下門檻"}


def _fact(name: str, value: Any, language: str) -> Told:
    if name in ("reason", "above") and value in EVIDENCE:
        value = translate(EVIDENCE[value], language)
    return Told(translate(EVIDENCE[name], language) if name in EVIDENCE else name, text_of(value))


def text_of(value: Any) -> str:
    """A value of evidence as marketers read it: small numbers to four places, from 1,000 on whole."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
