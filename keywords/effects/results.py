"""The results that the database holds, in columns: read, brought up to date with what changed, made into Messages."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlmodel import Session

from keywords.effects.messages import Messages
from store.engine import table_of
from store.models import CampaignRun, MessageResult

Ints = NDArray[np.int64]

result, run = table_of(MessageResult), table_of(CampaignRun)
_SCHEMA = pa.schema(
    {
        **{name: pa.int64() for name in ("run_id", "variant_id", "campaign_id")},
        **{name: pa.string() for name in ("segment", "theme", "channel", "format", "counted_by", "text_key")},
        **{name: pa.int64() for name in ("sent_s", "recipients", "clicks")},
        "eta": pa.float64(),  # the log-odds that the last fit gave it; null until there is one
    }
)


@dataclass(frozen=True)
class Extent:
    """How many results there are, their sums, and when the last one changed: equal as long as nothing did."""

    rows: int
    recipients: int
    clicks: int
    newest_change: datetime | None  # aware UTC; None: there are none


def extent_stored(session: Session) -> Extent:
    """That of the table, read from an index alone."""
    recipients, clicks = (func.coalesce(func.sum(column), 0) for column in (result.c.recipients, result.c.clicks))
    row = session.execute(select(func.count(), recipients, clicks, func.max(result.c.changed_at))).one()
    return Extent(int(row[0]), int(row[1]), int(row[2]), row[3])


def extent_of(results: pa.Table, newest_change: datetime | None) -> Extent:
    """That of results read, of which the last changed at `newest_change`."""
    sums = [pc.sum(results[name]).as_py() or 0 for name in ("recipients", "clicks")]
    return Extent(len(results), sums[0], sums[1], newest_change)


def text_key(text: str) -> str:
    """The name under which a text's cut is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def read_results(session: Session, since: datetime | None = None) -> tuple[pa.Table, dict[str, str]]:
    """(Results that changed after `since`, or all; the texts by their keys.) Reads only."""
    query = select(
        result.c.run_id,
        result.c.variant_id,
        run.c.campaign_id,
        result.c.segment,
        result.c.theme,
        result.c.channel,
        result.c.format,
        result.c.counted_by,
        result.c.message_text,
        result.c.sent_at,
        result.c.recipients,
        result.c.clicks,
    ).join(run, run.c.id == result.c.run_id)
    if since is not None:
        query = query.where(result.c.changed_at > since)
    rows = session.execute(query.order_by(result.c.run_id, result.c.variant_id, result.c.segment)).all()
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * (len(_SCHEMA) - 1)
    said, sent = _SCHEMA.get_field_index("text_key"), _SCHEMA.get_field_index("sent_s")
    keys = {text: text_key(text) for text in set(columns[said])}
    texts = {key: text for text, key in keys.items()}
    columns[said] = [keys[text] for text in columns[said]]
    columns[sent] = [int(moment.timestamp()) for moment in columns[sent]]
    columns.append([None] * len(rows))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    return pa.table(arrays, schema=_SCHEMA), texts


def updated(results: pa.Table, changed: pa.Table) -> pa.Table:
    """`results` with the changed rows in place of theirs; new ones come last."""
    maybe = pc.is_in(results["run_id"], pc.unique(changed["run_id"])).to_numpy()
    fresh = set(zip(*(changed[name].to_pylist() for name in ("run_id", "variant_id", "segment")), strict=True))
    rows = np.flatnonzero(maybe)
    touched = results.take(pa.array(rows))
    names = zip(*(touched[name].to_pylist() for name in ("run_id", "variant_id", "segment")), strict=True)
    kept = np.ones(len(results), dtype=np.bool_)
    kept[rows] = [name not in fresh for name in names]
    return pa.concat_tables([results.filter(pa.array(kept)), changed]).combine_chunks()


def messages_of(results: pa.Table, zone: ZoneInfo) -> Messages:
    """The results as messages: a run's variant is one. Rows without recipients are left out."""
    kept = results.filter(pc.greater(results["recipients"], 0))
    codes, names = {}, {}
    for name in ("segment", "theme", "channel", "format", "counted_by", "text_key"):
        codes[name], names[name] = _coded(kept[name])
    day, hour, weekday = _local(kept["sent_s"].to_numpy(), zone)
    numbers = {name: kept[name].to_numpy() for name in ("run_id", "variant_id", "campaign_id")}
    _, variant = np.unique(numbers["variant_id"], return_inverse=True)
    _, of_run = np.unique(numbers["run_id"], return_inverse=True)
    _, message = np.unique(of_run * (variant.max(initial=0) + 1) + variant, return_inverse=True)
    return Messages(
        message=message.astype(np.int64),
        campaign=numbers["campaign_id"].astype(np.int64),
        text=codes["text_key"],
        texts=names["text_key"],
        segment=codes["segment"],
        segment_names=names["segment"],
        theme=None if names["theme"] in ([], [""]) else codes["theme"],
        theme_names=names["theme"],
        channel=codes["channel"],
        channel_names=names["channel"],
        format=codes["format"],
        format_names=names["format"],
        counted_by=codes["counted_by"],
        counted_by_names=names["counted_by"],
        day=day,
        hour=hour,
        weekday=weekday,
        recipients=kept["recipients"].to_numpy().astype(np.float64),
        clicks=kept["clicks"].to_numpy().astype(np.float64),
        left_out=len(results) - len(kept),
        run=numbers["run_id"].astype(np.int64),
    )


def _coded(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Codes in order of first sight, and what they stand for; null is ""."""
    encoded = pc.dictionary_encode(pc.fill_null(column, "").combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _local(seconds: Ints, zone: ZoneInfo) -> tuple[Ints, Ints, Ints]:
    """(Days since 1970-01-01, hour, weekday from Monday = 0) in `zone` of Unix times."""
    days, place = np.unique(seconds // 86_400, return_inverse=True)
    begins, ends = (np.array([_offset(int(day) * 86_400, zone) for day in days + more]) for more in (0, 1))
    offsets = begins.astype(np.int64)[place.ravel()]
    for row in np.flatnonzero((begins != ends)[place.ravel()]):  # the clocks change on that day
        offsets[row] = _offset(int(seconds[row]), zone)
    local = seconds + offsets
    day = local // 86_400
    return day, local // 3_600 % 24, (day + 3) % 7  # 1970-01-01 was a Thursday


def _offset(unix: int, zone: ZoneInfo) -> int:
    """Seconds that `zone` is ahead of UTC at that time."""
    ahead = datetime.fromtimestamp(unix, UTC).astimezone(zone).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0
