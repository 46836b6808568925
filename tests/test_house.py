"""Rules of the house: imports only go down, everything is documented, one door per outside thing."""

import ast
import re
from pathlib import Path
from typing import Any

from typer.main import get_command

from service.cli import app
from service.settings import Settings

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


def _python_files() -> list[Path]:
    return [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def test_readme_names_every_setting() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name.upper() for name in Settings.model_fields if f"`{name.upper()}`" not in readme]
    assert missing == []


def _commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "list_commands"):
        return [(path, command)]
    names = command.list_commands(None)
    return [found for name in names for found in _commands(command.get_command(None, name), (*path, name))]


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = _commands(get_command(app))
    assert len(commands) > 15
    for path, command in commands:
        assert command.help, path
        assert f"`{path[-1]}`" in readme or f"retarget {' '.join(path)}" in readme, path
        for parameter in command.params:
            assert getattr(parameter, "help", None) or parameter.name == "help", (path, parameter.name)


def test_only_the_tokenizer_imports_jieba_and_only_the_doors_the_sdk() -> None:
    importers: dict[str, set[str]] = {"jieba": set(), "linebot": set()}
    for path in _python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in names:
                if (top := name.split(".")[0]) in importers:
                    importers[top].add(str(path.relative_to(ROOT)))
    assert importers["jieba"] == {"keywords/text/tokenizer.py"}
    assert importers["linebot"] <= {
        *("bot/line/single.py", "bot/line/audiences.py", "bot/line/insight.py", "bot/line/sdk.py"),
        *("simulator/checks.py", "benchmarks/webhook_apps.py", "benchmarks/dispatch_peer.py"),
    }


def test_no_file_is_named_for_nothing_and_none_is_too_long() -> None:
    for path in _python_files():
        assert path.stem not in {"utils", "helpers", "helper", "common", "misc"}, path
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


def test_locked_dependencies_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-spark.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text


def test_documents_link_to_files_that_exist() -> None:
    for document in [*ROOT.glob("README*.md"), *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_migrations_are_one_chain_in_the_order_of_their_numbers() -> None:
    chain = []
    for path in sorted((ROOT / "store/migrations/versions").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        named = dict(re.findall(r"^(revision|down_revision) = [\x22\x27]?(\w+)[\x22\x27]?$", text, flags=re.MULTILINE))
        chain.append((path.name[:4], named["revision"], named["down_revision"]))
    numbers = [f"{number:04}" for number in range(1, len(chain) + 1)]
    assert chain == list(zip(numbers, numbers, ["None", *numbers], strict=False))


def test_a_page_is_a_function_of_its_module() -> None:
    """So that `add_pages` is a table of routes, whatever a room shows."""
    nested = [
        f"{path.relative_to(ROOT)}: {view.name}"
        for path in sorted((ROOT / "console").rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "add_pages"
        for view in node.body
        if isinstance(view, ast.FunctionDef)
    ]
    assert nested == []
