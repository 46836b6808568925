"""`retarget segment`: what its tables show."""

import io
from decimal import Decimal

from rich.console import Console

from segmentation.history import SegmentSize
from segmentation.models import RF11
from service.cli.segment import _table


def test_advice_is_shown_whole_in_a_narrow_terminal() -> None:
    shown = io.StringIO()
    sizes = [SegmentSize(segment, 23_570, Decimal("1234567.89")) for segment in RF11]
    Console(file=shown, width=80).print(_table("rf11", sizes))
    assert "…" not in shown.getvalue()
