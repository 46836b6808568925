"""What every page of the console is built from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import g
from sqlalchemy import Engine
from werkzeug.local import LocalProxy

from console.frame.line_doors import LineDoors
from keywords.copy.writer import Writer
from store.clock import Clock


@dataclass(frozen=True)
class Site:
    """The brand's database, its time zone, the clock that pages go by, and what the service's settings say.

    `snapshot_folder`: where the snapshot of the facts lies. `upload_folder`: where files wait for the worker, none
    larger than `upload_max_bytes`. `segment_defaults`: what segments are computed by where the brand chose nothing.
    `line` None: no door to LINE, and pages say so.
    """

    engine: Engine
    zone: ZoneInfo
    clock: Clock
    snapshot_folder: Path = Path("retarget-snapshot")
    conversion_days: int = 7
    segment_defaults: Mapping[str, Any] = field(default_factory=dict)
    public_base_url: str = "http://127.0.0.1:8000"
    line: LineDoors | None = None
    writer: Writer | None = None  # a model that writes copy; None: there is none
    upload_folder: Path = Path("retarget-uploads")
    upload_max_bytes: int = 2 * 1024**3
    currency: str = "TWD"  # of all amounts
    allow_first_owner: bool = False  # while there is no account, whoever sits at this machine may make the first


site: Site = LocalProxy(lambda: g.site)  # type: ignore[assignment]  # of the request; console/pages.py puts it there
