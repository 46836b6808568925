"""What the demo plays on: a new database, the service's web application and sending, a simulated LINE, one clock.

The past is played with a clock that is set by hand; `go_live` lets it run.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine
from werkzeug.test import Client

from bot.inbox import process_inbox
from bot.replies import send_due_replies
from campaigns.links.buttons import Buttons
from campaigns.results.catch_up import catch_up
from campaigns.sending.dispatch import Dispatch
from console.access.passwords import hash_of
from console.access.roles import Role
from console.access.users import make_user
from service.app import build
from service.channels import channel_ids
from service.doors import line_doors
from service.links import token_signer
from service.settings import Settings
from service.worker import derive_from_clicks, dispatching, learn_from_runs, reply_riders, reply_texts
from simulator.channels import ChannelOptions
from simulator.life import user_agent
from simulator.population import Action, ActionKind, Population
from simulator.server import Simulator, SimulatorThread
from simulator.webhooks import Event, body_of, sign
from store.bodies import open_bodies
from store.clock import system_clock
from store.engine import open_engine, transaction
from store.migrate import upgrade

EVENTS_A_BODY = 50


class DemoClock:
    """A clock that stands where it is put, until it is let go."""

    def __init__(self, start: datetime) -> None:
        self._now: datetime | None = start

    def __call__(self) -> datetime:
        return self._now or system_clock()

    def put(self, now: datetime) -> None:
        """Set the time; never backwards."""
        if self._now is not None:
            self._now = max(self._now, now)

    def let_go(self) -> None:
        """From now on tell the real time."""
        self._now = None


@dataclass
class Stage:
    """Everything that the acts of the demo need."""

    settings: Settings
    engine: Engine
    bodies: Engine  # where webhook bodies wait
    clock: DemoClock
    population: Population
    simulator: Simulator
    thread: SimulatorThread
    folder: Path
    channel_id: int
    web: Client
    close_web: Callable[[], None]
    dispatch: Dispatch
    stack: AsyncExitStack
    loop: asyncio.Runner
    taken_purchases: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    def webhook(self, events: Iterable[Event]) -> None:
        """Deliver events to the service's webhook, signed, and let it process them."""
        options = self.thread.platform.channels[0].options
        waiting = list(events)
        for start in range(0, len(waiting), EVENTS_A_BODY):
            body = body_of(options.bot_user_id, waiting[start : start + EVENTS_A_BODY])
            answer = self.web.post("/webhook", data=body, headers={"x-line-signature": sign(options.secret, body)})
            if answer.status_code != 200:
                raise RuntimeError(f"the webhook answered {answer.status_code}")
        texts, riders = reply_texts(self.settings), reply_riders(self.settings)
        buttons = Buttons(token_signer(self.settings))
        while process_inbox(self.engine, self.bodies, clock=self.clock, texts=texts, riders=riders, buttons=buttons):
            pass
        send_due_replies(self.engine, line_doors(self.engine, self.settings), clock=self.clock, riders=riders)

    def perform(self, actions: Iterable[Action]) -> None:
        """Do what people do, each at its time: taps over the tracked links, the rest inside LINE."""
        events: list[Event] = []
        for action in actions:
            self.clock.put(action.at)
            if action.kind in (ActionKind.TAP, ActionKind.PREVIEW):
                parts = urlsplit(action.url)
                self.web.get(parts.path, query_string=parts.query, headers={"User-Agent": user_agent(action)})
            events += self.simulator.life.apply(action)
        self.webhook(events)

    def send_due(self) -> None:
        """Send everything that is due, over HTTP."""
        self.loop.run(self.dispatch.drain())

    def catch_up(self) -> None:
        """The worker's jobs that follow taps."""
        derive_from_clicks(self.engine, self.clock)
        catch_up(self.engine, self.clock)
        learn_from_runs(self.engine, self.clock)

    def close(self) -> None:
        """End everything of the past's own process."""
        self.loop.run(self.stack.aclose())
        self.loop.close()
        self.close_web()
        self.bodies.dispose()


def free_port(preferred: int) -> int:
    """`preferred` if nobody listens there, else a port that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise RuntimeError("no free port on 127.0.0.1")


def open_stage(folder: Path, *, history_days: int, seed: int, port: int) -> Stage:
    """A new stage in `folder`, whose earlier demo database is removed. The clock stands `history_days` ago, 09:00."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("retarget.db*"):
        old.unlink()
    options = ChannelOptions()
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # a demo must not touch the real account of a .env
        retarget_env="development",
        database_url=f"sqlite:///{folder / 'retarget.db'}",
        secret_key=secrets.token_urlsafe(32),  # type: ignore[arg-type]
        line_channel_name="main",
        line_channel_secret=options.secret,  # type: ignore[arg-type]
        line_channel_access_token=options.access_token,  # type: ignore[arg-type]
        line_channels=[],
        host="127.0.0.1",
        port=port,
        web_workers=1,
        public_base_url=f"http://127.0.0.1:{port}",
        timezone="Asia/Taipei",
    )
    today = datetime.now(settings.zone).date()
    clock = DemoClock(datetime.combine(today - timedelta(days=history_days), time(9), settings.zone).astimezone(UTC))
    population = Population(seed, born=clock(), zone=settings.timezone)
    simulator = Simulator([options], population=population, is_live=False, seed=seed, clock=clock)
    thread = SimulatorThread(simulator).start()
    settings = settings.model_copy(update={"line_api_base": thread.url})
    engine = open_engine(settings.database_url)
    upgrade(engine)
    application, close_web = build(settings, engine, clock)
    loop, stack = asyncio.Runner(), AsyncExitStack()
    return Stage(
        settings=settings,
        engine=engine,
        bodies=open_bodies(engine),
        clock=clock,
        population=population,
        simulator=simulator,
        thread=thread,
        folder=folder,
        channel_id=channel_ids(engine, settings)["main"],
        web=Client(application),
        close_web=close_web,
        dispatch=loop.run(dispatching(engine, settings, clock, stack)),
        stack=stack,
        loop=loop,
    )


def make_owner(stage: Stage) -> tuple[str, str]:
    """(e-mail, password) of an account that may do everything in the demo's console."""
    email, password, now = "demo@example.com", secrets.token_urlsafe(12), system_clock()
    hashed = hash_of(password)
    with transaction(stage.engine) as session:
        make_user(session, email=email, name="品牌", role=Role.OWNER, actor="demo", now=now, password_hash=hashed)
    return email, password
