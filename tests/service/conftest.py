"""The command line as tests of the service call it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.settings import Settings

Retarget = Callable[..., Any]


@pytest.fixture
def command_line(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[typer.Typer], Retarget]:
    """Call with an application of the command line: a function that takes the words after its name and gives standard
    output, parsed when it is asked for as JSON. That raises what the command raises."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")  # tables that don't wrap their words
    monkeypatch.chdir(tmp_path)

    def of(app: typer.Typer) -> Retarget:
        def run(*words: str) -> Any:
            result = CliRunner().invoke(app, list(words))
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            assert result.exit_code == 0, result.output
            return json.loads(result.stdout) if "--json" in words else result.stdout

        return run

    return of
