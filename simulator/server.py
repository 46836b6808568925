"""The simulator as a running server: LINE's endpoints, the control API and the people's life on one event loop."""

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from aiohttp import web

from simulator.channels import ChannelOptions, Friend
from simulator.control import Control
from simulator.endpoints import Endpoints
from simulator.faults import FaultPlan
from simulator.http import MAX_BODY_BYTES, line_errors
from simulator.life import Life
from simulator.login import Login
from simulator.platform import Platform, utc_now
from simulator.population import Population
from simulator.webhooks import Event, WebhookSender

START_SECONDS = 10.0
NARROWCASTS_EVERY_SECONDS = 0.2


class Simulator:
    """A platform, the people living in it, the faults in force and where webhooks go: all that a server serves.

    `population`'s people are friends of the first channel from the start, unless `are_friends` is False; without a
    population nobody acts unless told to. `is_live` False (history mode): the caller takes `life.due(…)` and performs
    it. `has_ordinary_life`: live people also buy and chat of their own accord, not only because of messages.
    """

    def __init__(
        self,
        channels: Sequence[ChannelOptions] = (),
        *,
        population: Population | None = None,
        webhook_url: str = "",
        time_scale: float = 1.0,
        is_live: bool = True,
        are_friends: bool = True,
        has_ordinary_life: bool = False,
        seed: int = 0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.platform = Platform(channels, clock=clock)
        people = population or Population(seed, born=clock())
        if are_friends:
            self.platform.add_friends(Friend(p.line_user_id, p.name) for p in people.people.values())
        self.life = Life(self.platform, people, time_scale=time_scale)
        self.platform.on_delivered = self.life.notice
        self.faults = FaultPlan(seed)
        self.login = Login(clock)
        first = self.platform.channels[0]
        self.sender = WebhookSender(first.webhook, first.options.secret, first.options.bot_user_id)
        self.is_live = is_live
        self._has_ordinary_life = has_ordinary_life
        if webhook_url:
            self.connect(webhook_url)

    def connect(self, webhook_url: str) -> None:
        """From now on send the first channel's webhooks there."""
        self.platform.channels[0].webhook.url = webhook_url

    def tell(self, events: list[Event]) -> None:
        """Send events in the background of the server's loop; dropped when there is nowhere to send them."""
        if self.sender.endpoint.takes_events:
            self.sender.start(events)

    def create_app(self) -> web.Application:
        """The aiohttp application; people live in it from its start to its end."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[line_errors])
        app.add_routes(Endpoints(self.platform, self.faults).routes())
        app.add_routes(self.login.routes())
        app.add_routes(Control(self.platform, self.faults, self.life, self.sender).routes())
        app.cleanup_ctx.append(self._live)
        return app

    async def _live(self, _: web.Application) -> AsyncIterator[None]:
        lives = [self._send_narrowcasts()]
        lives += [self.life.run(self.tell)] if self.is_live else []
        lives += [self.life.live_on()] if self._has_ordinary_life else []
        tasks = [asyncio.create_task(life) for life in lives]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.sender.close()

    async def _send_narrowcasts(self) -> None:
        while True:
            self.platform.send_narrowcasts()
            await asyncio.sleep(NARROWCASTS_EVERY_SECONDS)

    async def serve(self, host: str, port: int, on_start: Callable[[int], None], stop: asyncio.Event) -> None:
        """Serve until `stop` is set; `on_start` is told the port once connections are accepted. Raises OSError."""
        runner = web.AppRunner(self.create_app(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, backlog=1024, reuse_address=True)
            await site.start()
            on_start(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()


class SimulatorThread:
    """A simulator served from its own thread, for tests and the demo; a context manager. Port 0 takes a free one."""

    def __init__(self, simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.simulator = simulator
        self.platform = simulator.platform
        self.life = simulator.life
        self.url = ""
        self._host = host
        self._port = port
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def start(self) -> Self:
        """Start, and return once connections are accepted. Raises OSError when the port can't be had."""
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise TimeoutError(f"the simulator did not start within {START_SECONDS:g} s")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop serving and wait for the thread's end; twice is the same as once."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            try:
                runner.run(self._main())
            except BaseException as error:
                if self._started.is_set():
                    raise
                self._failure = error  # told to whoever waits in start()
                self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.simulator.serve(self._host, self._port, self._note_start, self._stop)

    def _note_start(self, port: int) -> None:
        self.url = f"http://{self._host}:{port}"
        self._started.set()


def walk_young_objects_only() -> None:
    """Keep this process's garbage collector from walking a ledger that only grows: at each walk, LINE stood still for
    up to 0.3 s after 60,000 requests, which the real one doesn't. For a process that is nothing but LINE."""
    gc.freeze()
    gc.set_threshold(10_000, 50, 1_000)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loops where there is uvloop; None for asyncio's own."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
