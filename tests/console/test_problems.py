"""What is kept as a problem, and what people did, is kept in English and told in Chinese on Chinese pages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from campaigns.sending.calls import REFUSED_CONTENT, UNKNOWN_LIMIT
from console.words.audit import done
from console.words.catalog import FOLDER
from console.words.refusals import told
from store.engine import transaction
from store.models import AuditEntry
from tests.conftest import StillClock
from tests.console.conftest import page
from tests.factories import make_campaign, make_channel

ROOT = FOLDER.parent.parent
# Where sentences are refused with that a campaign, a tag, a computation or an import keeps as its problem.
KEPT_FROM = (
    *("segmentation/run.py", "segmentation/leases.py", "segmentation/predict/model.py"),
    *("segmentation/predict/run.py", "segmentation/predict/forecast.py", "segmentation/demand/run.py"),
    *("store/imports/files.py", "store/imports/preview.py", "store/imports/spreadsheet.py"),
    *("store/imports/uploads.py", "store/imports/customers.py", "store/imports/checks.py"),
)
PAUSES = ("pause_for", "stop_channel", "fail_run", "pause", "_pause")
SENDS = ("campaigns/sending", "campaigns/planning", "campaigns/results")
RAISED = ("BadInput", "NotFound", "ExpectedError", "TooLittleData", "SegmentRunBusy", "PredictionRunBusy", "LeaseLost")


def trees(*rooms: str) -> Iterator[ast.AST]:
    for room in rooms:
        for path in [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def said(node: ast.expr) -> str | None:
    """A sentence with its places filled; None for what is none, or begins with whatever an inner part said."""
    if isinstance(node, ast.Constant):
        text = str(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "'1'" if p.conversion == 114 else "1" for p in node.values)  # type: ignore[attr-defined]
        text = "".join(map(str, parts))
    else:
        return None
    return text if " " in text and re.search("[a-z]", text) else None


def problems() -> Iterator[str]:
    for node in trees(*KEPT_FROM):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in RAISED:
            yield from filter(None, map(said, node.exc.args[:1]))
    for node in trees(*SENDS):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (*PAUSES, "_in_transaction"):
            yield from filter(None, map(said, node.args))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "words":
            yield from filter(None, [said(node.value)])
        if isinstance(node, ast.Assign) and "problem" in ast.unparse(node.targets[0]):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            yield from filter(None, map(said, values))


def test_every_problem_that_is_kept_has_its_chinese() -> None:
    found = set(problems()) | {f"{words} (1)" for words in (UNKNOWN_LIMIT, REFUSED_CONTENT)}
    for words in ("was missed", "quota is used up", "quota has no room", "blocked the account", "has no header row"):
        assert any(words in one for one in found), words
    assert [one for one in sorted(found) if told(one, "zh") == one] == []
    assert [one for one in sorted(found) if not one.isascii() and "“CSV UTF-8”" not in one] == []  # kept in English


ACTED = re.compile(
    r"""(?:\baction(?:: str)?=|\baction: str = |\baction = |\b_?note\w*\(\w+, |\b_record\(\w+, |_stored\(\w+, \w+, |"""
    r"""\b(?:CHANGED|ACTION) = )f?"([^"{}\n]+)\""""
)


def actions() -> set[str]:
    rooms = ("bot", "campaigns", "console", "keywords", "segmentation", "service", "store")
    paths: list[Path] = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    found = {one for path in paths for one in ACTED.findall(path.read_text(encoding="utf-8"))}
    return {one for one in found if one.isascii()}  # else what is no action but a page's words


def test_every_action_of_the_audit_log_has_its_chinese() -> None:
    found = actions()
    assert {"sign in", "rename tag", "export results", "change campaign settings"} <= found
    assert [one for one in sorted(found) if done(one, "zh") == one] == []
    assert done("ask for a thing of tomorrow", "zh") == "要求執行工作：a thing of tomorrow"
    assert done("sign in", "en") == "sign in"


@pytest.mark.parametrize(
    ("address", "chinese", "english"),
    [
        ("/console/", "錯過了 2026-11-02 09:00 的發送", "the firing of 2026-11-02 09:00 was missed"),
        ("/console/settings", "LINE 不接受這個頻道的權杖或帳號（401）", "LINE refuses this channel"),
        ("/console/settings/audit", "匯出成果", "export results"),
    ],
)
def test_pages_tell_what_is_kept_in_their_language(
    client: FlaskClient, engine: Engine, clock: StillClock, address: str, chinese: str, english: str
) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        channel.stopped_reason = "LINE refuses this channel's token or account (401)"
        make_campaign(session, channel, state="failed", problem="the firing of 2026-11-02 09:00 was missed")
        session.add(AuditEntry(at=clock(), actor="a@b.example", action="export results", detail={}))
    text = page(client, address)
    assert chinese in text
    assert english not in text
    assert english in page(client, f"{address}?lang=en")
