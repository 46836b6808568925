"""What an import says of itself."""

from dataclasses import dataclass, field
from typing import Any

REFUSALS_KEPT = 100


@dataclass
class ImportReport:
    """Counts of one import.

    `read`, `refused_count` and the row numbers are rows of the file (a CSV's header is row 1, as a spreadsheet shows
    it; a Parquet file and a JSON lines file begin with row 1). `added`, `changed` and `unchanged` are customers,
    orders or products. `refused` keeps the first 100 as (row number, reason); `refused_by_reason` counts them all.
    `archived_tags` are tags that the file names and that were put on nobody, as they are archived.
    """

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused_count: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    ignored_columns: list[str] = field(default_factory=list)
    archived_tags: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """What the audit trail keeps: numbers only."""
        return {
            "read": self.read,
            "added": self.added,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "refused": self.refused_count,
        }

    def to_json(self) -> dict[str, Any]:
        """The counts and the kept refusals, ready for `json.dumps`."""
        return {
            **self.counts(),
            "refused_by_reason": self.refused_by_reason,
            "first_refused": [{"row": row, "reason": reason} for row, reason in self.refused],
            "ignored_columns": self.ignored_columns,
            "archived_tags": self.archived_tags,
        }
