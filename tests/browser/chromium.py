"""Finding a Chromium for the browser tests, or bringing one; `python -m tests.browser.chromium` prints its path."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


class NoBrowser(Exception):
    """There is none, and none could be installed."""


def find_chromium() -> str | None:
    """The browser that CHROMIUM names, or the machine's own; None without one."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or (str(MAC) if MAC.exists() else None)


def require_chromium() -> str:
    """The same, installed where there is none: by Debian's apt as root, else by Playwright. Raises NoBrowser."""
    if found := find_chromium():
        return found
    tried = []
    if shutil.which("apt-get") and os.geteuid() == 0:
        tried += [["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]]
    for command in tried:
        subprocess.run(command, check=False, stdout=sys.stderr, timeout=600)
    if found := find_chromium():
        return found
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False, timeout=600)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if not Path(path).exists():
        raise NoBrowser("no Chromium was found or could be installed: install one, or name it in CHROMIUM")
    return path


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{require_chromium()}\n")
    except NoBrowser as error:
        sys.exit(str(error))
