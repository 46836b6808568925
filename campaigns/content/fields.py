"""Fields of a person in a text: `{{ name }}`, `{{ city or "朋友" }}`, `{{ name | upper }}`.

Jinja reads them, and only names, `or`, plain values and a few filters are let through. They are then worked out here,
on the values of mappings alone: no attribute of an object, no call and no loop can be reached, whatever is written.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.filters import do_truncate

Fields = Mapping[str, Any]
Value = Callable[[Fields], Any]

_environment = Environment(autoescape=False, keep_trailing_newline=True)  # noqa: S701 it only parses, and LINE reads no HTML
_FILTERS: dict[str, Callable[..., Any]] = {
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "title": lambda value: str(value).title(),
    "trim": lambda value: str(value).strip(),
    "replace": lambda value, old, new: str(value).replace(str(old), str(new)),
    "default": lambda value, other="": other if value in (None, "") else value,
    "truncate": lambda value, *given, **named: do_truncate(_environment, str(value), *given, **named),
}
_FILTERS["d"] = _FILTERS["default"]
_MAY_STAND = f"only fields such as {{{{ name }}}}, `or` and the filters {', '.join(sorted(_FILTERS))} stand in braces"


class InvalidField(Exception):
    """What stands between braces is no field; the sentence says what may."""


def has_field(text: str) -> bool:
    """Whether anything stands between braces of ours."""
    return "{{" in text or "{%" in text or "{#" in text


def read_fields(text: str) -> list[str | Value]:
    """`text` in pieces: the marketer's own words, and for each field what finds its value for a person (None when the
    person lacks it). Raises InvalidField.
    """
    if not has_field(text):
        return [text]
    try:
        tree = _environment.parse(text)
    except TemplateSyntaxError as error:
        raise InvalidField(str(error.message)) from error
    pieces: list[str | Value] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            raise InvalidField(_MAY_STAND)
        pieces += [node.data if isinstance(node, nodes.TemplateData) else _value(node) for node in output.nodes]
    return pieces


def constants_in(text: str) -> list[str]:
    """The texts that stand inside the braces of fields, such as fallbacks."""
    return [node.value for node in _environment.parse(text).find_all(nodes.Const) if isinstance(node.value, str)]


def _value(node: nodes.Node) -> Value:
    match node:
        case nodes.Const(value=constant):
            return lambda _: constant
        case nodes.Name(name=name):
            return lambda fields: fields.get(name)
        case nodes.Getattr(node=whole, attr=name):
            return partial(_part, _value(whole), name)
        case nodes.Or(left=one, right=other):
            left, right = _value(one), _value(other)
            return lambda fields: left(fields) or right(fields)
        case nodes.Filter(node=nodes.Node() as inner, name=name, dyn_args=None, dyn_kwargs=None) if name in _FILTERS:
            given = [_value(argument) for argument in node.args]
            named = {str(pair.key): _value(pair.value) for pair in node.kwargs}
            return partial(_filtered, _FILTERS[name], _value(inner), given, named)
    raise InvalidField(_MAY_STAND)


def _part(whole: Value, name: str, fields: Fields) -> Any:
    found = whole(fields)
    return found.get(name) if isinstance(found, Mapping) else None


def _filtered(
    change: Callable[..., Any], inner: Value, given: list[Value], named: dict[str, Value], fields: Fields
) -> Any:
    value = inner(fields)
    arguments = [argument(fields) for argument in given]
    return change("" if value is None else value, *arguments, **{key: part(fields) for key, part in named.items()})
