"""When a draft goes out, as its form holds it: at a time, again and again, or on an event; put together from choices,
or in the words that campaigns/planning reads."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from campaigns.planning.calendar_words import HOLIDAY_WORDS
from campaigns.planning.triggers import COUPON_ATTRIBUTE, IN_THE_MORNING
from console.campaigns.draft_wrong import WrongStep

WHENS = ("now", "at", "recurs", "trigger")
# How often -> the calendar words before the time; `words` are written by hand
EVERY = {
    "day": "每天",
    "workday": "每個工作日",
    "week": "每週{weekdays}",
    "month": "每月 {month_days} 日",
    "month_end": "每月最後一天",
    "first_workday": "每月第一個工作日",
    "last_workday": "每月最後一個工作日",
}
WEEKDAYS = "一二三四五六日"
ON_HOLIDAYS = ("fire", *(choice for choice, _, _ in HOLIDAY_WORDS))
# What happens -> the fields of the form that say it
EVENTS: dict[str, tuple[str, ...]] = {
    "segment": ("move_from", "move_to"),
    "tag": ("tag",),
    "click": ("topic",),
    "purchase": ("days_after",),
    "cart_left": ("hours",),
    "birthday": ("days_before", "event_clock"),
    "coupon_ends": ("days_before", "attribute", "event_clock"),
}
WORDS = "words"
NEW_WHEN: dict[str, Any] = {
    "kind": "at",
    **dict.fromkeys(("at", "recurs", "trigger", "month_days", "move_from", "move_to", "tag", "topic"), ""),
    "every": "week",
    "weekdays": [],
    "clock": IN_THE_MORNING,
    "on_holiday": "fire",
    "event": "segment",
    "days_after": "30",
    "hours": "4",
    "days_before": "7",
    "event_clock": IN_THE_MORNING,
    "attribute": COUPON_ATTRIBUTE,
}
CLOCK = re.compile(r"([01]?\d|2[0-3]):[0-5]\d", re.ASCII)


def filled_when(when: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a draft's `when`; those of drafts from before there were choices are words."""
    by_hand = {} if "every" in when else {"every": WORDS, "event": WORDS}
    return {**NEW_WHEN, **by_hand, **when}


def read_when(values: dict[str, Any], form: MultiDict[str, str]) -> None:
    """Put what the form says into a draft's values."""
    kind, every, event = form.get("kind", "at"), form.get("every", WORDS), form.get("event", WORDS)
    names = [name for name in NEW_WHEN if name not in ("kind", "every", "event", "weekdays")]
    values["when"] = {
        **{name: form.get(name, NEW_WHEN[name]).strip() for name in names},
        "kind": kind if kind in WHENS else "at",
        "every": every if every in EVERY else WORDS,
        "event": event if event in EVENTS else WORDS,
        "weekdays": [day for day in WEEKDAYS if day in form.getlist("weekdays")],
    }
    values["at_best_hour"] = "at_best_hour" in form
    values["ignore_quiet_hours"] = "ignore_quiet_hours" in form


def when_of(values: Mapping[str, Any], *, zone: ZoneInfo, now: datetime) -> tuple[datetime | None, str | None]:
    """(when it first fires in aware UTC, how it recurs); with a trigger: from when it listens. Raises WrongStep."""
    when = filled_when(values["when"])
    if when["kind"] == "recurs":
        return None, _recurs(when)
    if when["kind"] != "at":
        return now, None
    try:
        moment = datetime.fromisoformat(when["at"])
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WrongStep("when", "請選擇發送的日期與時間。", "at") from error
    if moment < now:
        raise WrongStep("when", "發送時間已經過了，請選之後的時間。", "at")
    return moment, None


def recurs_field(values: Mapping[str, Any]) -> str:
    """The field to mend when what recurs can't be: it never comes, or is no day."""
    every = filled_when(values["when"])["every"]
    return {"month": "month_days", WORDS: "recurs"}.get(every, "every")


def _recurs(when: Mapping[str, Any]) -> str:
    if when["every"] == WORDS:
        if not when["recurs"]:
            raise WrongStep("when", "請寫出多久發送一次。", "recurs")
        return str(when["recurs"])
    if when["every"] == "week" and not when["weekdays"]:
        raise WrongStep("when", "請至少選一個星期幾。", "weekdays")
    days = [day for day in re.split(r"[\s,，、]+", when["month_days"]) if day]
    if when["every"] == "month" and not (days and all(day.isascii() and day.isdigit() for day in days)):
        raise WrongStep("when", "請寫出每月的幾號，例如 5、20。", "month_days")
    said = EVERY[when["every"]].format(weekdays="、".join(when["weekdays"]), month_days="、".join(days))
    holiday = next((f"，{zh}" for choice, zh, _ in HOLIDAY_WORDS if choice == when["on_holiday"]), "")
    return f"{said} {_clock(when, 'clock')}{holiday}"


def trigger_of(values: Mapping[str, Any]) -> str | dict[str, Any] | None:
    """What makes people enter, as campaigns/planning/triggers.py reads it; None for a draft that goes by time. Raises
    WrongStep."""
    when = filled_when(values["when"])
    if when["kind"] != "trigger":
        return None
    match when["event"]:
        case "segment":
            return _move(when)
        case "tag":
            if not when["tag"]:
                raise WrongStep("when", "請選一個標籤。", "tag")
            return {"on": "tag", "name": when["tag"]}
        case "click":
            return {"on": "click", "topics": [when["topic"]]} if when["topic"] else {"on": "click"}
        case "purchase":
            return {"on": "purchase", "days": _count(when, "days_after")}
        case "cart_left":
            return {"on": "cart_left", "hours": _count(when, "hours")}
        case "birthday":
            days_before = _count(when, "days_before")
            return {"on": "birthday", "days_before": days_before, "at": _clock(when, "event_clock")}
        case "coupon_ends":
            made = {"on": "coupon_ends", "days_before": _count(when, "days_before")}
            return {**made, "attribute": when["attribute"], "at": _clock(when, "event_clock")}
    if not when["trigger"]:
        raise WrongStep("when", "請寫出什麼事會觸發這個活動。", "trigger")
    return str(when["trigger"])


def event_field(values: Mapping[str, Any]) -> str:
    """The field to mend when what should trigger can't."""
    return EVENTS.get(filled_when(values["when"])["event"], ("trigger",))[0]


def _move(when: Mapping[str, Any]) -> dict[str, Any]:
    """From a segment, to one, or both, of one model."""
    given = {name: when[name].partition("=") for name in ("move_from", "move_to") if when[name]}
    if not given:
        raise WrongStep("when", "請選離開或進入的分群。", "move_to")
    if len({model for model, _, _ in given.values()}) > 1:
        raise WrongStep("when", "離開和進入的分群要屬於同一個模型。", "move_to")
    sides = {name.removeprefix("move_"): [segment] for name, (_, _, segment) in given.items()}
    return {"on": "segment", "model": next(iter(given.values()))[0], **sides}


def _count(when: Mapping[str, Any], field: str) -> int:
    text = when[field]
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise WrongStep("when", "請寫一個整數。", field)
    return int(text)


def _clock(when: Mapping[str, Any], field: str) -> str:
    if not CLOCK.fullmatch(when[field]):
        raise WrongStep("when", "時間要像 10:00 這樣寫。", field)
    return str(when[field]).zfill(5)
