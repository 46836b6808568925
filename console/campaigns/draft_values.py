"""What the editor's forms hold of a campaign, and the plan that it makes.

Plain JSON, kept whatever is wrong in it: a half-written campaign must not be lost. What is wrong is told when the plan
is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.audience.target import Audience
from campaigns.content.languages import check_languages
from campaigns.content.message import check_messages, links_in
from campaigns.planning.plan import Plan, StepPlan, VariantPlan
from campaigns.sending.ways import AUTO
from console.campaigns.draft_experiment import NEW_EXPERIMENT, experiment_of_draft
from console.campaigns.draft_steps import (
    EVERYBODY,
    FIRST,
    NEW_CONTENT,
    content_of,
    first_step,
    later_steps,
    wait_minutes,
)
from console.campaigns.draft_when import NEW_WHEN, trigger_of, when_of
from console.campaigns.draft_wrong import WrongStep
from console.campaigns.message_parts import messages_of
from console.frame.typed import as_number
from store.errors import BadInput

NAMES = "ABCD"

NEW: dict[str, Any] = {
    "any_of": [],
    "none_of": [],
    "channel": "",  # its name; "": the first
    **NEW_CONTENT,
    "steps": [],
    "goal": "",
    "theme": "",
    "when": NEW_WHEN,
    "at_best_hour": False,
    "ignore_quiet_hours": False,
    "way": "auto",
    "holdout": "",  # "": the default of its kind of message
    "experiment": NEW_EXPERIMENT,
    "priority": "0",
    "uncapped": False,
    "reply_first_hours": "",
    "conversion_days": "",  # "": as all campaigns
    "topics": {},
}


def plan_of(name: str, values: Mapping[str, Any], *, zone: ZoneInfo, now: datetime, conversion_days: int) -> Plan:
    """The plan, without its time (see `when_of`): it is checked when it is stored. Raises WrongStep."""
    trigger = trigger_of(values)
    if not values["any_of"]:
        raise WrongStep("who", "請至少選一個對象。")
    when_of(values, zone=zone, now=now)
    if trigger is not None and values["way"] == "narrowcast":
        raise WrongStep("policy", "名單廣播一次發給所有人，不能由事件觸發。", "way")
    if values["way"] == "narrowcast" and later_steps(values):
        raise WrongStep("policy", "名單廣播一次發給所有人，不能分成幾步。", "way")
    steps = _steps(values, has_trigger=trigger is not None)
    contents = (content for one in steps for v in one.variants for content in (v.messages, *v.languages.values()))
    holdout = _holdout(values["holdout"])
    links = {link for messages in contents for link in links_in(list(messages))}
    plan = Plan(
        name=name,
        audience=Audience(tuple(values["any_of"]), tuple(values["none_of"])),
        steps=steps,
        at=None,
        way=values["way"],
        holdout_percent=holdout,
        theme=values["theme"].strip() or None,
        conversion_days=_days(values.get("conversion_days", "")) or conversion_days,
        priority=_whole(values["priority"] or "0", "優先順序要是整數。", "priority"),
        reply_first_minutes=_reply_first(values["reply_first_hours"]),
        trigger=trigger,
        is_draft=True,
        is_capped=not values.get("uncapped"),
        keeps_quiet_hours=not values["ignore_quiet_hours"],
        at_best_hour=bool(values["at_best_hour"]),
        goal=values.get("goal") or None,
        topics={url: topic for url, topic in values["topics"].items() if topic.strip() and url in links},
    )
    return replace(plan, experiment=experiment_of_draft(values, plan.holdout))


def _holdout(words: str) -> Decimal | None:
    return _number(words, "policy", "對照組要是 0 到 99 的數字。", "holdout") if words.strip() else None


def _steps(values: Mapping[str, Any], *, has_trigger: bool) -> list[StepPlan]:
    """Every message in its place; the first waits and asks only where an event makes people enter."""
    timed = [(FIRST, first_step(values) if has_trigger else {"wait": "", "unit": "hours", "condition": EVERYBODY})]
    timed += [(f"s{n}", one) for n, one in enumerate(later_steps(values))]
    return [
        StepPlan(
            _variants(content_of(values, place)["variants"], place, values["way"]),
            wait_minutes=wait_minutes(one, name),
            condition=one["condition"] or None,
        )
        for place, (name, one) in enumerate(timed)
    ]


def _variants(variants: Sequence[Mapping[str, Any]], place: int, way: str) -> list[VariantPlan]:
    made = []
    for letter, variant in zip(NAMES, variants, strict=False):
        messages = _checked(variant, letter if len(variants) > 1 else "", place, way)
        languages = {
            _language(one["language"], place): _checked(one, f"{letter} · {one['language']}", place, way)
            for one in variant.get("languages", [])
        }
        try:
            check_languages([one["language"] for one in variant.get("languages", [])])
        except BadInput as error:
            raise WrongStep("what", error, place=place) from error
        weight = _number(variant.get("weight", "1"), "what", "版本的比重要是大於 0 的數字。")
        made.append(VariantPlan(messages, name=letter, weight=float(weight), languages=languages))
    return made


def _checked(content: Mapping[str, Any], version: str, place: int, way: str) -> list[dict[str, Any]]:
    try:
        messages = messages_of(content)
        check_messages(messages, way="push" if way == AUTO else way)
    except BadInput as error:
        raise WrongStep("what", error, place=place, version=version) from error
    return messages


def _language(words: str, place: int) -> str:
    if not words:
        raise WrongStep("what", "請寫出這個版本是哪種語言，例如 en。", place=place)
    return words


def _reply_first(hours: str) -> int | None:
    return (
        int(_number(hours, "policy", "等待回覆的時數要是數字。", "reply_first_hours") * 60) if hours.strip() else None
    )


def _days(words: str) -> int | None:
    if not words:
        return None
    why = "天數要是 1 以上的整數。"
    found = _whole(words, why, "conversion_days")
    if found < 1:
        raise WrongStep("policy", why, "conversion_days")
    return found


def _whole(text: str, why: str, field: str) -> int:
    found = _number(text, "policy", why, field)
    if found != int(found):
        raise WrongStep("policy", why, field)
    return int(found)


def _number(text: str, step: str, why: str, field: str | None = None) -> Decimal:
    try:
        found = Decimal(as_number(text))
    except InvalidOperation as error:
        raise WrongStep(step, why, field) from error
    if not found.is_finite():
        raise WrongStep(step, why, field)
    return found
