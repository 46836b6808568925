"""The further messages of a draft, each some time after the one before, and what ends the way; as its form has them."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from werkzeug.datastructures import MultiDict

from campaigns.planning.plan import MAX_WAIT_MINUTES
from console.campaigns.draft_wrong import WrongStep
from store.errors import NotFound

MOST_STEPS = 8  # besides the first
UNITS = {"minutes": 1, "hours": 60, "days": 24 * 60}  # in minutes
EVERYBODY = ""
DIDS = ("not clicked", "clicked", "not bought", "bought")  # as campaigns/planning/conditions.py reads them
GOALS = ("bought", "clicked")
FIRST = "first"
NEW_CONTENT: dict[str, Any] = {"variants": [{"messages": [{"kind": "text", "text": ""}], "weight": "1"}]}
NEW_STEP: dict[str, Any] = {"wait": "3", "unit": "days", "condition": EVERYBODY, **NEW_CONTENT}


def later_steps(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps after the first, in turn: wait, unit, condition, variants."""
    found: list[dict[str, Any]] = values.get("steps", [])
    return found


def first_step(values: Mapping[str, Any]) -> dict[str, Any]:
    """When and for whom the first step is, of those whom an event makes enter."""
    return {"wait": "", "unit": "hours", "condition": EVERYBODY, **values.get(FIRST, {})}


def content_of(values: Mapping[str, Any], place: int) -> Any:
    """What holds the `variants` of a step; 0 is the first. Raises NotFound."""
    if place == 0:
        return values
    if not 0 < place <= len(later_steps(values)):
        raise NotFound(f"the draft has no step {place + 1}")
    return later_steps(values)[place - 1]


def place_of(form: Mapping[str, str]) -> int:
    """The step that a form or an address is about."""
    text = form.get("place", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def read_then(values: dict[str, Any], form: MultiDict[str, str]) -> None:
    """Waits and conditions of each step, the goal, and what a button asks for: add-step, drop-step-0."""
    values["goal"] = form.get("goal", "").strip()
    if f"{FIRST}-wait" in form:
        values[FIRST] = _timing(form, FIRST)
    steps, pressed = later_steps(values), form.get("press", "")
    for place, one in enumerate(steps):
        if f"s{place}-wait" in form:
            one.update(_timing(form, f"s{place}"))
    if pressed == "add-step" and len(steps) < MOST_STEPS:
        steps = [*steps, deepcopy(NEW_STEP)]
    values["steps"] = [one for place, one in enumerate(steps) if pressed != f"drop-step-{place}"]


def _timing(form: MultiDict[str, str], name: str) -> dict[str, str]:
    unit = form.get(f"{name}-unit", "days")
    return {
        "wait": form.get(f"{name}-wait", "").strip(),
        "unit": unit if unit in UNITS else "days",
        "condition": form.get(f"{name}-condition", EVERYBODY).strip(),
    }


def wait_minutes(one: Mapping[str, Any], name: str) -> int:
    """How long a step waits; `name` is that of its fields. Of the first, empty is not at all. Raises WrongStep."""
    text = one["wait"] or ("0" if name == FIRST else "")
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise WrongStep("then", "等待要是 0 以上的整數。", f"{name}-wait")
    minutes = int(text) * UNITS[one["unit"]]
    if minutes > MAX_WAIT_MINUTES:
        raise WrongStep("then", "最多等一年。", f"{name}-wait")
    return minutes


def conditions_of(values: Mapping[str, Any], *, has_trigger: bool) -> dict[str, str]:
    """Field -> the condition that it says, in words; those that say none left out."""
    found = {"goal": values.get("goal", "")}
    if has_trigger:
        found[f"{FIRST}-condition"] = first_step(values)["condition"]
    found |= {f"s{place}-condition": one["condition"] for place, one in enumerate(later_steps(values))}
    return {field: words for field, words in found.items() if words}
