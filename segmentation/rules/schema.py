"""The JSON Schema of rules, for programs and editors: made from types.py, published as docs/rules.schema.json."""

from typing import Any

import msgspec

from segmentation.rules.types import Rule

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DECIMAL = {"type": "string", "format": "decimal"}
_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[+-]?\d+(\.\d{1,4})?$"}]}


def rule_schema() -> dict[str, Any]:
    """The schema as JSON values. It says the shape; what belongs together (one test per attribute, from before until,
    segments of their model) read_rule checks."""
    (schema,), parts = msgspec.json.schema_components([Rule], ref_template="#/$defs/{name}")
    whole = {"$schema": DRAFT, "title": "Rule", **schema, "$defs": parts}
    told: dict[str, Any] = _told(whole)
    return told


def _told(value: Any) -> Any:
    """Limits are numbers or text; a field that is left out is left out, never null."""
    if value == _DECIMAL:
        return dict(_NUMBER)
    if isinstance(value, dict):
        return {name: _told(inner) for name, inner in value.items() if not (name == "default" and inner is None)}
    return [_told(inner) for inner in value] if isinstance(value, list | tuple) else value
