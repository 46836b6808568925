"""Ibis 12 calls a function of DuckDB's that DuckDB 2 calls deprecated: the one warning allowed here."""

from pathlib import Path

import pytest

ALLOWED = r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings(r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning")
            )
