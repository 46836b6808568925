"""Which tables of facts a renewal reads."""

from typing import Any

import pytest
from sqlalchemy import Engine

from segmentation.tags.catalogue import create_tag
from segmentation.tags.needs import needed_facts
from store.engine import transaction
from tests.factories import LONG_AGO

IN_NEW: dict[str, Any] = {"type": "segment", "model": "rf4", "in": ["new"]}


@pytest.mark.parametrize(
    ("source", "definition", "needed"),
    [
        ("measure", {"measure": "monetary", "at_least": "1"}, set()),
        ("measure", {"measure": "p_buy", "at_least": "0.5"}, {"predictions"}),
        ("rule", {"when": {"type": "measure", "name": "frequency", "at_least": 2}}, set()),
        ("rule", {"when": {"type": "measure", "name": "spend_90", "at_least": 2}}, {"predictions"}),
        ("rule", {"when": IN_NEW}, set()),
        ("rule", {"when": {**IN_NEW, "days_ago": 30}}, {"changes", "runs"}),
        (
            "rule",
            {"when": {"type": "age", "at_least": 20}, "until": {**IN_NEW, "on": "2026-01-01"}},
            {"changes", "runs"},
        ),
        ("rule", {"when": {"type": "moved", "model": "rf4", "to": ["new"]}}, {"changes"}),
        ("rule", {"when": {"type": "orders", "measure": "quantity", "at_least": 1}}, {"orders", "lines", "products"}),
        ("rule", {"when": {"type": "clicks", "at_least": 1}}, {"events", "products"}),
    ],
)
def test_only_what_the_tags_look_at_is_read(
    engine: Engine, source: str, definition: dict[str, Any], needed: set[str]
) -> None:
    with transaction(engine) as session:
        create_tag(session, "it", source=source, definition=definition, now=LONG_AGO)
        assert needed_facts(session) == {"customers", *needed}
