"""A campaign's audience in the marketer's words."""

from collections.abc import Mapping

from console.segments.segment_words import TITLES, name_of
from console.words.catalog import translate
from segmentation.models import MODELS

NAMED = {"tag": "標籤", "list": "名單", "rule": "規則"}


def audience_words(audience: Mapping[str, list[str]], language: str) -> str:
    """A campaign's audience (Campaign.audience) as one line."""
    wanted = " + ".join(_target_words(target, language) for target in audience["any_of"])
    return " − ".join([wanted, *(_target_words(target, language) for target in audience["none_of"])])


def _target_words(target: str, language: str) -> str:
    """A target (all, tag:NAME, list:NAME, rule:NAME or MODEL=SEGMENT) in the marketer's words; as written when it is
    unknown."""
    if target == "all":
        return translate("所有人", language)
    kind, _, name = target.partition(":")
    if kind == "rule" and name.startswith("{"):
        return translate("由條件選出的人", language)
    if kind in NAMED:
        return f"{translate(NAMED[kind], language)} {name}"
    model, _, name = target.partition("=")
    found = next((segment for segment in MODELS.get(model, ()) if segment.name == name), None)
    return f"{translate(TITLES[model], language)} · {name_of(found, language)}" if found else target
