"""The hidden truth about words: what each adds to the log-odds of a tap. The report of a good service finds it again.

The figures are invented for the simulation, not measured on anyone. Some words that sound strong do next to nothing and
some do harm, so that a ranking by belief, or by raw averages, comes out wrong.
"""

import re
from collections.abc import Iterable

WORD_EFFECTS: dict[str, float] = {
    "限時下殺": 0.55,
    "買一送一": 0.70,
    "免運": 0.45,
    "滿千送百": 0.35,
    "會員獨享": 0.40,
    "最後一天": 0.38,
    "點數加倍": 0.25,
    "週年慶": 0.30,
    "5折": 0.65,
    "7折": 0.42,
    "85折": 0.12,
    "折價券": 0.36,
    "加價購": 0.08,
    "第二件半價": 0.33,
    "限量": 0.22,
    "獨家": 0.10,
    "生日禮": 0.60,
    "專屬優惠": 0.28,
    "新品上市": 0.05,
    "預購": -0.08,
    "早鳥": 0.18,
    "搶購": -0.12,
    "熱銷": 0.02,
    "推薦": 0.0,
    "好評回購": 0.15,
    "缺貨補貨": 0.24,
    "抽獎": 0.20,
    "直播": -0.20,
    "問卷": -0.55,
    "公告": -0.60,
    "品牌故事": -0.35,
    "下載": -0.40,
    "錯過不再": -0.18,
    "驚喜": 0.06,
    "特賣": 0.26,
    "清倉": 0.31,
    "補貨通知": 0.16,
    "訂閱制": -0.30,
    "門市": -0.15,
    "開箱": 0.04,
    "免費試用": 0.48,
    "集點": 0.09,
}
OFFER_WORDS = frozenset(
    {"限時下殺", "買一送一", "免運", "滿千送百", "5折", "7折", "85折", "折價券", "第二件半價", "特賣", "清倉"}
)
THEME_WORDS: dict[str, tuple[str, ...]] = {
    "洗護": ("去屑", "抗油", "染護", "頭皮養護", "洗髮", "護髮"),
    "冬季服飾": ("羽絨外套", "發熱衣", "毛衣", "圍巾", "冬季"),
    "美妝": ("口紅", "面膜", "精華", "防曬", "底妝"),
    "零食": ("餅乾", "巧克力", "堅果", "洋芋片", "零食"),
    "母嬰": ("尿布", "奶瓶", "嬰兒", "副食品", "推車"),
    "3C": ("耳機", "充電", "手機殼", "鍵盤", "藍牙"),
    "居家": ("收納", "寢具", "香氛", "清潔", "廚具"),
    "音樂": ("唱片", "演唱會", "專輯", "黑膠", "耳機"),
}
CHAT_PHRASES = (
    "請問還有貨嗎",
    "什麼時候出貨",
    "想問運費怎麼算",
    "有沒有門市可以試用",
    "謝謝",
    "可以用折價券嗎",
    "頭皮很癢有推薦的洗髮精嗎",
    "染完頭髮要用哪一款護髮",
    "有羽絨外套的優惠嗎",
    "想買面膜",
    "訂單什麼時候到",
    "點數怎麼折抵",
    "太貴了",
    "這個好用嗎",
)
REFUSAL_PHRASE = "取消"

_LONGEST_FIRST = re.compile("|".join(sorted(map(re.escape, WORD_EFFECTS), key=len, reverse=True)))


def words_in(text: str) -> set[str]:
    """The words of the table found in `text`, each once; a longer one hides those inside it. "15折" is not "5折"."""
    return {
        found.group()
        for found in _LONGEST_FIRST.finditer(text)
        if not (found.group()[0].isdigit() and found.start() > 0 and text[found.start() - 1].isdigit())
    }


def themes_in(text: str) -> set[str]:
    """The themes that `text` has a word of."""
    return {theme for theme, words in THEME_WORDS.items() if any(word in text for word in words)}


def effect_of(words: Iterable[str], price_sensitivity: float) -> float:
    """What `words` add for one person: offers weigh by `price_sensitivity` (1 on average), others alike for all."""
    return sum(WORD_EFFECTS[word] * (price_sensitivity if word in OFFER_WORDS else 1.0) for word in words)
