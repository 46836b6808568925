"""Front-end parts that come from packages and stand in no commit: taken out of pinned wheels at set-up.

`python -m console.assets WHEELS` copies them from a folder of wheels (`make` downloads it, requirements-assets.lock) to
console/static/vendor/.
"""

import sys
import zipfile
from pathlib import Path

VENDOR = Path(__file__).parent / "static" / "vendor"

# file in vendor/: (wheel's name begins with, path in it)
PARTS = {
    "htmx.min.js": ("django_htmx-", "django_htmx/static/django_htmx/htmx-2.min.js"),
    "echarts.min.js": ("panel-", "panel/dist/bundled/echarts/echarts@6.0.0/dist/echarts.min.js"),
}


def missing_parts() -> list[str]:
    """Names of the parts that set-up has not brought yet."""
    return [name for name in PARTS if not (VENDOR / name).is_file()]


def take_parts(wheels: Path) -> None:
    """Copy every part out of the wheels in the folder `wheels`. Raises FileNotFoundError naming what isn't there."""
    VENDOR.mkdir(exist_ok=True)
    for name, (prefix, inside) in PARTS.items():
        wheel = next(iter(sorted(wheels.glob(f"{prefix}*.whl"))), None)
        if wheel is None:
            raise FileNotFoundError(f"no wheel {prefix}*.whl in {wheels}")
        with zipfile.ZipFile(wheel) as archive:
            path = next((entry for entry in archive.namelist() if entry.endswith(inside)), None)
            if path is None:
                raise FileNotFoundError(f"{wheel.name} has no {inside}")
            (VENDOR / name).write_bytes(archive.read(path))


if __name__ == "__main__":
    take_parts(Path(sys.argv[1]))
