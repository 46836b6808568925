"""The editor's forms read into a draft's values, and the small changes that their buttons make."""

from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.datastructures import MultiDict

from campaigns.sending.ways import AUTO, WAYS
from console.campaigns.draft_content import Pressed, press, read_variants
from console.campaigns.draft_experiment import read_experiment
from console.campaigns.draft_steps import content_of, place_of, read_then
from console.campaigns.draft_when import read_when

Form = MultiDict[str, str]


def read_who(values: dict[str, Any], form: Form) -> None:
    """Targets and exclusions, and over which channel they are written to."""
    values["any_of"] = list(dict.fromkeys(form.getlist("any_of")))
    values["none_of"] = list(dict.fromkeys(form.getlist("none_of")))
    values["channel"] = form.get("channel", "")


def read_what(values: dict[str, Any], form: Form) -> Pressed:
    """Variants of a step, theme and the links' topics, and what a button asks for. Raises NotFound for a step that is
    gone."""
    content = content_of(values, place_of(form))
    values["theme"] = form.get("theme", "").strip()
    values["topics"] = {**values["topics"], **dict(zip(form.getlist("topic-url"), form.getlist("topic"), strict=False))}
    content["variants"] = read_variants(form) or content["variants"]
    return press(content["variants"], form.get("press", ""))


def read_policy(values: dict[str, Any], form: Form) -> None:
    """How it is sent, and whom it leaves out to measure by."""
    way = form.get("way", AUTO)
    values["way"] = way if way in (AUTO, *WAYS) else AUTO
    for name in ("holdout", "priority", "reply_first_hours", "conversion_days"):
        values[name] = form.get(name, "").strip()
    values["uncapped"] = "uncapped" in form
    values["experiment"] = read_experiment(form)


# Step -> what reads its form into the draft's values; the content's also tells what its buttons did
READERS: Mapping[str, Callable[[dict[str, Any], Form], Pressed | None]] = {
    "who": read_who,
    "what": read_what,
    "when": read_when,
    "then": read_then,
    "policy": read_policy,
}
