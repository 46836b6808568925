"""Who fetched a link: a person, a preview, a robot; and which taps on somebody's own link came from somebody else.

Every fetch is kept raw, with its user agent, so that what is told here can be told again. What can't be told, and is
not claimed: a person behind a robot's agent, a robot behind a person's, and what `are_forwards` says of its limits.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from crawlerdetect import CrawlerDetect

MAX_AGENT_READ = 1_000  # characters looked at

ClickKind = Literal["person", "forward", "preview", "robot"]

_crawlers = CrawlerDetect()
_PLATFORM = re.compile(r"\(([^)]*)\)")
_FAMILIES = ("iphone", "ipad", "android", "windows", "mac", "cros", "linux")  # an iPhone says Mac, an Android Linux
_PHONES = {"iphone": "phone", "android": "phone", "ipad": "tablet"}


@lru_cache(maxsize=4096)
def kind_of_agent(user_agent: str) -> ClickKind:
    """Who fetched a link, from its User-Agent. LINE's in-app browser (`Line/…`) is a person; a preview fetcher, which
    social apps run when a link is pasted, is not; without an agent it is a program."""
    lowered = user_agent.lower()
    if "facebookexternalhit" in lowered or "line-poker" in lowered:  # what LINE and others fetch previews with
        return "preview"
    if not user_agent.strip() or _crawlers.isCrawler(user_agent):
        return "robot"
    return "person"


def kind_of_fetch(method: str, user_agent: str, purpose: str) -> ClickKind:
    """Who fetched a link: a HEAD request or a prefetch (by its `Sec-Purpose` or `Purpose`) is a preview, whatever it
    calls itself."""
    if method == "HEAD" or (purpose and "prefetch" in purpose.lower()):
        return "preview"
    return kind_of_agent(user_agent[:MAX_AGENT_READ])


class Device(NamedTuple):
    """What a user agent tells of a device. `model` None: it does not say."""

    sort: str  # phone, tablet or computer
    family: str
    model: str | None

    def is_another_than(self, other: "Device") -> bool:
        """Whether they are certainly two devices."""
        if self.family != other.family:
            return True
        return self.model is not None and other.model is not None and self.model != other.model


@lru_cache(maxsize=4096)
def device_of(user_agent: str) -> Device:
    """The device of an agent: its platform, and on Android its model. Versions are left out: they change."""
    match = _PLATFORM.search(user_agent)
    parts = [part.strip() for part in match.group(1).split(";")] if match else [""]
    words = " ".join(parts).lower()
    family = next((name for name in _FAMILIES if name in words), "")
    model = None
    if family == "android":
        after = next((n for n, part in enumerate(parts) if part.lower().startswith("android")), len(parts)) + 1
        model = parts[after].partition(" Build/")[0] if after < len(parts) else None
        if model in ("K", "wv", ""):  # Chrome's reduced agent says K for every model
            model = None
    return Device(_PHONES.get(family, "computer"), family, model)


def are_forwards(user_agents: Sequence[str]) -> list[bool]:
    """Of the taps on one person's own link, oldest first: which came from somebody to whom it was forwarded.

    The first phone, the first tablet and the first computer are taken for the person's own; whatever is certainly
    another device of the same sort is somebody else's. So it misses a friend with the same model, any two iPhones, and
    a friend who tapped first or alone (then the person's own taps count as the forwards); and it wrongs whoever taps
    with two phones. A tap proven by LIFF needs none of this.
    """
    own: dict[str, Device] = {}
    flags = []
    for agent in user_agents:
        device = device_of(agent)
        first = own.setdefault(device.sort, device)
        if first.model is None and first.family == device.family:
            own[device.sort] = device  # the same as far as can be told, and now its model is known
        flags.append(device.is_another_than(first))
    return flags
