"""Preference tags judged: what segmentation/preference finds, for the values that have a tag."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from segmentation.facts import keep
from segmentation.preference.compute import preferences
from segmentation.preference.tags import create_preference_tags, wanted_values
from segmentation.preference.words import Tokenize
from segmentation.tags.definitions import PreferenceTag
from segmentation.tags.live import Live, LiveTag
from segmentation.tags.ruled import Ground
from segmentation.tags.verdicts import Verdict

Table = Any


def judge_preferences(
    live: Live, ground: Ground, tokenize: Tokenize | None, now: datetime, writing: Callable[[], Any] | None
) -> Live:
    """Add the differences of preference tags. With `writing` (a transaction, of whole renewals) tags are first made for
    the values that enough people prefer, at `now`. Returns `live` with those."""
    tags = live.of(PreferenceTag)
    if not live.has_preferences or (writing is None and not tags):
        return live
    connection = ground.writing.connection
    current = ground.now.inner_join(_kept(connection, tags), "tag_id").select("customer_id", "dimension", "value")
    found = preferences(
        connection,
        ground.facts,
        as_of=ground.as_of,
        settings=live.preferences,
        current=connection.to_pyarrow(current),
        tokenize=tokenize,
    )
    if writing is not None:
        wanted = wanted_values(connection, live.preferences)
        with writing() as session:
            made = create_preference_tags(session, wanted, now)
        new = [LiveTag(int(t.id or 0), t.name, t.source, PreferenceTag(**t.definition)) for t in made]
        live = replace(live, tags=live.tags + new, names=live.names | {tag.tag_id: tag.name for tag in new})
    ground.add(_verdict(found, _kept(connection, live.of(PreferenceTag))))
    return live


def _kept(connection: Any, tags: list[LiveTag]) -> Table:
    """`tag_id, dimension, value` of the preference tags, as a temporary table."""
    columns = {
        "tag_id": pa.array([tag.tag_id for tag in tags], pa.int64()),
        "dimension": pa.array([tag.definition.dimension for tag in tags], pa.string()),
        "value": pa.array([tag.definition.value for tag in tags], pa.string()),
    }
    return keep(connection, "preference_tag", pa.table(columns))


def _verdict(found: Table, tags: Table) -> Verdict:
    """On while a preference is, as strong as its score. `found` speaks of all that is on or was."""
    rows = found.inner_join(tags, ["dimension", "value"])
    return Verdict(
        "preference",
        rows.select("tag_id", "customer_id", "score", holds="is_on", day="falls_off_on", why="evidence"),
        lambda judged: judged.holds,
        lambda judged: judged.why,
        lambda judged: judged.score,
        lambda judged: judged.day,
    )
