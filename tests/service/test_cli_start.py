"""A command starts at once: it brings in nothing that takes long and that it doesn't need."""

import subprocess
import sys

import pytest

SLOW = ("linebot", "sklearn", "pandas", "scipy.stats")  # a half to one and a half seconds each


@pytest.mark.parametrize("group", ["segment", "rule", "tag", "predict", "product"])
def test_a_group_of_commands_on_customers_brings_in_nothing_slow(group: str) -> None:
    code = f"import sys, service.cli.{group}; print([name for name in {SLOW} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
