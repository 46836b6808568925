"""SQLite's rows by a child process: reused, replaced when it dies, never half an answer taken for a whole one."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from segmentation import sqlite_batches as readers
from segmentation.sqlite_batches import sqlite_batches

ROWS = 300_000  # some megabytes: more than a pipe holds
BATCH_ROWS = 1_000
QUERY = "SELECT n FROM number"


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "numbers.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE number (n BIGINT)")
        database.executemany("INSERT INTO number VALUES (?)", ((n,) for n in range(ROWS)))
    database.close()
    return f"sqlite://{path}"


@pytest.fixture(autouse=True)
def no_children_of_others() -> Iterator[None]:
    readers.end_idle()
    yield
    readers.end_idle()


def idle_ids() -> list[int]:
    return [child.process.pid for child in readers._idle]


def numbers(url: str, query: str = QUERY) -> list[int]:
    with sqlite_batches(url, query, BATCH_ROWS) as rows:
        found: list[int] = rows.read_all()["n"].to_pylist()
    return found


def is_alive(process_id: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process_id, 0)
        return True
    return False


def test_one_child_answers_question_after_question(url: str) -> None:
    assert sorted(numbers(url)) == list(range(ROWS))
    (child,) = idle_ids()
    assert numbers(url, "SELECT n FROM number WHERE n < 3") == [0, 1, 2]
    assert numbers(url, "SELECT n FROM number WHERE n < 0") == []
    assert idle_ids() == [child]


def test_a_child_that_waits_holds_no_file_of_the_database_open(url: str) -> None:
    numbers(url)
    (child,) = idle_ids()
    opened = [str(path.readlink()) for path in Path(f"/proc/{child}/fd").iterdir()]
    assert [name for name in opened if "numbers.db" in name] == []


def test_a_failing_query_says_what_is_wrong_and_the_next_question_is_answered(url: str) -> None:
    with pytest.raises(RuntimeError, match=r"the database could not be read: .*no such table: unknown"):
        numbers(url, "SELECT n FROM unknown")
    assert idle_ids() == []
    assert len(numbers(url)) == ROWS


def test_a_child_that_was_killed_while_it_waited_is_replaced(url: str) -> None:
    numbers(url)
    (child,) = readers._idle
    child.process.kill()
    while child.process.poll() is None:
        time.sleep(0.01)
    assert len(numbers(url)) == ROWS
    assert idle_ids() != [child.process.pid]


def test_an_answer_that_breaks_off_is_an_error_and_the_next_question_is_answered(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = watched(monkeypatch)

    def numbers_with_an_accident() -> None:
        with sqlite_batches(url, QUERY, BATCH_ROWS) as rows:
            rows.read_next_batch()
            os.kill(children[0].process.pid, signal.SIGKILL)
            rows.read_all()

    with pytest.raises(RuntimeError, match="the database could not be read: the reader ended with -9"):
        numbers_with_an_accident()
    assert len(numbers(url)) == ROWS


def watched(monkeypatch: pytest.MonkeyPatch) -> list[readers._Child]:
    """The children started from now on."""
    started: list[readers._Child] = []

    class Watched(readers._Child):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    monkeypatch.setattr(readers, "_Child", Watched)
    return started


def test_an_answer_without_its_end_mark_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Arrow takes what breaks off between two batches for a whole stream
    monkeypatch.setattr(readers, "END", b"?")
    with pytest.raises(EOFError):
        numbers(url)
    assert idle_ids() == []


def test_an_answer_that_is_not_read_to_its_end_spoils_no_other(url: str) -> None:
    with sqlite_batches(url, QUERY, BATCH_ROWS) as rows:
        assert rows.read_next_batch().num_rows == BATCH_ROWS
    assert numbers(url, "SELECT n FROM number WHERE n = 7") == [7]


def test_an_error_of_who_reads_is_his_own_and_ends_the_child(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    children = watched(monkeypatch)
    with pytest.raises(ZeroDivisionError), sqlite_batches(url, QUERY, BATCH_ROWS):
        _ = 1 / 0
    assert not is_alive(children[0].process.pid)
    assert idle_ids() == []


def test_two_threads_at_once_have_a_child_each(url: str) -> None:
    both = threading.Barrier(2)
    found: list[list[int]] = []

    def read() -> None:
        with sqlite_batches(url, QUERY, BATCH_ROWS) as rows:
            both.wait(timeout=120)
            found.append(sorted(rows.read_all()["n"].to_pylist()))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(ROWS))] * 2
    assert len(set(idle_ids())) == 2


@pytest.mark.parametrize("moment", ["waiting", "answering"])
def test_no_child_outlives_its_parent(url: str, moment: str) -> None:
    program = (
        "import sys, time; from segmentation import sqlite_batches as readers\n"
        "url, query = sys.argv[1:3]\n"
        "with readers.sqlite_batches(url, query, 1000) as rows: rows.read_all()\n"
        "print(readers._idle[0].process.pid, flush=True)\n"
        "if sys.argv[3] == 'waiting': time.sleep(60)\n"
        "with readers.sqlite_batches(url, query, 1000) as rows:\n"
        "    rows.read_next_batch(); print(flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, url, QUERY, moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if moment == "answering":
            parent.stdout.readline()
        assert is_alive(child)
        parent.kill()
    until = time.monotonic() + 60
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(child)
