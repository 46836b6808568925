"""`retarget simulator` as a process of its own."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import requests

from simulator.server import SimulatorThread

RUN = [sys.executable, "-c", "from service.cli import main; main()", "simulator"]


def test_it_serves_people_says_what_to_put_into_env_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    command = [*RUN, "--port", "0", "--people", "20", "--quota", "500", "--access-token", "token-of-the-test"]
    project = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": project, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        found = re.search(r"LINE_API_BASE=(http://127\.0\.0\.1:\d+)", "".join(lines))
        assert found is not None
        state = requests.get(f"{found[1]}/simulator", timeout=5).json()
        headers = {"Authorization": "Bearer token-of-the-test"}
        quota = requests.get(f"{found[1]}/v2/bot/message/quota", headers=headers, timeout=5).json()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert "LINE_CHANNEL_ACCESS_TOKEN=token-of-the-test" in "".join(lines)
    assert state["life"]["people"] == 20
    assert state["life"]["waiting"] >= 20  # everyone is about to follow
    assert quota == {"type": "limited", "value": 500}


def test_a_taken_port_is_one_sentence_and_exit_code_1(server: SimulatorThread, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"}
    command = [*RUN, "--port", port, "--people", "0"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"retarget: can't listen on 127.0.0.1:{port}")
    assert len(ended.stderr.splitlines()) == 1
