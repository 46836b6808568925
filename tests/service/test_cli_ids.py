"""Ids that no database holds are told to be so, whichever command is given one."""

import pytest
from typer.testing import CliRunner

from service.cli import app

TOO_LARGE = "99999999999999999999"


@pytest.mark.parametrize(
    "words",
    [
        ("segment", "history", TOO_LARGE),
        ("segment", "movements", "--model", "rf4", "--after-id", TOO_LARGE),
        ("predict", "ltv", "--customer", TOO_LARGE),
        ("customer", "erase", TOO_LARGE),
        ("campaign", "show", TOO_LARGE),
        ("campaign", "results", TOO_LARGE),
        ("experiment", "arms", TOO_LARGE),
    ],
)
def test_an_id_that_no_database_holds_is_refused(words: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 2
    assert "9223372036854775807" in answer.output
