"""The keyword report as a file: a table or a page that may be passed on. Whoever makes one is noted."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlmodel import Session

from campaigns.results.table_file import whole_file, write_table
from keywords.sharing.page import report_page
from keywords.sharing.parts import COLUMNS, Part, rows_of
from store.errors import BadInput
from store.models import AuditEntry

ENDINGS = (".html", ".csv", ".xlsx", ".json")


def write_report(path: Path, parts: Sequence[Part], *, made_at: datetime, zone: ZoneInfo, period: str = "") -> int:
    """Write `parts` to `path` by its ending; returns how many rows (of a page: terms of all parts). The file is
    whole or not there, and only its owner may read it. Raises BadInput for another ending or an unwritable place."""
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"{path.name} must end in {', '.join(ENDINGS)}")
    if path.suffix.lower() != ".html":
        return write_table(path, COLUMNS, rows_of(parts))
    with whole_file(path) as part:
        part.write_text(report_page(parts, made_at=made_at, zone=zone, period=period), encoding="utf-8")
    return sum(1 for _ in rows_of(parts))


def note_export(session: Session, path: Path, rows: int, *, actor: str, now: datetime) -> None:
    """Note in the audit trail that the report left as a file."""
    detail = {"format": path.suffix.lower().removeprefix("."), "rows": rows}
    session.add(AuditEntry(at=now, actor=actor, action="export keyword report", detail=detail))
