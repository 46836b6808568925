"""What models and segments are called on a page."""

from flask import g

from segmentation.models import MODELS, Segment

TITLES = {
    "rf11": "十一群（R × F）",
    "nesl": "活躍狀態（NESL）",
    "nesl_personal": "活躍狀態（NESL，個人週期）",
    "rf4": "四群（RF）",
    "rfm3": "三群（RFM）",
    "rfm8": "八群（RFM）",
    "nes": "活躍狀態（NES）",
    "nes_personal": "活躍狀態（NES，個人週期）",
    "activity": "顧客狀態（活躍度）",
}


def name_of(segment: Segment, language: str) -> str:
    """The name of a segment in `language`."""
    return segment.name.replace("_", " ") if language == "en" else segment.chinese


def segment_named(model: str, value: str | None) -> Segment | None:
    """The segment `value` of `model`; None without one."""
    return next((segment for segment in MODELS[model] if segment.name == value), None)


def segment_words(name: str) -> str:
    """The words of an RFM 8 segment in the page's language; – for people in none."""
    segment = next((one for one in MODELS["rfm8"] if one.name == name), None)
    return "–" if segment is None else name_of(segment, g.language)
