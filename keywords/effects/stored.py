"""What was learned, kept in the database: the worker renews it when results changed, pages and commands read it.

Renewing is incremental. A text is cut once for each state of the words (TextCut); results that have not changed are not
read again; the fit goes on from where the last one ended. All of it can be rebuilt.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sqlalchemy import Engine, delete, select
from sqlmodel import Session

from keywords.effects.deviations import Bounded, Deviations
from keywords.effects.experiments import Experiments
from keywords.effects.learning import Learning, NothingToLearn, learn_from_cuts
from keywords.effects.ranking import Fit, Start
from keywords.effects.results import (
    Extent,
    extent_of,
    extent_stored,
    messages_of,
    read_results,
    updated,
)
from keywords.effects.vocabulary import Vocabulary, opening_terms, presence
from keywords.text.cuts import Cut, Cuts, cut_text, gathered
from keywords.text.tokenizer import Tokenizer
from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.models import KeywordLearning, TextCut

_THE_ONE = 1
_LAYOUT = "4."  # of what is packed; what is packed otherwise is learned anew
# A result that was changed before the last reading may have been committed after it: so much is read once more.
_OVERLAP = timedelta(minutes=10)
_TEXTS_AT_ONCE = 500  # rows of a write: about 10 ms
_ASK_BY_KEY = 1000  # cuts; more are read by reading all
kept, text_cut = table_of(KeywordLearning), table_of(TextCut)


@dataclass(frozen=True)
class Stored:
    """What the last renewal left."""

    computed_at: datetime  # aware UTC: of the results as they were then
    learning: Learning
    results: pa.Table
    cuts: Cuts  # of the learning's texts, in their order
    extent: Extent
    cut_with: str


def stored_learning(session: Session) -> Stored | None:
    """What was learned last; None where nothing could be yet. Reads only, and fits nothing."""
    row = session.execute(select(kept).where(kept.c.id == _THE_ONE)).one_or_none()
    return None if row is None or not row.cut_with.startswith(_LAYOUT) else _unpacked(row)


def require_learning(session: Session) -> Stored:
    """The same. Raises NothingToLearn in place of None."""
    found = stored_learning(session)
    if found is None:
        raise NothingToLearn("no message has both recipients and known clicks, so nothing can be learned yet")
    return found


def renew_learning(engine: Engine, tokenizer: Tokenizer, *, zone: ZoneInfo, clock: Clock) -> bool:
    """Learn from what changed since the last time; False, and nothing done, if nothing did.

    A lexicon or a brand's word that changed (`tokenizer.version`) has every text cut anew. No transaction is open while
    texts are cut and the model is fitted. Where no result is left that teaches, what was learned is forgotten.
    """
    now = clock()
    with reading(engine) as session:
        extent = extent_stored(session)
        if _is_up_to_date(session, extent, tokenizer, zone):
            return False
        before = stored_learning(session)
        if before is not None and (before.cut_with != tokenizer.version or _zone_kept(session) != zone.key):
            before = None
        results, texts = _results(session, before, extent)
        messages = messages_of(results, zone)
        cuts = _Cutting(messages.texts, before)
        cuts.take(_stored_cuts(session, cuts.missing(), tokenizer.version))
    fresh = {key: cut_text(tokenizer.tokenize(texts[key])) for key in cuts.missing()}
    _keep_cuts(engine, fresh, tokenizer.version)
    cuts.take(fresh)
    if not len(messages):
        with transaction(engine) as session:
            session.execute(delete(kept))
        return True
    start = None if before is None else _start(before, results)
    learning = learn_from_cuts(messages, cuts.all(), start)
    row = {
        "computed_at": now,
        "cut_with": _LAYOUT + tokenizer.version,
        "zone": zone.key,
        "result_count": extent.rows,
        "recipients": extent.recipients,
        "clicks": extent.clicks,
        "newest_change": extent.newest_change,
        "state": _packed(learning, results, cuts.all()),
    }
    with transaction(engine) as session:
        fitting = insert_for(session, KeywordLearning).values(id=_THE_ONE, **row)
        session.execute(fitting.on_conflict_do_update(index_elements=["id"], set_=row))
    return True


def _is_up_to_date(session: Session, extent: Extent, tokenizer: Tokenizer, zone: ZoneInfo) -> bool:
    columns = kept.c.cut_with, kept.c.zone, kept.c.result_count, kept.c.recipients, kept.c.clicks, kept.c.newest_change
    row = session.execute(select(*columns).where(kept.c.id == _THE_ONE)).one_or_none()
    if row is None:
        return extent.rows == 0
    return tuple(row) == (
        _LAYOUT + tokenizer.version,
        zone.key,
        extent.rows,
        extent.recipients,
        extent.clicks,
        extent.newest_change,
    )


def _zone_kept(session: Session) -> str | None:
    found: str | None = session.scalar(select(kept.c.zone).where(kept.c.id == _THE_ONE))
    return found


def _results(session: Session, before: Stored | None, extent: Extent) -> tuple[pa.Table, dict[str, str]]:
    """All results as they are now, and the texts of those that were read; if adding what changed doesn't come out at
    what there is (rows are gone), all are read."""
    if before is not None:
        changed, texts = read_results(session, before.computed_at - _OVERLAP)
        results = updated(before.results, changed)
        if extent_of(results, extent.newest_change) == extent:
            return results, texts
    return read_results(session)


class _Cutting:
    """The cuts of `keys` while they are gathered: those of an earlier time, then what is taken."""

    def __init__(self, keys: Sequence[str], before: Stored | None) -> None:
        self._keys = keys
        self._cuts = gathered(()) if before is None else before.cuts
        self._places = {} if before is None else {key: i for i, key in enumerate(before.learning.messages.texts)}

    def missing(self) -> list[str]:
        return [key for key in self._keys if key not in self._places]

    def take(self, found: dict[str, Cut]) -> None:
        for place, key in enumerate(found, start=len(self._places)):
            self._places[key] = place
        self._cuts = self._cuts.joined(gathered(found.values()))

    def all(self) -> Cuts:
        return self._cuts.chosen(np.array([self._places[key] for key in self._keys], dtype=np.int64))


def _stored_cuts(session: Session, keys: Sequence[str], cut_with: str) -> dict[str, Cut]:
    if not keys:
        return {}
    query = select(text_cut.c.text_key, text_cut.c.terms, text_cut.c.opening).where(text_cut.c.cut_with == cut_with)
    if len(keys) <= _ASK_BY_KEY:
        query = query.where(text_cut.c.text_key.in_(keys))
    wanted = set(keys)
    return {row.text_key: Cut(row.terms, row.opening) for row in session.execute(query) if row.text_key in wanted}


def _keep_cuts(engine: Engine, cuts: dict[str, Cut], cut_with: str) -> None:
    rows = [
        {"text_key": key, "cut_with": cut_with, "terms": cut.terms, "opening": cut.opening}
        for key, cut in sorted(cuts.items())
    ]
    for first in range(0, len(rows), _TEXTS_AT_ONCE):
        with transaction(engine) as session:
            insert = insert_for(session, TextCut)
            renewed = {name: insert.excluded[name] for name in ("cut_with", "terms", "opening")}
            statement = insert.on_conflict_do_update(index_elements=["text_key"], set_=renewed)
            session.connection().execute(statement, rows[first : first + _TEXTS_AT_ONCE])


def _start(before: Stored, results: pa.Table) -> Start:
    """Where the last fit ended, for the results that were there then."""
    fit = before.learning.fit
    eta = _teaching(results)["eta"].to_numpy()  # null, which new ones have, becomes NaN
    return Start(eta, fit.block_variance, fit.row_variance, fit.campaign_variance)


def _teaching(results: pa.Table) -> pa.Table:
    return results.filter(pc.greater(results["recipients"], 0))


_COUNTS = ("message_count", "recipient_count", "click_count", "experiment_count")


def _packed(learning: Learning, results: pa.Table, cuts: Cuts) -> bytes:
    """All of it as one npz file: the results as an Arrow file, with each one's log-odds; names and scalars as JSON."""
    fit = learning.fit
    eta = np.full(len(results), np.nan)
    eta[np.flatnonzero(results["recipients"].to_numpy() > 0)] = fit.eta
    results = results.set_column(results.schema.get_field_index("eta"), "eta", pa.array(eta))
    meta = {
        "terms": learning.terms,
        "phrases": learning.phrases,
        "names": cuts.names,
        "columns": {name: [part.start, part.stop] for name, part in fit.columns.items()},
        "block_variance": dict(fit.block_variance),
        "row_variance": fit.row_variance,
        "campaign_variance": fit.campaign_variance,
    }
    file = io.BytesIO()
    np.savez(
        file,
        meta=np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8),
        results=np.frombuffer(_arrow_file(results), np.uint8),
        cuts=np.frombuffer(_arrow_file(pa.table({"codes": pa.array(cuts.codes, pa.int32())})), np.uint8),
        ends=cuts.ends.astype(np.int32),
        opening=cuts.opening.astype(np.int16),
        effect=fit.effect,
        low=fit.low,
        high=fit.high,
        probability_positive=fit.probability_positive,
        coefficients=fit.coefficients,
        covariance=fit.covariance[np.triu_indices(len(fit.covariance))].astype(np.float32),
        **{name: getattr(learning, name) for name in _COUNTS},
        **_findings(learning),  # type: ignore[arg-type]
    )
    return file.getvalue()


def _findings(learning: Learning) -> dict[str, NDArray[Any]]:
    """What there is beside the effects, as arrays by name."""
    tried, apart = learning.experiments, learning.deviations
    if tried is None or apart is None:
        raise ValueError("what is stored was learned by learn_from_cuts")
    bounded = {field.name: getattr(apart, field.name) for field in fields(apart)}
    return {
        **{f"experiments_{field.name}": getattr(tried, field.name) for field in fields(tried)},
        **{name: np.stack([one.effect, one.low, one.high]) for name, one in bounded.items()},
    }


def _unpacked(row: Any) -> Stored:
    zone = ZoneInfo(row.zone)
    with np.load(io.BytesIO(row.state)) as file:
        meta = json.loads(file["meta"].tobytes())
        results = _read_arrow(file["results"])
        codes = _read_arrow(file["cuts"])["codes"].to_numpy().astype(np.int64)
        ends, opening = file["ends"].astype(np.int64), file["opening"].astype(np.int64)
        arrays = ("effect", "low", "high", "probability_positive", "coefficients")
        fit = Fit(
            **{name: file[name] for name in arrays},
            covariance=_mirrored(file["covariance"], len(file["coefficients"])),
            columns={name: slice(*ends) for name, ends in meta["columns"].items()},
            block_variance=meta["block_variance"],
            row_variance=meta["row_variance"],
            campaign_variance=meta["campaign_variance"],
            eta=_teaching(results)["eta"].to_numpy(),
        )
        counts = {name: file[name] for name in _COUNTS}
        experiments = Experiments(**{f.name: file[f"experiments_{f.name}"] for f in fields(Experiments)})
        apart = Deviations(**{kind: Bounded(*file[kind]) for kind in (f.name for f in fields(Deviations))})
    messages, cuts = messages_of(results, zone), Cuts(meta["names"], codes, ends, opening)
    phrases = {name: tuple(words) for name, words in meta["phrases"].items()}
    found = Vocabulary(meta["terms"], presence(messages, cuts, meta["terms"], phrases), phrases)
    learning = Learning(
        messages=messages,
        terms=found.terms,
        present=found.present,
        phrases=phrases,
        fit=fit,
        **counts,
        opening=opening_terms(messages, cuts, found),
        experiments=experiments,
        deviations=apart,
    )
    extent = Extent(row.result_count, row.recipients, row.clicks, row.newest_change)
    return Stored(row.computed_at, learning, results, cuts, extent, row.cut_with.removeprefix(_LAYOUT))


def _mirrored(upper: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """The symmetric matrix of its upper triangle."""
    found = np.zeros((size, size))
    found[np.triu_indices(size)] = upper
    return found + np.triu(found, 1).T


def _arrow_file(table: pa.Table) -> bytes:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(place, field.name, pc.dictionary_encode(table[field.name]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _read_arrow(file: NDArray[np.uint8]) -> pa.Table:
    table = pa.ipc.open_file(pa.py_buffer(file.tobytes())).read_all()
    plain = [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(plain))
