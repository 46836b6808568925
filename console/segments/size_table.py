"""The segments of a model as rows of a table: newest size, and the line over time."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from console.frame.spark import spark
from console.segments.sizes import Size, Sizes
from segmentation.history import SegmentSize
from segmentation.models import Segment, segments_of


def table_rows(model: str, sizes: Sizes) -> list[tuple[SegmentSize, Any]]:
    """Every segment of `model` in the order marketers read them, with its newest size and its line over time."""
    return [(segment_size(s, sizes.newest), spark(sizes.days, sizes.over_time(s.name))) for s in segments_of(model)]


def segment_size(segment: Segment, newest: Mapping[str, Size], name: str | None = None) -> SegmentSize:
    """The size of `segment` in `newest`, where it may go by another `name`; zero when it was not counted."""
    found = newest.get(name or segment.name)
    return SegmentSize(segment, found.customers if found else 0, found.value if found else Decimal(0))
