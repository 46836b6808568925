"""The copy of the demo's past campaigns: articles, urgency and offers put together by a seeded hand."""

import random
from dataclasses import dataclass

from simulator.words import THEME_WORDS, WORD_EFFECTS

SHOP = "https://shop.example"
TEMPLATES = (
    "【{theme}】{article} {a}，{b}！👉 {link}",
    "{{{{ name or '您' }}}}，{a}：{article}{b}，點這裡 {link}",
    "{article}來了！{a}、{b}、{c} {link}",
    "{a}｜{theme}{article}，{b}。{c} ➜ {link}",
)


@dataclass(frozen=True)
class PastCampaign:
    """One campaign of the demo's past."""

    name: str
    theme: str
    target: str
    text: str


def past_campaigns(count: int, targets: tuple[str, ...], seed: int) -> list[PastCampaign]:
    """`count` campaigns in order of time; every word of the hidden table is used about equally often."""
    chooser = random.Random(seed)
    deck: list[str] = []
    campaigns = []
    for number in range(count):
        theme = chooser.choice(list(THEME_WORDS))
        words: list[str] = []
        while len(words) < 3:
            if not deck:
                deck = chooser.sample(list(WORD_EFFECTS), len(WORD_EFFECTS))
            words.append(deck.pop())
        article = chooser.choice(THEME_WORDS[theme])
        link = f"{SHOP}/{number + 1}?utm_source=line"
        text = chooser.choice(TEMPLATES).format(
            theme=theme, article=article, a=words[0], b=words[1], c=words[2], link=link
        )
        target = targets[number % len(targets)]
        campaigns.append(PastCampaign(f"{theme}・{words[0]}", theme, target, text))
    return campaigns
