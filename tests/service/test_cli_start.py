"""A command starts at once: it brings in nothing that takes long and that it doesn't need."""

import subprocess
import sys

import pytest
from typer.main import get_command

from service.cli import COMMANDS, LazyCommands, app

SLOW = ("linebot", "sklearn", "pandas", "scipy.stats")  # a half to one and a half seconds each


@pytest.mark.parametrize("group", ["segment", "rule", "tag", "predict", "product"])
def test_a_group_of_commands_on_customers_brings_in_nothing_slow(group: str) -> None:
    code = f"import sys, service.cli.{group}; print([name for name in {SLOW} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_the_help_brings_in_no_command_at_all() -> None:
    code = """
import sys
from typer.testing import CliRunner
from service.cli import app
told = CliRunner().invoke(app, ["--help"])
print(told.exit_code, "keywords" in told.stdout, [name for name in sys.modules if name.startswith("service.cli.")])
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "0 True []"


def test_the_help_says_of_each_command_what_it_says_of_itself() -> None:
    group = get_command(app)
    assert isinstance(group, LazyCommands)
    for name, (_, line) in COMMANDS.items():
        command = group.get_command(None, name)
        assert command is not None
        assert command.get_short_help_str(limit=1_000).startswith(line.rstrip(".")), name
