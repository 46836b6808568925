"""Settings that hold several things of one shape, as rows of cells on a form: shown, typed, added to, taken out of, and
made into what their models check."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from werkzeug.datastructures import MultiDict

from console.frame.typed import as_number
from console.rules.form import KIND_NAMES
from segmentation.preference.settings import DIMENSIONS, EVENT_WEIGHTS, PROMOTIONS
from store.errors import BadInput

MOST_ROWS = 200


@dataclass(frozen=True)
class Column:
    """A cell of every row; `options` are all that a choice may be, and suggestions for a text. `unit`: the setting that
    says it."""

    name: str
    kind: Literal["text", "number", "choice"] = "text"
    options: tuple[str, ...] = ()
    unit: str = ""


@dataclass
class Row:
    """What the cells of a row hold, by column, and its own rows; `key`: of one that is stored, where no cell is it."""

    cells: dict[str, str] = field(default_factory=dict)
    inner: list["Row"] = field(default_factory=list)
    key: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether nothing was typed: such a row isn't there."""
        return not any(self.cells.values()) and all(row.is_blank for row in self.inner)


@dataclass(frozen=True)
class Table:
    """How a setting is laid out: columns, the columns of the rows within each row (`inner` names them), the rows of
    what is stored under a key, what is stored of a row, and its key; "" where that wasn't typed."""

    columns: tuple[Column, ...]
    row_of: Callable[[str, Any], Row]
    stored: Callable[[Row], Any]
    key_of: Callable[[Row], str]
    inner: str = ""
    inner_columns: tuple[Column, ...] = ()

    def rows(self, holds: Mapping[str, Any]) -> list[Row]:
        """Of what the setting holds, as JSON has it."""
        return [self.row_of(key, one) for key, one in holds.items()]


class WrongCell(BadInput):
    """A cell that can't be as it was typed; `cell` as the form names it."""

    def __init__(self, cell: str, why: str) -> None:
        super().__init__(why)
        self.cell = cell


def _plan(key: str, offer: Mapping[str, Any]) -> Row:
    cells = {name: _text(offer[name]) for name in ("name", "monthly_fee", "messages")}
    return Row(cells, [Row({name: _text(one) for name, one in tier.items()}) for tier in offer["add_on"]], key)


def _line(key: str, chosen: Mapping[str, float]) -> Row:
    dimension, _, value = key.partition("=")
    return Row({"dimension": dimension, "value": value, **{name: _text(one) for name, one in chosen.items()}})


def _line_key(row: Row) -> str:
    dimension, value = row.cells.get("dimension", ""), row.cells.get("value", "")
    return f"{dimension}={value}" if dimension and value else dimension


TABLES = {
    "plans": Table(
        (Column("name"), Column("monthly_fee", "number", unit="currency"), Column("messages", "number")),
        _plan,
        lambda row: {**row.cells, "add_on": [tier.cells for tier in row.inner if not tier.is_blank]},
        lambda row: row.key or row.cells.get("name", ""),
        "add_on",
        (Column("first", "number"), Column("price", "number", unit="currency")),
    ),
    "lines": Table(
        (
            Column("dimension", "choice", DIMENSIONS),
            Column("value"),
            *(Column(name, "number") for name in ("half_life_days", "on", "off", "share_on", "share_off")),
        ),
        _line,
        lambda row: {name: one for name, one in row.cells.items() if one and name not in ("dimension", "value")},
        _line_key,
    ),
    "event_weights": Table(
        (Column("kind", options=tuple(EVENT_WEIGHTS)), Column("weight", "number")),
        lambda key, weight: Row({"kind": key, "weight": _text(weight)}),
        lambda row: row.cells.get("weight", ""),
        lambda row: KIND_NAMES.get(row.cells.get("kind", ""), row.cells.get("kind", "")),
    ),
    "coupon_styles": Table(
        (Column("code"), Column("style", "choice", PROMOTIONS)),
        lambda key, style: Row({"code": key, "style": style}),
        lambda row: row.cells.get("style", ""),
        lambda row: row.cells.get("code", ""),
    ),
}
# (table, what is stored of a row): the cell that it stands in, where that is a single value
VALUE_CELLS = {"event_weights": "weight", "coupon_styles": "style"}


def typed_rows(name: str, form: MultiDict[str, str]) -> list[Row]:
    """The rows of the table `name` as a form has them, blank ones too."""
    table = TABLES[name]
    found: dict[int, Row] = {}
    inner: dict[tuple[int, int], Row] = {}
    cell = re.compile(rf"{name}-(\d{{1,4}})-(?:{table.inner or '-'}-(\d{{1,4}})-)?(\w+)", re.ASCII)
    for full, text in form.items():
        if (match := cell.fullmatch(full)) is None:
            continue
        row = found.setdefault(int(match[1]), Row())
        if match[2] is not None:
            row = inner.setdefault((int(match[1]), int(match[2])), Row())
        if match[3] == "key":
            row.key = text
        else:
            row.cells[match[3]] = as_number(text)
    for place in sorted(inner):
        found[place[0]].inner.append(inner[place])
    return [found[place] for place in sorted(found)][:MOST_ROWS]


def after_press(name: str, rows: list[Row], press: str) -> str | None:
    """Add to the rows of the table `name`, or take out of them, as the button `press` asks (add-plans, add-plans-0,
    drop-plans-0, drop-plans-0-1); returns the place to go to: a row's name, or the table's. None for another button."""
    match = re.fullmatch(rf"(add|drop)-{name}(?:-(\d{{1,4}}))?(?:-(\d{{1,4}}))?", press, re.ASCII)
    if match is None:
        return None
    places = [int(place) for place in match.groups()[1:] if place is not None]
    within, here = rows, name
    if places and (match[1] == "add" or len(places) == 2):
        if places[0] >= len(rows):
            return name
        within, here = rows[places[0]].inner, f"{name}-{places[0]}-{TABLES[name].inner}"
    if match[1] == "add":
        within.append(Row())
        return f"{here}-{len(within) - 1}"
    if places and places[-1] < len(within):
        del within[places[-1]]
    return here


def value_of(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """What the setting `name` is by its rows. Raises WrongCell for a row that says not of what it is, and for two of
    the same."""
    table = TABLES[name]
    found: dict[str, Any] = {}
    for place, row in enumerate(rows):
        if row.is_blank:
            continue
        key = table.key_of(row)
        if not key:
            raise WrongCell(f"{name}-{place}-{table.columns[0].name}", "這裡不能空白。")
        if key in found:
            raise WrongCell(f"{name}-{place}-{table.columns[0].name}", "這和前面的一列重複了。")
        found[key] = table.stored(row)
    return found


def cell_of(name: str, rows: Sequence[Row], loc: Sequence[str | int]) -> str | None:
    """The cell, or else the row, as the form names it, that a model means by `loc`: a key, and what is within it. None
    where no row has that key."""
    place = next((n for n, row in enumerate(rows) if not row.is_blank and TABLES[name].key_of(row) == loc[0]), None)
    if place is None:
        return None
    within = [*loc[1:]]
    if not within and name in VALUE_CELLS:
        within = [VALUE_CELLS[name]]
    if len(within) > 1 and isinstance(within[1], int):  # blank rows are not counted there
        filled = [n for n, row in enumerate(rows[place].inner) if not row.is_blank]
        within[1] = filled[within[1]]
    return "-".join(str(part) for part in (name, place, *within))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
