"""The name of a segment of the audience as the marketer reads it."""

from flask import g

from segmentation.models import MODELS


def segment_words(name: str) -> str:
    """The words of an RFM 8 segment in the page's language; – for people in none."""
    segment = next((one for one in MODELS["rfm8"] if one.name == name), None)
    if segment is None:
        return "–"
    return segment.chinese if g.language == "zh" else segment.name.replace("_", " ")
