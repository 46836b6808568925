"""The brand's settings as fields of forms, made from the models that check them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from sqlmodel import Session
from werkzeug.datastructures import MultiDict

from campaigns import settings as campaigns
from campaigns.money import line_plan
from console.frame.typed import as_number
from console.settings.tables import TABLES, Row, typed_rows, value_of
from keywords.copy import settings as copywriting
from keywords.sharing import schedule
from keywords.sharing.marketers import marketers
from segmentation import settings as segments
from segmentation.preference import choices as preferences
from store import choices
from store.errors import ExpectedError


@dataclass(frozen=True)
class Group:
    """Settings that are kept together: their title, what holds, what was chosen, and how a change is made."""

    title: str
    model: type[BaseModel]
    read: Callable[[Session, Mapping[str, Any]], BaseModel]
    chosen: Callable[[Session], Mapping[str, Any]]
    change: Callable[..., Any]
    apart: frozenset[str] = frozenset()  # settings that only the operator changes, on the command line
    # setting -> what it holds several of
    offered: Mapping[str, Callable[[Session], Sequence["Offered"]]] = field(default_factory=dict)
    # setting -> what it may be one of, by the settings that hold
    choices: Mapping[str, Callable[[Any], Sequence["Offered"]]] = field(default_factory=dict)

    def held(self, session: Session, defaults: Mapping[str, Any]) -> tuple[BaseModel, ExpectedError | None]:
        """The settings that hold; or those that are stored although they can't hold, as an earlier version took them,
        unchecked, with what is wrong."""
        try:
            return self.read(session, defaults), None
        except ExpectedError as error:
            kept = {**defaults, **self.chosen(session)}
            values = {name: _typed(one, kept[name]) for name, one in self.model.model_fields.items() if name in kept}
            return self.model.model_construct(**values), error


def _typed(one: FieldInfo, value: Any) -> Any:
    """A stored value as its field has it, whether or not it may be; as it is stored where it is of another type."""
    kind: Any = one.annotation
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return value


@dataclass(frozen=True)
class Offered:
    """One of those that a setting may be, or hold several of: its value, how a person reads it (empty: as CHOICE_WORDS
    says), and why it can't be chosen."""

    value: str
    words: str = ""
    why_not: str = ""  # "": it can


def _marketers(session: Session) -> list[Offered]:
    """Colleagues who may be sent the report by LINE, and those who first have to bind their own."""
    return [
        Offered(one.email, f"{one.name} {one.email}", "" if one.can_be_reached else "還沒有綁定自己的 LINE")
        for one in marketers(session)
    ]


def _plans(holds: line_plan.LinePlan) -> list[Offered]:
    """The plans of the brand's own table, each with its fee a month and the messages in it."""
    return [
        Offered(key, f"{one.name} · {one.monthly_fee:,.0f} {holds.currency} · {one.messages:,}")
        for key, one in holds.plans.items()
    ]


def _change_segments(
    session: Session, changes: Mapping[str, Any], *, defaults: Mapping[str, Any], actor: str, now: datetime
) -> Any:
    return segments.change_settings(session, changes, defaults=defaults, actor=actor, now=now)


def _without_defaults(change: Callable[..., Any]) -> Callable[..., Any]:
    def changed(session: Session, changes: Mapping[str, Any], *, defaults: Any, actor: str, now: datetime) -> Any:
        return change(session, changes, actor=actor, now=now)

    return changed


_NUMBERS = re.compile(r"\b(int|float|Decimal)\b")  # in the type of a setting

GROUPS = {
    "campaigns": Group(
        "發送",
        campaigns.CampaignSettings,
        lambda session, _: campaigns.read_settings(session),
        campaigns.chosen,
        _without_defaults(campaigns.change_settings),
    ),
    "segments": Group("分群", segments.SegmentSettings, segments.read_settings, segments.chosen, _change_segments),
    "preferences": Group(
        "偏好標籤",
        preferences.PreferenceChoices,
        lambda session, _: preferences.read_choices(session),
        lambda session: choices.chosen(session, preferences.NAME),
        _without_defaults(preferences.change_choices),
    ),
    "plan": Group(
        "LINE 方案與費用",
        line_plan.LinePlan,
        lambda session, _: line_plan.read_plan(session),
        line_plan.chosen,
        _without_defaults(line_plan.change_plan),
        choices={"plan": _plans},
    ),
    "copy": Group(
        "文案",
        copywriting.CopySettings,
        lambda session, _: copywriting.read_settings(session),
        lambda session: choices.chosen(session, copywriting.NAME),
        _without_defaults(copywriting.change_settings),
    ),
    "report": Group(
        "關鍵字報告",
        schedule.ReportSettings,
        lambda session, _: schedule.read_settings(session),
        lambda session: choices.chosen(session, schedule.NAME),
        _without_defaults(schedule.change_settings),
        frozenset({"folder"}),  # a place on the server's disk
        {"marketers": _marketers},
        {"weekday": lambda _: [Offered(str(day)) for day in range(7)]},
    ),
}


@dataclass(frozen=True)
class Field:
    """One setting as a form shows it: `kind` is switch, choice, several, list, table or words; `value` its text now, of
    several and a list a line each; `options` of a choice; `offered` of several, all that it holds among them; `rows` of
    a table."""

    name: str
    kind: str
    value: str
    is_chosen: bool
    options: tuple[Offered, ...] = ()
    offered: tuple[Offered, ...] = ()
    rows: tuple[Row, ...] = ()


def fields_of(session: Session, group: Group, holds: BaseModel, chosen: Mapping[str, Any]) -> list[Field]:
    """Every setting of the group, in the order of its model."""
    plain = holds.model_dump(mode="json", warnings=False)
    found = []
    for name in group.model.model_fields:
        if name in group.offered:
            offered = _offered(session, group, name, plain[name])
            held = "\n".join(one.value for one in offered if one.value in plain[name])
            found.append(Field(name, "several", held, name in chosen, offered=offered))
        elif name in TABLES:
            found.append(Field(name, "table", "", name in chosen, rows=tuple(TABLES[name].rows(plain[name]))))
        elif name not in group.apart:
            text = _text(plain[name])
            options = _options(group, name, holds)
            found.append(Field(name, "choice" if options else _kind(group, name), text, name in chosen, options))
    return found


def _options(group: Group, name: str, holds: BaseModel) -> tuple[Offered, ...]:
    if name in group.choices:
        return tuple(group.choices[name](holds))
    annotation = group.model.model_fields[name].annotation
    return tuple(Offered(str(one)) for one in get_args(annotation)) if get_origin(annotation) is Literal else ()


def _offered(session: Session, group: Group, name: str, held: Sequence[str]) -> tuple[Offered, ...]:
    """What may be chosen of, and what is held though it may not be any more."""
    offered = group.offered[name](session)
    gone = [Offered(value, value, "這個帳號已停用") for value in held if value not in {one.value for one in offered}]
    return (*offered, *gone)


def _kind(group: Group, name: str) -> str:
    annotation = str(group.model.model_fields[name].annotation)
    if annotation == "<class 'bool'>":
        return "switch"
    if "tuple" in annotation or "Words" in annotation:
        return "list"
    return "words"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(str(one) for one in value)
    return str(value)


def changes_of(group: Group, shown: list[Field], form: MultiDict[str, str]) -> dict[str, Any]:
    """What the form changed, by name; None: back to the default. Raises WrongCell."""
    changes: dict[str, Any] = {}
    for one in shown:
        if one.kind == "switch":
            given: Any = one.name in form
            if str(given) != one.value:
                changes[one.name] = given
            continue
        if one.kind == "table":
            typed = value_of(one.name, typed_rows(one.name, form) if one.name in form else one.rows)
            if typed != value_of(one.name, one.rows):
                changes[one.name] = typed or None
            continue
        given_lines = "\n".join(form.getlist(one.name)) if one.kind == "several" else form.get(one.name, "")
        text = given_lines.replace("\r\n", "\n").strip() if one.name in form else one.value
        if _NUMBERS.search(str(group.model.model_fields[one.name].annotation)):
            text = "\n".join(as_number(line) for line in text.splitlines())
        if text != one.value.strip():
            changes[one.name] = _value(one, text)
    return changes


def _value(field: Field, text: str) -> Any:
    if not text:
        return None
    if field.kind in ("list", "several"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text
