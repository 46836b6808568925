"""What there is to learn from: sent messages with what they brought; of a file here, of the database in results.py.

Null is missing, never 0: LINE withholds small figures. Rows without recipients or with unknown clicks are left out.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pyarrow import csv, parquet

from store.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REQUIRED_COLUMNS = ("message_id", "campaign_id", "text", "segment", "sent_at", "recipients", "clicks")
OPTIONAL_COLUMNS = ("theme", "channel", "format", "counted_by")
_EPOCH = date(1970, 1, 1).toordinal()
_NULL_NUMBERS = ["", "null", "NULL", "NaN", "nan", "NA"]


@dataclass(frozen=True)
class Messages:
    """Messages as sent to segments: one element per pair in every array; labels are codes 0, 1, … of the `…_names`."""

    message: Ints
    campaign: Ints
    text: Ints  # index into `texts`
    texts: Sequence[str]  # each distinct text once; of stored results the keys of their cuts
    segment: Ints
    segment_names: Sequence[str]
    theme: Ints | None  # None where no message has one
    theme_names: Sequence[str]  # "" for the messages without
    channel: Ints
    channel_names: Sequence[str]
    format: Ints
    format_names: Sequence[str]  # LINE's types of what was sent: "text", "text+flex"; "" where unknown
    counted_by: Ints  # who counted the clicks, which may count differently
    counted_by_names: Sequence[str]  # of stored results "us" and "line"; "" where unknown
    day: Ints  # days since 1970-01-01 in the brand's zone
    hour: Ints  # 0..23 in the brand's zone
    weekday: Ints  # 0 is Monday
    recipients: Floats  # above 0
    clicks: Floats  # unique people, 0..recipients
    left_out: int  # rows without recipients or with unknown clicks
    run: Ints  # the run's id; -1 where there is none

    def __len__(self) -> int:
        return len(self.clicks)

    @property
    def experiment(self) -> Ints:
        """Which messages went out together, so that between those to one segment nothing differs but the words: codes
        0, 1, … A run is one; of a file, which has no runs, the messages of one campaign sent within one hour of one day
        (brand's zone). A campaign sent again at another time, or its next step, is another."""
        _, hour = np.unique(self.day * 24 + self.hour, return_inverse=True)
        _, sending = np.unique(self.campaign * (hour.max(initial=0) + 1) + hour.ravel(), return_inverse=True)
        names = np.where(self.run >= 0, self.run, -1 - sending.ravel())
        return np.unique(names, return_inverse=True)[1].ravel().astype(np.int64)

    def part(self, rows: NDArray[np.bool_]) -> "Messages":
        """Only these rows; all names stay."""
        theme = None if self.theme is None else self.theme[rows]
        codes = ("message", "campaign", "text", "segment", "channel", "format", "counted_by", "run")
        names = (*codes, "day", "hour", "weekday", "recipients", "clicks")
        arrays = {name: getattr(self, name)[rows] for name in names}
        return replace(self, theme=theme, **arrays)


def coded(labels: Sequence[Hashable]) -> tuple[Ints, list[Any]]:
    """Codes 0, 1, … in order of first sight, and what each stands for."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in labels], dtype=np.int64), list(seen)


def _gather(columns: dict[str, list[Any]], recipients: Floats, clicks: Floats, zone: ZoneInfo) -> Messages:
    """Messages of columns of labels and times; counts that are NaN are missing."""
    kept = np.flatnonzero(np.nan_to_num(recipients) > 0)
    kept = kept[~np.isnan(clicks[kept])]
    chosen = {name: [values[i] for i in kept] for name, values in columns.items()}
    local = [_local(moment, zone) for moment in chosen["sent_at"]]
    # a message or campaign without a name is one of its own
    message, _ = coded([(i,) if name is None else name for i, name in enumerate(chosen["message_id"])])
    campaign, _ = coded([(i,) if name is None else name for i, name in enumerate(chosen["campaign_id"])])
    text, texts = coded(chosen["text"])
    theme, theme_names = coded([name or "" for name in chosen["theme"]])
    segment, segment_names = coded([name or "" for name in chosen["segment"]])
    channel, channel_names = coded([name or "" for name in chosen["channel"]])
    kinds, format_names = coded([name or "" for name in chosen["format"]])
    counted_by, counted_by_names = coded([name or "" for name in chosen["counted_by"]])
    return Messages(
        message=message,
        campaign=campaign,
        text=text,
        texts=texts,
        segment=segment,
        segment_names=segment_names,
        theme=None if theme_names in ([], [""]) else theme,
        theme_names=theme_names,
        channel=channel,
        channel_names=channel_names,
        format=kinds,
        format_names=format_names,
        counted_by=counted_by,
        counted_by_names=counted_by_names,
        day=np.array([moment.toordinal() - _EPOCH for moment in local], dtype=np.int64),
        hour=np.array([moment.hour for moment in local], dtype=np.int64),
        weekday=np.array([moment.weekday() for moment in local], dtype=np.int64),
        recipients=recipients[kept],
        clicks=clicks[kept],
        left_out=len(recipients) - len(kept),
        run=np.full(len(kept), -1, dtype=np.int64),
    )


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(zone)


def read_messages(path: Path, zone: ZoneInfo) -> Messages:
    """Messages of a CSV or Parquet file, by the name's ending (columns: REQUIRED_COLUMNS, OPTIONAL_COLUMNS).

    Times with an offset are taken to `zone`; those without are in it already. Raises BadInput for a file that can't be
    read, a missing column, or a bad value, and then says the row (counted from 1, the header left out).
    """
    table = _read_table(path)
    missing = [name for name in REQUIRED_COLUMNS if name not in table.column_names]
    if missing:
        raise BadInput(f"{path.name} has no column {', '.join(missing)}")
    recipients = _counts(table["recipients"], path, "recipients")
    clicks = _counts(table["clicks"], path, "clicks")
    _refuse(path, clicks > recipients, "more clicks than recipients")
    columns: dict[str, list[Any]] = {
        name: _labels(table, name) for name in ("message_id", "campaign_id", "text", "segment", *OPTIONAL_COLUMNS)
    }
    _refuse(path, np.array([text is None for text in columns["text"]], dtype=np.bool_), "no text")
    columns["sent_at"] = _times(table["sent_at"], path)
    return _gather(columns, recipients, clicks, zone)


def _read_table(path: Path) -> pa.Table:
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            found = parquet.read_schema(path).names
            return parquet.read_table(path, columns=[n for n in found if n in REQUIRED_COLUMNS + OPTIONAL_COLUMNS])
        if ending == ".csv":
            strings = {name: pa.string() for name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS}
            return csv.read_csv(
                path,
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(column_types=strings, strings_can_be_null=True, null_values=[""]),
            )
    except FileNotFoundError as error:
        raise BadInput(f"there is no file {path}") from error
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path.name} can't be read as {ending[1:]}: {reason}") from error
    raise BadInput(f"{path.name} must end in .csv or .parquet")


def _refuse(path: Path, bad: NDArray[np.bool_], problem: str) -> None:
    if bad.any():
        raise BadInput(f"{path.name}, row {int(np.argmax(bad)) + 1}: {problem}")


def _counts(column: pa.ChunkedArray, path: Path, name: str) -> Floats:
    """The column's numbers, NaN where missing."""
    problem = f"{name} must be a whole number, 0 or more"
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.is_in(column, pa.array(_NULL_NUMBERS, column.type)), None, column)
        right = pc.fill_null(pc.match_substring_regex(column, r"^\d{1,15}(\.0*)?$"), True)
        _refuse(path, ~right.to_numpy().astype(np.bool_), problem)
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise BadInput(f"{path.name}: {problem}, not {column.type}")
    numbers: Floats = pc.cast(column, pa.float64()).to_numpy().astype(np.float64)
    known = ~np.isnan(numbers)
    _refuse(path, known & ((numbers < 0) | (numbers != np.floor(numbers)) | np.isinf(numbers)), problem)
    return numbers


def _labels(table: pa.Table, name: str) -> list[str | None]:
    if name not in table.column_names:
        return [None] * len(table)
    found: list[str | None] = pc.cast(table[name], pa.string()).to_pylist()
    return found


def _times(column: pa.ChunkedArray, path: Path) -> list[datetime]:
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("us", tz=column.type.tz), safe=False)
    times = []
    for row, value in enumerate(column.to_pylist(), start=1):
        try:
            times.append(_time(value))
        except (ValueError, TypeError) as error:
            raise BadInput(f"{path.name}, row {row}: sent_at is not a time such as 2026-11-11T20:00+08:00") from error
    return times


def _time(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    if isinstance(value, str):
        return datetime.fromisoformat(value.strip().replace("/", "-"))
    raise TypeError("neither text nor a time")
