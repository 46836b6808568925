"""Files handed in at the console: kept on disk, looked at, and imported by the worker.

A file is written to the folder as it comes in, never into memory. One row stands for it (FileImport), so handing in the
same file again leads to the same row. Its import reads and checks the whole file before it writes, as all imports do;
should the worker die in the middle of writing, the next one takes the row over and repeats it, which adds what is
missing and nothing twice.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from store.clock import Clock
from store.engine import insert_for, reading, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.imports.customers import import_customers
from store.imports.events import import_events
from store.imports.files import ENDINGS
from store.imports.kinds import LAYOUTS
from store.imports.orders import DEFAULT_CURRENCY, import_orders
from store.imports.products import import_products
from store.imports.report import ImportReport
from store.models import AuditEntry, FileImport

SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet", ".pq", ".jsonl", ".ndjson")
PIECE = 1 << 20  # bytes read at once
LEASE = timedelta(seconds=60)
BEAT_SECONDS = 1.0  # progress and lease are written so often
MOST_ATTEMPTS = 3
KEPT_DAYS = 7  # files hold people's data: so long they stay for a second look, and the refused rows with them
LONGEST_NAME = 200  # characters

table = table_of(FileImport)
log = structlog.get_logger()


def keep_upload(
    engine: Engine, folder: Path, *, kind: str, file_name: str, content: IO[bytes], actor: str, now: datetime
) -> int:
    """Write `content` into `folder` and return the id of its FileImport: the one there is, for bytes that were handed
    in before as the same kind. Raises BadInput for an unknown kind or ending and for an empty file."""
    name = Path(file_name.replace("\\", "/")).name[:LONGEST_NAME]
    if kind not in LAYOUTS:
        raise BadInput(f"there is no import of {kind!r}")
    if Path(name).suffix.lower() not in SUFFIXES:
        raise BadInput(f"{name or 'the file'}: the name must end in {ENDINGS}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / f"{uuid4().hex}.part"
    try:
        file_hash, size = _write_part(part, content)
        if not size:
            raise BadInput(f"{name} is empty")
        with transaction(engine) as session:
            one = _row_of(session, kind, name, file_hash, size, actor, now)
            part.replace(path_of(folder, one))
            return one.id or 0
    finally:
        part.unlink(missing_ok=True)


def _write_part(part: Path, content: IO[bytes]) -> tuple[str, int]:
    """(hash, bytes) of what was written; only its owner may read it."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := content.read(PIECE):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    return digest.hexdigest(), size


def _row_of(session: Session, kind: str, name: str, file_hash: str, size: int, actor: str, now: datetime) -> FileImport:
    row = {"kind": kind, "file_name": name, "file_hash": file_hash, "size_bytes": size}
    fresh = {**row, "state": "uploaded", "uploaded_at": now, "uploaded_by": actor, "attempts": 0, "part_done": 0.0}
    added = session.execute(
        insert_for(session, FileImport).values(**fresh).on_conflict_do_nothing().returning(table.c.id)
    )
    is_new = added.scalar() is not None
    same = select(FileImport).where(table.c.kind == kind, table.c.file_hash == file_hash)
    one = session.scalars(same.with_for_update()).one()
    if not is_new and one.removed_at is not None:  # handed in again after its time: the name may be another one
        one.file_name, one.removed_at, one.uploaded_at, one.uploaded_by = name, None, now, actor
    elif not is_new and Path(one.file_name).suffix.lower() != Path(name).suffix.lower():
        one.file_name = name  # the ending says how it is read
    session.add(one)
    detail = {"import_id": one.id, "kind": kind, "bytes": size, "again": not is_new}
    session.add(AuditEntry(at=now, actor=actor, action="upload file to import", detail=detail))
    session.flush()
    return one


def path_of(folder: Path, one: FileImport) -> Path:
    """Where the file of a row lies."""
    return folder / f"{one.id}{Path(one.file_name).suffix.lower()}"


def refused_path_of(folder: Path, one: FileImport) -> Path:
    """Where all its refused rows lie, once it was imported."""
    return folder / f"{one.id}-refused.csv"


def find_import(session: Session, import_id: int) -> FileImport:
    """Raises NotFound."""
    one = session.get(FileImport, import_id) if 0 < import_id < 2**63 else None
    if one is None:
        raise NotFound(f"there is no import {import_id}")
    return one


def ask_import(session: Session, import_id: int, *, channel_id: int | None, actor: str, now: datetime) -> bool:
    """Let the worker import a file; False when it is waiting or at work already. Raises NotFound, and BadInput when
    the file is no longer there."""
    if find_import(session, import_id).removed_at is not None:
        raise BadInput("the file is no longer kept: hand it in again")
    idle = (table.c.id == import_id, table.c.state.in_(("uploaded", "done", "failed")))
    fresh: dict[str, Any] = {"report": None, "problem": None, "started_at": None, "finished_at": None}
    asked = {"state": "waiting", "asked_at": now, "asked_by": actor, "channel_id": channel_id, "attempts": 0}
    done = session.execute(update(table).where(*idle).values(**asked, **fresh, part_done=0.0, lease_until=None))
    if done.rowcount != 1:  # type: ignore[attr-defined]
        return False
    session.add(AuditEntry(at=now, actor=actor, action="ask for import", detail={"import_id": import_id}))
    return True


def import_waiting(
    engine: Engine, folder: Path, *, zone: ZoneInfo, clock: Clock, currency: str = DEFAULT_CURRENCY
) -> int:
    """Import what waits, one file after the other; returns how many were taken up. Orders must be in `currency`.
    Another worker's are left to it as long as its lease holds. What goes wrong unexpectedly is tried MOST_ATTEMPTS
    times, and raised each time."""
    taken = 0
    while (one := _claim(engine, clock())) is not None:
        taken += 1
        _import_one(engine, folder, one, zone, clock, currency)
    return taken


def _claim(engine: Engine, now: datetime) -> FileImport | None:
    free = or_(table.c.state == "waiting", (table.c.state == "running") & (table.c.lease_until < now))
    rested = or_(table.c.lease_until.is_(None), table.c.lease_until < now)
    oldest = select(table.c.id).where(free, rested).order_by(table.c.asked_at, table.c.id).limit(1)
    with reading(engine) as session:  # cheap, and without the writer's lock
        import_id = session.scalar(oldest)
    if import_id is None:
        return None
    claim = {"state": "running", "attempts": table.c.attempts + 1, "lease_until": now + LEASE, "started_at": now}
    with transaction(engine) as session:
        mine = update(table).where(table.c.id == import_id, free, rested).values(**claim)
        if session.execute(mine).rowcount != 1:  # type: ignore[attr-defined]
            return None
        return session.get_one(FileImport, import_id)


def _import_one(engine: Engine, folder: Path, one: FileImport, zone: ZoneInfo, clock: Clock, currency: str) -> None:
    try:
        if one.attempts > MOST_ATTEMPTS:
            raise BadInput(f"it was begun {MOST_ATTEMPTS} times and never ended: see the worker's log")
        path = path_of(folder, one)
        if not path.exists():
            raise BadInput(f"the file is not in {folder}: web and worker must share UPLOAD_DIR")
        with _beating(engine, one, clock) as beat:
            common = {"zone": zone, "clock": clock, "progress": beat.note, "actor": one.asked_by or "console"}
            common["refused_path"] = refused_path_of(folder, one)
            report = _run(engine, one, path, currency, common)
        finished = {"state": "done", "report": report.to_json(), "part_done": 1.0}
    except ExpectedError as error:
        finished = {"state": "failed", "problem": str(error).replace(path_of(folder, one).name, one.file_name)}
    except Exception:
        rest = {"state": "waiting", "lease_until": clock() + LEASE}  # once more, but not at once
        with transaction(engine) as session:
            session.execute(update(table).where(table.c.id == one.id).values(**rest))
        raise
    with transaction(engine) as session:
        values = {**finished, "finished_at": clock(), "lease_until": None}
        session.execute(update(table).where(table.c.id == one.id).values(**values))
    log.info("file_imported", import_id=one.id, state=finished["state"])


def _run(engine: Engine, one: FileImport, path: Path, currency: str, common: dict[str, Any]) -> ImportReport:
    if one.kind == "customers":
        return import_customers(engine, path, channel_id=one.channel_id, **common)
    if one.kind == "orders":
        return import_orders(engine, path, currency=currency, **common)
    imports = {"products": import_products, "events": import_events}
    return imports[one.kind](engine, path, **common)


@dataclass
class _Beat:
    """How far an import has come, as its progress tells."""

    part: float = 0.0
    over: Event = field(default_factory=Event)

    def note(self, done: int, total: int) -> None:
        self.part = done / total if total else 0.0


@contextmanager
def _beating(engine: Engine, one: FileImport, clock: Clock) -> Iterator[_Beat]:
    """Progress and lease written by a thread of their own: DuckDB may check a large file for minutes without a word."""
    beat = _Beat()

    def write() -> None:
        mine = (table.c.id == one.id, table.c.state == "running", table.c.attempts == one.attempts)
        while not beat.over.wait(BEAT_SECONDS):
            values = {"part_done": beat.part, "lease_until": clock() + LEASE}
            try:
                with transaction(engine) as session:
                    session.execute(update(table).where(*mine).values(**values))
            except OperationalError as error:  # the database is away for a moment: the next beat tells more
                log.warning("import_beat_missed", import_id=one.id, error=type(error.orig).__name__)

    thread = Thread(target=write, name=f"import-{one.id}", daemon=True)
    thread.start()
    try:
        yield beat
    finally:
        beat.over.set()
        thread.join()


def forget_files(engine: Engine, folder: Path, now: datetime) -> int:
    """Delete the files, and the refused rows, that have been kept for KEPT_DAYS; returns how many rows they were of."""
    old = now - timedelta(days=KEPT_DAYS)
    over = (
        table.c.removed_at.is_(None),
        table.c.state.not_in(("waiting", "running")),
        table.c.uploaded_at < old,
        or_(table.c.finished_at.is_(None), table.c.finished_at < old),
    )
    with transaction(engine) as session:
        gone = session.scalars(select(FileImport).where(*over).with_for_update()).all()
        for one in gone:
            for path in (*folder.glob(f"{one.id}.*"), refused_path_of(folder, one)):
                path.unlink(missing_ok=True)
            one.removed_at = now
            session.add(one)
    return len(gone)
