"""Processes that must not outlive the one that started them.

A killed `retarget serve` would leave its web process behind, with the port, the old secrets and the old database: the
next `serve` shares the port with it, and half of the webhooks go where nobody looks.
"""

import os
import threading
import time
from collections.abc import Callable

LOOK_EVERY_SECONDS = 0.5


def when_parent_dies(parent: int, act: Callable[[], object]) -> None:
    """Call `act` once, from a thread of its own, as soon as `parent` is no longer this process's parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_SECONDS)
        act()

    threading.Thread(target=watch, name="parent", daemon=True).start()
