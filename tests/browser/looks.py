"""What must hold of every page however it is looked at: both languages, light and dark, wide and phone."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from markupsafe import escape
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, select

from console.guide.terms import said_by
from store.engine import reading, table_of
from store.models import (
    AuditEntry,
    Campaign,
    CampaignDraft,
    Channel,
    ConsoleUser,
    Customer,
    CustomerList,
    CustomerView,
    DemandReport,
    FileImport,
    KeywordLearning,
    Product,
    ProductLabel,
    Tag,
    TrackedLink,
    Variant,
)
from store.models import Rule as RuleRow

LANGUAGES = ("zh", "en")
HAN = re.compile(r"[\u3400-\u9fff]+|[\u3001-\u303f\uff01-\uff60]")  # words and, each alone, marks
DATA = (
    *(AuditEntry, Campaign, CampaignDraft, Channel, ConsoleUser, Customer, CustomerList, CustomerView, DemandReport),
    *(FileImport, KeywordLearning, Product, ProductLabel, RuleRow, Tag, TrackedLink, Variant),
)
# What axe may judge otherwise in another look; its other rules are asked in light and wide, and in dark and narrow.
OF_A_LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
OURS = {"exclude": [[".phone"]]}  # the chat has LINE's colours, and the brand's
# Texts that are read, but what somebody typed or may choose, and what is marked as another language.
READ = """() => {
  const found = [], skipped = "script, style, textarea, option, [lang]:not(html)";
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (!walk.currentNode.parentElement.closest(skipped)) found.push(walk.currentNode.data);
  for (const one of document.querySelectorAll("[aria-label], [title], [placeholder], [alt]"))
    if (!one.closest(skipped)) for (const name of ["aria-label", "title", "placeholder", "alt"])
      if (one.hasAttribute(name)) found.push(one.getAttribute(name));
  return [document.title, ...found];
}"""

# Texts that are hard to read as they are laid out: one word under the other, or cut off.
SQUEEZED = """() => {
  const found = [], range = document.createRange();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), one = walk.currentNode.parentElement;
    if (text.length < 4 || one.closest(".unseen, .phone, svg, script, style, option")) continue;
    range.selectNodeContents(walk.currentNode);
    const lines = new Set([...range.getClientRects()].map(rect => Math.round(rect.top))).size;
    if (lines > 2 && text.length / lines < 3) found.push("squeezed: " + text);
    const style = getComputedStyle(one);
    if (style.overflowX === "hidden" && one.scrollWidth > one.clientWidth + 1) found.push("cut off: " + text);
  }
  return found;
}"""
# What a program calls things, which a page doesn't say.
CODE_WORDS = re.compile(r"\b(?:undefined|NaN|nan)\b|\bNone\b(?! )|[{\[]['\"]|\b[a-z]+(?:_[a-z0-9]+)+\b|\bDecimal\(")

# Sentences of the page itself: not what is pressed or chosen, nor what the brand wrote.
SENTENCES = """() => {
  const found = [], walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const pressed = "a, button, label, summary, select, textarea, datalist", drawn = "svg, script, style, template";
  const theirs = "h1, td:not(.advice), blockquote, code, .phone";
  while (walk.nextNode())
    if (!walk.currentNode.parentElement.closest([pressed, drawn, theirs].join())) found.push(walk.currentNode.data);
  return found;
}"""
DEFINED = """() => [...document.querySelectorAll('main a[href*="/guide/"]')]
  .filter(one => !one.hash).map(one => one.pathname.split("/").at(-1))"""

# What follows a new size is laid out with the next frame. Chromium without a screen may draw none: a second then.
DRAWN = """() => new Promise(done => {
  requestAnimationFrame(() => setTimeout(done));
  setTimeout(done, 1000);
})"""


@dataclass(frozen=True)
class Look:
    """A colour scheme and a width in pixels."""

    scheme: Literal["light", "dark"]
    width: int


LOOKS = (Look("light", 1280), Look("dark", 1280), Look("light", 390), Look("dark", 390))
WHOLE = (LOOKS[0], LOOKS[-1])


def in_language(address: str, language: str) -> str:
    """The address of a page in "zh" or "en"."""
    return f"{address}{'&' if '?' in address else '?'}lang={language}"


def open_page(tab: Page, address: str, language: str, status: int = 200) -> None:
    """The page at `address` in that language, with the parts that come after it. It must answer with `status`."""
    answer = tab.goto(in_language(address, language))
    assert answer is not None
    assert answer.status == status, address
    wait_for_parts(tab)


def wait_for_parts(tab: Page) -> None:
    """Until the parts that the loaded page asks for by itself have come."""
    expect(tab.locator(".htmx-request")).to_have_count(0)


def take(tab: Page, look: Look) -> None:
    """Let the open page be looked at so. Nothing moves, so that colours are at once what they will be."""
    tab.emulate_media(color_scheme=look.scheme, reduced_motion="reduce")
    tab.set_viewport_size({"width": look.width, "height": 900})
    tab.evaluate(DRAWN)


def wrong_in(tab: Page, looks: tuple[Look, ...] = LOOKS) -> list[str]:
    """What is wrong with the open page in these looks; [] when nothing is. It is not loaded again."""
    found: list[str] = []
    for look in looks:
        take(tab, look)
        if (width := tab.evaluate("document.documentElement.scrollWidth")) > look.width:
            found.append(f"{look}: it is {width} wide")
        found += [f"{look}: {one}" for one in tab.evaluate(SQUEEZED)]
        options: dict[str, Any] = {} if look in WHOLE else {"runOnly": OF_A_LOOK}
        violations = Axe().run(tab, context=OURS, options=options).response["violations"]
        found += [f"{look}: {one['id']} {[node['target'] for node in one['nodes'][:3]]}" for one in violations]
    return found


def chinese_in(tab: Page) -> set[str]:
    """The runs of Chinese that the open page shows or tells a screen reader."""
    return {run for text in tab.evaluate(READ) for run in HAN.findall(text)}


def code_in(tab: Page) -> set[str]:
    """The words of a program that the open page shows."""
    return {word for text in tab.evaluate(READ) for word in CODE_WORDS.findall(text)}


def undefined_in(tab: Page, language: str) -> set[str]:
    """The slugs of words that sentences of the open page say, of which no link on it leads to the definition."""
    linked = set(tab.evaluate(DEFINED))
    # escaped as in HTML, in which the words are looked for
    said = [match.lastgroup for text in tab.evaluate(SENTENCES) for match in said_by(language).finditer(escape(text))]
    return {slug.replace("_", "-") for slug in said if slug} - linked


def words_kept(engine: Engine) -> str:
    """Everything that the brand itself has written or named, in one text."""
    with reading(engine) as session:
        return "\n".join(str(tuple(row)) for model in DATA for row in session.execute(select(table_of(model))))
