"""A 200 is a promise: the process may be killed the moment after, and the body is there."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, func, select

from store.bodies import open_bodies
from store.engine import reading, table_of, transaction
from store.models import WebhookBody
from tests.factories import make_channel

ROOT = Path(__file__).parent.parent.parent
# Posts bodies from eight threads and says so after each 200, until it is killed.
PROGRAM = """
import os, sys, threading
from werkzeug.test import Client
from bot.webhook import ChannelKeys, WebhookIntake
from store.bodies import open_bodies
from store.clock import system_clock
from store.engine import open_engine
from store.journal import Journal
from tests.bot.conftest import SECRET, sign

intake = WebhookIntake(None, {"main": ChannelKeys(int(sys.argv[2]), (SECRET,))},
                       Journal(open_bodies(open_engine(sys.argv[1]))), system_clock, 10_000)

def post(worker):
    client = Client(intake)
    for number in range(10**6):
        body = b'{"events": [{"type": "n%d-%d"}]}' % (worker, number)
        if client.post("/webhook", data=body, headers={"X-Line-Signature": sign(body)}).status_code == 200:
            os.write(1, body + b"\\n")

for worker in range(8):
    threading.Thread(target=post, args=(worker,)).start()
"""


def test_killed_right_after_a_200_no_body_is_lost(
    engine: Engine, database_url: str, open_again: Callable[[], Engine]
) -> None:
    with transaction(engine) as session:
        channel_id = make_channel(session).id
    command = [sys.executable, "-c", PROGRAM, database_url, str(channel_id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline().strip() for _ in range(200)]
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
    answered += [line.strip() for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    with reading(open_bodies(open_again())) as session:
        stored = [bytes(b) for b in session.execute(select(table_of(WebhookBody).c.body)).scalars()]
        count = session.execute(select(func.count()).select_from(table_of(WebhookBody))).scalar_one()
    assert len(answered) >= 200
    assert set(answered) <= set(stored)
    assert len(set(stored)) == count
