"""People told from robots and previews, and a person's own devices from those of friends."""

import pytest

from campaigns.links.kinds import Device, are_forwards, device_of, kind_of_agent, kind_of_fetch

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
NEWER = PHONE.replace("18_0", "18_6_2") + " Safari Line/15.2.1"
PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A.240205; wv) AppleWebKit/537.36 Chrome/120 Line/14.9.0/IAB"
CHROME = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537"
GALAXY = "Mozilla/5.0 (Linux; Android 13; SM-S918B) AppleWebKit/537.36 Chrome/120 Mobile Safari/537.36 Line/14.9.0/IAB"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605"
IPAD = "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (PHONE, "person"),
        (f"{PHONE} Safari Line/15.2.1", "person"),
        (
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120 Safari/537.36 Line/14.9.0/IAB",
            "person",
        ),
        ("facebookexternalhit/1.1;line-poker/1.0", "preview"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "robot"),
        ("curl/8.5.0", "robot"),
        ("python-requests/2.32", "robot"),
        ("", "robot"),
        ("   ", "robot"),
    ],
)
def test_people_are_told_from_robots(agent: str, kind: str) -> None:
    assert kind_of_agent(agent) == kind


@pytest.mark.parametrize(
    ("method", "purpose", "kind"),
    [("GET", "", "person"), ("HEAD", "", "preview"), ("GET", "prefetch;prerender", "preview"), ("GET", "x", "person")],
)
def test_looking_ahead_is_a_preview(method: str, purpose: str, kind: str) -> None:
    assert kind_of_fetch(method, PHONE, purpose) == kind


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (PHONE, Device("phone", "iphone", None)),
        (PIXEL, Device("phone", "android", "Pixel 8")),
        (CHROME, Device("phone", "android", None)),
        (GALAXY, Device("phone", "android", "SM-S918B")),
        (WINDOWS, Device("computer", "windows", None)),
        (MAC, Device("computer", "mac", None)),
        (IPAD, Device("tablet", "ipad", None)),
        ("", Device("computer", "", None)),
        ("Mozilla/5.0 (Linux; Android", Device("computer", "", None)),
    ],
)
def test_an_agent_tells_its_device(agent: str, device: Device) -> None:
    assert device_of(agent) == device


@pytest.mark.parametrize(
    ("agents", "flags"),
    [
        ([], []),
        ([PHONE, PHONE, NEWER], [False] * 3),  # the same phone after an update, in LINE and outside
        ([PHONE, WINDOWS, IPAD, PHONE], [False] * 4),  # one of each sort
        ([PHONE, PIXEL], [False, True]),
        ([PIXEL, GALAXY, PIXEL], [False, True, False]),
        ([PIXEL, CHROME], [False, False]),  # opened from LINE in the outside browser
        ([CHROME, PIXEL, GALAXY], [False, False, True]),
        ([WINDOWS, MAC], [False, True]),
    ],
)
def test_a_second_device_of_a_sort_is_a_friend(agents: list[str], flags: list[bool]) -> None:
    assert are_forwards(agents) == flags
