"""What must hold of every page however it is looked at: both languages, light and dark, wide and phone."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from sqlalchemy import Engine, select

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
    Tag,
    TrackedLink,
    Variant,
)
from store.models import Rule as RuleRow

HAN = re.compile(r"[\u3400-\u9fff]+")
DATA = (
    *(AuditEntry, Campaign, CampaignDraft, Channel, ConsoleUser, Customer, CustomerList, CustomerView, DemandReport),
    *(FileImport, KeywordLearning, Product, RuleRow, Tag, TrackedLink, Variant),
)
# What axe may judge otherwise in another look; its other rules are asked in light and wide, and in dark and narrow.
OF_A_LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
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

SETTLED = """() => new Promise(done => requestAnimationFrame(() => {  // colours that change slowly have changed
  const ending = document.getAnimations().filter(one => isFinite(one.effect.getComputedTiming().endTime));
  Promise.allSettled(ending.map(one => one.finished)).then(() => done(true));
}))"""


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


def take(tab: Page, look: Look) -> None:
    """Let the open page be looked at so."""
    tab.emulate_media(color_scheme=look.scheme)
    tab.set_viewport_size({"width": look.width, "height": 900})
    tab.evaluate(SETTLED)


def wrong_in(tab: Page, looks: tuple[Look, ...] = LOOKS) -> list[str]:
    """What is wrong with the open page in these looks; [] when nothing is. It is not loaded again."""
    found: list[str] = []
    for look in looks:
        take(tab, look)
        if (width := tab.evaluate("document.documentElement.scrollWidth")) > look.width:
            found.append(f"{look}: it is {width} wide")
        options: dict[str, Any] = {} if look in WHOLE else {"runOnly": OF_A_LOOK}
        violations = Axe().run(tab, options=options).response["violations"]
        found += [f"{look}: {one['id']} {[node['target'] for node in one['nodes'][:3]]}" for one in violations]
    return found


def chinese_in(tab: Page) -> set[str]:
    """The runs of Chinese that the open page shows or tells a screen reader."""
    return {run for text in tab.evaluate(READ) for run in HAN.findall(text)}


def words_kept(engine: Engine) -> str:
    """Everything that the brand itself has written or named, in one text."""
    with reading(engine) as session:
        return "\n".join(str(row) for model in DATA for row in session.execute(select(table_of(model))))
