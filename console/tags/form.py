"""The definition of a tag as a form, and back: by hand, by a rule (a saved one, or rows), by a line over a measure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.frame.typed import as_number
from console.rules.form import Row, as_rows, filled, new_row, read_form, rule_of
from segmentation.rules.reading import read_rule
from segmentation.rules.types import to_builtins

KINDS = ("fact", "model", "predictive")
LINES = ("at_least", "at_most", "top_percent", "bottom_percent", "above_mean")
PERCENTS = ("top_percent", "bottom_percent")
FORETELLS = ("buys", "churns")
WRITTEN = "="  # in place of a saved rule's name: the second rule stays as it was written out
EMPTY = Row("all", rows=(new_row("orders"),))


@dataclass(frozen=True)
class TagForm:
    """What the form shows. `fields` as text; `rows` of the rule that is written here; `text` its JSON where rows can't
    say it (None: they can)."""

    source: str
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    rows: Row = EMPTY
    text: str | None = None


def form_of_tag(name: str, source: str, kind: str, definition: Mapping[str, Any]) -> TagForm:
    """The form of a tag as it stands."""
    fields = {"kind": kind}
    if source == "measure":
        line = next((one for one in LINES if definition.get(one)), LINES[0])
        line = next((one for one in LINES[:-1] if definition.get(one) is not None), line)
        value = "" if line == "above_mean" else str(definition.get(line, ""))
        fields |= {"measure": definition["measure"], "line": line, "amount": value}
    if source != "rule":
        return TagForm(source, name, fields)
    until = WRITTEN if definition.get("until") else definition.get("until_rule") or ""
    fields |= {
        "rule": definition.get("rule") or "",
        "until_rule": until,
        "foretells": definition.get("foretells") or "",
    }
    when = definition.get("when")
    rows = as_rows(when) if when else EMPTY
    text = json.dumps(when, ensure_ascii=False, indent=2) if rows is None else None
    return TagForm(source, name, fields, rows or EMPTY, text)


def read_tag_form(form: Mapping[str, str], source: str, name: str) -> TagForm:
    """What was typed, after what a button of the rows asks for."""
    names = ("kind", "measure", "line", "amount", "rule", "until_rule", "foretells")
    fields = {one: form.get(one, "").strip() for one in names}
    return TagForm(source, name, fields, read_form(form), form.get("json"))


def definition_of(given: TagForm, before: Mapping[str, Any]) -> dict[str, Any]:
    """The definition that the form says, for catalogue.create_tag or change_tag, which say what is wrong with it.
    `before`: the one that it takes the place of. Raises RuleError for JSON that says no rule."""
    if given.source == "measure":
        line = given.fields["line"]
        amount = given.fields["amount"]
        value: Any = line == "above_mean" or as_number(amount.rstrip("%％") if line in PERCENTS else amount)
        return {"measure": given.fields["measure"], line: value}
    if given.source != "rule":
        return {}
    made: dict[str, Any] = {name: given.fields[name] for name in ("rule", "foretells") if given.fields[name]}
    if "rule" not in made:
        made["when"] = rule_of(filled(given.rows)) if given.text is None else to_builtins(read_rule(given.text))
    until = given.fields["until_rule"]
    if until == WRITTEN:
        return made | {"until": before.get("until")}
    return made | ({"until_rule": until} if until else {})
