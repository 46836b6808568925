"""A campaign's audience in the marketer's words."""

from collections.abc import Mapping

from console.segments.segment_words import name_of
from console.words.catalog import translate
from segmentation.models import MODELS


def audience_words(audience: Mapping[str, list[str]], language: str) -> str:
    """A campaign's audience (Campaign.audience) as one line."""
    wanted = " + ".join(_target_words(target, language) for target in audience["any_of"])
    return " − ".join([wanted, *(_target_words(target, language) for target in audience["none_of"])])


def _target_words(target: str, language: str) -> str:
    """A target (all, tag:NAME, list:NAME or MODEL=SEGMENT) in the marketer's words; as written when it is unknown."""
    if target == "all":
        return translate("所有人", language)
    if target.startswith("tag:"):
        return f"{translate('標籤', language)} {target.removeprefix('tag:')}"
    if target.startswith("list:"):
        return f"{translate('名單', language)} {target.removeprefix('list:')}"
    model, _, name = target.partition("=")
    found = next((segment for segment in MODELS.get(model, ()) if segment.name == name), None)
    return f"{model.upper()} · {name_of(found, language)}" if found else target
