"""How a draft's versions compete, and whether expected gain chooses half of the people: the form, and the experiment
that it makes."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from werkzeug.datastructures import MultiDict

from campaigns.experiments.before import Outcome
from campaigns.experiments.design import Experiment
from console.campaigns.draft_wrong import WrongStep

CHOICES = ("fixed", "test_then_winner", "thompson")
OUTCOMES: tuple[Outcome, ...] = ("clicks", "orders")
_NEW = Experiment()
NEW_EXPERIMENT: dict[str, Any] = {
    "choice": _NEW.choice,
    "outcome": _NEW.outcome,
    "test_percent": str(_NEW.test_percent),
    "waves": str(_NEW.waves),
    "wait_hours": str(_NEW.wait_minutes // 60),
    "deadline_hours": str(_NEW.deadline_minutes // 60),
    "learned": "",
}
MOST_HOURS = 30 * 24


def experiment_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The form's fields; those of drafts from before there were experiments are the usual ones."""
    return {**NEW_EXPERIMENT, **values.get("experiment", {})}


def read_experiment(form: MultiDict[str, str]) -> dict[str, Any]:
    """What the form says."""
    found = {name: form.get(name, str(usual)).strip() for name, usual in NEW_EXPERIMENT.items()}
    choice, outcome = found["choice"], found["outcome"]
    known = {
        "choice": choice if choice in CHOICES else "fixed",
        "outcome": outcome if outcome in OUTCOMES else "clicks",
    }
    return {**found, **known}


def experiment_of_draft(values: Mapping[str, Any], holdout: Decimal) -> dict[str, Any] | None:
    """The experiment as a campaign stores it, beside a holdout of so many percent; None: a fixed split for those whom
    the target means. Raises WrongStep at the field."""
    given = experiment_values(values)
    if given["learned"] and holdout <= 0:
        raise WrongStep("policy", "沒有對照組就比不出哪一種選法好：請填大於 0 的對照組。", "holdout")
    learned = {"learned_targeting": True} if given["learned"] else {}
    if given["choice"] == "fixed":
        return learned or None
    wait, deadline = (_whole(given, name, 1, MOST_HOURS) for name in ("wait_hours", "deadline_hours"))
    if deadline < wait:
        raise WrongStep("policy", "期限要晚於等待結果的時間。", "deadline_hours")
    made = {"choice": given["choice"], "outcome": given["outcome"]}
    if given["choice"] == "thompson":
        part = {"waves": _whole(given, "waves", 2, 20)}
    else:
        part = {"test_percent": _whole(given, "test_percent", 1, 90)}
    return {**made, **part, **learned, "wait_minutes": wait * 60, "deadline_minutes": deadline * 60}


def _whole(given: Mapping[str, Any], field: str, least: int, most: int) -> int:
    text = given[field]
    if not (text.isascii() and text.isdigit() and len(text) < 4 and least <= int(text) <= most):
        raise WrongStep("policy", "這個數字不在可以填的範圍裡。", field)
    return int(text)
