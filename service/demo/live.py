"""The demo's present: web server and worker run as they would for a brand, and a campaign scheduled a few seconds ahead
fires by itself, goes out over HTTP, is tapped and bought from.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import numpy as np

from campaigns.audience.target import Audience
from campaigns.planning.plan import Plan, create_campaign, one_step
from campaigns.planning.schedule import campaign_by_id
from campaigns.results.runs import RunResults
from campaigns.results.together import campaign_results
from keywords.copy.suggestion import suggest
from keywords.effects.stored import renew_learning, require_learning
from keywords.text.tokenizer import Tokenizer
from service.demo.copywriting import SHOP
from service.demo.past import take_orders
from service.demo.stage import Stage
from simulator.server import SimulatorThread
from store.clock import system_clock
from store.engine import reading, transaction

TIME_SCALE = 20_000.0  # a day and a half, the mean time to a purchase, passes in six seconds
SECONDS_AHEAD = 3
LIVE_TARGET = "rf4=regular"
LIVE_THEME = "冬季服飾"
WAIT_SECONDS = 180.0

Progress = Callable[[str, int, int], None]


@contextmanager
def living(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """`retarget up` in a process of its own, and people who act by themselves, until the block ends."""
    stage.close()
    port = int(stage.thread.url.rpartition(":")[2])
    stage.thread.stop()
    stage.clock.let_go()
    stage.simulator.is_live = True
    stage.simulator.life.time_scale = TIME_SCALE
    stage.simulator.connect(f"{stage.settings.public_base_url}/webhook")
    stage.thread = SimulatorThread(stage.simulator, port=port).start()
    child = subprocess.Popen([sys.executable, "-m", "service.cli", "up"], env=environment(stage))
    try:
        _wait_until_served(stage, child)
        yield child
    finally:
        stage.thread.stop()
        child.terminate()
        child.wait(timeout=30)


def environment(stage: Stage) -> dict[str, str]:
    """The environment variables under which a process serves the demo's database."""
    settings = stage.settings
    return {
        **os.environ,
        "RETARGET_ENV": "development",
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "LINE_CHANNEL_NAME": settings.line_channel_name,
        "LINE_CHANNEL_SECRET": settings.line_channel_secret.get_secret_value(),
        "LINE_CHANNEL_ACCESS_TOKEN": settings.line_channel_access_token.get_secret_value(),
        "LINE_CHANNELS": "[]",
        "LINE_API_BASE": settings.line_api_base,
        "PUBLIC_BASE_URL": settings.public_base_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "WEB_WORKERS": "1",
        "TIMEZONE": settings.timezone,
        "LOG_LEVEL": "ERROR",
    }


def _wait_until_served(stage: Stage, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"the service ended with exit code {child.returncode}")
        try:
            with urllib.request.urlopen(f"{stage.settings.public_base_url}/healthz", timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError("the service did not answer in time")


def suggested_text(stage: Stage, seed: int) -> str:
    """Copy made of what the past has taught: the phrases that promise most for the theme."""
    tokenizer = Tokenizer()
    renew_learning(stage.engine, tokenizer, zone=stage.settings.zone, clock=stage.clock)
    with reading(stage.engine) as session:
        learning = require_learning(session).learning
    found = suggest(LIVE_THEME, learning, tokenizer, np.random.default_rng(seed))
    best = [term.text for term in found.terms[:3]]
    return f"【{LIVE_THEME}】{'、'.join(best)}！{{{{ name or '您' }}}}，點這裡 👉 {SHOP}/live?utm_source=line"


def run_live(stage: Stage, text: str, progress: Progress) -> tuple[int, RunResults]:
    """Schedule a campaign a few seconds ahead and wait until it is sent, tapped and the first orders are in."""
    now = system_clock()
    plan = Plan(
        name=f"{LIVE_THEME}・現場 live",
        audience=Audience((LIVE_TARGET,)),
        steps=one_step([{"type": "text", "text": text}]),
        at=now + timedelta(seconds=SECONDS_AHEAD),
        theme=LIVE_THEME,
        holdout_percent=Decimal(10),
    )
    with transaction(stage.engine) as session:
        campaign = create_campaign(session, plan, channel_id=stage.channel_id, zone=stage.settings.zone, now=now)
        assert campaign.id is not None
        campaign_id = campaign.id
    state = "scheduled"
    deadline = time.monotonic() + WAIT_SECONDS
    while state != "sent" and time.monotonic() < deadline:
        time.sleep(0.5)
        with reading(stage.engine) as session:
            state = campaign_by_id(session, campaign_id).state
            counts = campaign_results(session, campaign_id).deliveries
        progress(f"live campaign 現場活動: {state}", counts["accepted"], max(1, counts["accepted"] + counts["chosen"]))
    if state != "sent":
        raise RuntimeError(f"the live campaign is still {state} after {WAIT_SECONDS:g} seconds")
    watched_seconds = 16
    for second in range(watched_seconds):
        time.sleep(1)
        take_orders(stage)
        progress("people tap and buy 點擊與購買", second + 1, watched_seconds)
    with reading(stage.engine) as session:
        return campaign_id, campaign_results(session, campaign_id)
