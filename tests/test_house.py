"""Rules of the house: imports only go down."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "store": set(),
    "simulator": set(),
    "bot": {"store"},
    "keywords": {"store"},
    "segmentation": {"store"},
    "campaigns": {"segmentation", "store"},
    "console": {"campaigns", "segmentation", "keywords", "store"},
    "benchmarks": {"service", "console", "campaigns", "segmentation", "keywords", "bot", "simulator", "store"},
    "service": {"benchmarks", "console", "campaigns", "segmentation", "keywords", "bot", "simulator", "store"},
}


def _rooms_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found & set(MAY_IMPORT)


def test_imports_only_go_down() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {room}"
        for package, allowed in MAY_IMPORT.items()
        for path in sorted((ROOT / package).rglob("*.py"))
        for room in sorted(_rooms_imported(path) - allowed - {package})
    ]
    assert wrong == []
