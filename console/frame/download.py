"""A file to take away, which leaves nothing on this machine."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Response

KINDS = {
    ".csv": "text/csv; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
}
CHUNK = 1 << 16  # bytes


def download(name: str, write: Callable[[Path], Any]) -> Response:
    """What `write` puts into a file of that name, ending as one of KINDS, as a download. Raises what `write` does."""
    with tempfile.TemporaryDirectory(prefix="retarget-") as folder:
        path = Path(folder) / name
        write(path)
        size, file = path.stat().st_size, path.open("rb")  # once open it can be read to its end without its name

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(CHUNK):
                yield piece

    response = Response(pieces(), mimetype=KINDS[path.suffix])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Content-Length"] = str(size)
    return response
