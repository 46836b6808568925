"""What puts a tag on, as a sentence in the marketer's language, and the words of a rule's conditions."""

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Any

from sqlmodel import Session

from console.tags.evidence import Told, text_of, told
from console.tags.rule_words import Asked, asked_by, rule_sentence
from console.words.catalog import translate
from console.words.marks import bracketed
from console.words.names import DIMENSIONS
from console.words.refusals import told as refusal
from segmentation.history import latest_run
from segmentation.preference.choices import preference_settings
from segmentation.rules.naming import names_of
from segmentation.tags.definitions import BY_PEOPLE, GroupTag, MeasureTag, PreferenceTag, RuleTag, read_definition
from segmentation.tags.ends import known_ends
from segmentation.tags.live import live_tags
from segmentation.tags.measures import MEASURES
from store.errors import BadInput
from store.models import Tag

GROUP_WORDS = {
    "champion": "R、F、M 都高",
    "potential_loyalist": "R 高、至少兩張訂單、F 還不到 5",
    "win_back": "兩張以上訂單，超過兩個購買週期沒有再買",
    "at_risk_spender": "M 高，最近兩個週期的訂單不到前兩個週期的一半",
    "repeat_buyer": "三張以上訂單，最後一次在一個購買週期內",
}
_PREFERENCE_LINES = (
    "分數到 {on} 且佔比到 {share_on} 時貼上，分數低於 {off} 或佔比低於 {share_off} 時取下；分數每 {days} 天減半"
)


class Wording:
    """The words of tags on one page, in one language."""

    def __init__(self, session: Session, language: str) -> None:
        self._session = session
        self._language = language
        self._asked: dict[int, Asked] = {}

    def why(self, tag: Tag, source: str, evidence: Mapping[str, Any] | None) -> list[Told]:
        """The facts of the evidence of an assignment of `tag` that came from `source`."""
        return told(source, evidence, self._asked_of(tag, evidence or {}), self._language)

    def end(self, tag: Tag, source: str, falls_off_on: date | None) -> str:
        """When an assignment of `tag` falls off by itself: a day, never, or that nobody can know."""
        if falls_off_on is not None and (source in BY_PEOPLE or tag.is_active):
            return str(falls_off_on)
        is_kept = source in BY_PEOPLE or not tag.is_active or tag.id in self._known_ends
        return self._t("不會自動取下" if is_kept else "無法預知")

    def sentence(self, tag: Tag) -> str:
        """What puts `tag` on; what is wrong with its definition when it can't be read."""
        try:
            definition: Any = read_definition(tag.source, tag.definition)
            return self._sentence(definition, tag)
        except BadInput as problem:
            return refusal(problem, self._language)

    def _asked_of(self, tag: Tag, evidence: Mapping[str, Any]) -> Asked:
        """Of a rule tag its conditions, none where its rule can't be read; else the name of the evidence's campaign."""
        if tag.source != "rule":
            number = evidence.get("campaign_id")
            return Asked(campaigns=names_of(self._session, {number} if isinstance(number, int) else ()))
        if tag.id not in self._asked:
            try:
                definition: Any = read_definition(tag.source, tag.definition)
                self._asked[tag.id or 0] = asked_by(self._session, definition)
            except BadInput:
                self._asked[tag.id or 0] = Asked()
        return self._asked[tag.id or 0]

    @cached_property
    def _known_ends(self) -> set[int]:
        """Of which tags it is known when they fall off (tags/ends.py)."""
        newest = latest_run(self._session)
        if newest is None:
            return set()
        has_cycle = not newest.settings.get("look_back_days")
        return known_ends(live_tags(self._session), newest.as_of, has_cycle=has_cycle)

    def _sentence(self, definition: Any, tag: Tag) -> str:
        match definition:
            case GroupTag():
                return self._t(GROUP_WORDS[definition.group])
            case MeasureTag():
                return self._measure(definition, tag.cut)
            case PreferenceTag():
                return self._preference(definition)
            case RuleTag():
                return rule_sentence(self._session, definition, self._language)
        return self._t("由人加上：手動、匯入，或點了同名主題的連結。")

    def _preference(self, definition: PreferenceTag) -> str:
        """What is preferred, and the brand's lines for it."""
        dimension = DIMENSIONS.get(definition.dimension, definition.dimension)
        what = f"{self._t('偏好')} {self._t(dimension)} {definition.value}"
        lines = preference_settings(self._session).lines
        line = lines.get(f"{definition.dimension}={definition.value}") or lines.get(definition.dimension)
        if line is None:
            return what
        shares = {"share_on": f"{line.share_on:.0%}", "share_off": f"{line.share_off:.0%}"}
        numbers = {"on": f"{line.on:g}", "off": f"{line.off:g}", "days": f"{line.half_life_days:g}"}
        return what + bracketed(translate(_PREFERENCE_LINES, self._language, **numbers, **shares), self._language)

    def _measure(self, definition: MeasureTag, cut: float | None) -> str:
        name = self._t(MEASURES[definition.measure].chinese)
        if definition.at_least is not None:
            return f"{name} ≥ {definition.at_least:,}"
        if definition.at_most is not None:
            return f"{name} ≤ {definition.at_most:,}"
        if definition.above_mean:
            line, sign = self._t("高於平均"), "≥"
        elif definition.top_percent is not None:
            line, sign = f"{self._t('最高的')} {definition.top_percent}%", "≥"
        else:
            line, sign = f"{self._t('最低的')} {definition.bottom_percent}%", "≤"
        return f"{name} {line}" + (bracketed(f"{sign} {text_of(cut)}", self._language) if cut is not None else "")

    def _t(self, words: str) -> str:
        return translate(words, self._language)
