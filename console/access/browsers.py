"""What a browser that has signed in is called: its name and the machine it runs on, read from its user agent."""

from campaigns.links.kinds import MAX_AGENT_READ, device_of
from console.words.catalog import translate

# What is in a browser's agent -> its name; the first that is found, since most also call themselves Chrome or Safari
BROWSERS = {
    "Line/": "LINE",
    "FBAN/": "Facebook",
    "FBAV/": "Facebook",
    "Instagram": "Instagram",
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "CriOS/": "Chrome",
    "FxiOS/": "Firefox",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
MACHINES = {
    "iphone": "iPhone",
    "ipad": "iPad",
    "android": "Android",
    "windows": "Windows",
    "mac": "macOS",
    "cros": "ChromeOS",
    "linux": "Linux",
}


def browser_words(user_agent: str, language: str) -> str:
    """Such as "Chrome · Windows"; words of `language` ("zh" or "en") for a browser that isn't known."""
    agent = user_agent[:MAX_AGENT_READ]
    name = next((name for mark, name in BROWSERS.items() if mark in agent), None)
    machine = MACHINES.get(device_of(agent).family)
    return " · ".join(word for word in (name or translate("不認得的瀏覽器", language), machine) if word)
