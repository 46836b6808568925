"""`retarget bench`: what it refuses."""

import pytest

from service.cli.bench import bench
from store.errors import BadInput


@pytest.mark.parametrize(
    ("subject", "scales", "sentence"),
    [
        ("nothing", {}, "there is no benchmark 'nothing'"),
        ("rules", {"large": True}, "a scale of segmentation alone"),
        ("all", {"large": True}, "a scale of segmentation alone"),
        ("segmentation", {"large": True, "quick": True}, "no --quick one"),
    ],
)
def test_what_there_is_not_is_refused(subject: str, scales: dict[str, bool], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        bench(subject, **scales)
