"""What a regular expression knows better than a dictionary: discounts, prices, counts, dates, links, emoji, fields."""

from collections.abc import Iterable
from enum import StrEnum

import regex  # type: ignore[import-untyped]


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    LATIN = "latin"
    NUMBER = "number"
    DISCOUNT = "discount"
    PRICE = "price"
    COUNT = "count"
    DATE = "date"
    URL = "url"
    EMOJI = "emoji"
    FIELD = "field"  # `{{ name }}`, filled in for each person
    MARK = "mark"  # punctuation and other signs


_DIGITS = "一二兩三四五六七八九十百千萬"
_N = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_AMOUNT = rf"(?:{_N}|[{_DIGITS}]+)"
_MONEY = rf"(?:NT\$|\$)?{_AMOUNT}元?"
_SPEND = rf"滿{_MONEY}"
_BOUGHT = "件入包盒瓶組罐片支條雙套個份張箱袋杯顆球碗堂晚天年月"
_NOT_IN_WORD = r"(?<![\p{Latin}\d_])(?<!\d[.,])"
_MEASURES = (
    "件|入|包|盒|瓶|組|罐|片|支|條|雙|套|個|份|張|人份|人|次|天|日|小時|分鐘|秒|週|周|個月|年|歲|倍|點|枚|顆|粒|杯|碗|"
    "位|名|款|期|晚|夜|坪|吋|公分|公斤|公克|公升|公里|毫升|度|號|樓|場|堂|輪|人次|步|大|色|台|臺|輛|家|間|箱|袋|桶|斤|磅|"
    "種|項|檔|波|星期|層|格|抹|戶|隻|朵|束|串|球|口|站|年份|分(?![期鐘之享類開店])"
)
_PACKED = (  # what a count of pieces makes: 7入組, 5斤裝, 3日券; not the first half of a word
    "入組|入裝|入(?![手門園住會坑場口])|裝(?![潢置扮])|組(?![合成裝])|份(?!量)|券|遊(?![戲樂玩程])|團(?![購主媽員])|房(?![間型客價])|票(?![券價])"
)
_UNITS = r"(?:ml|mL|ML|cc|kg|g|mg|cm|mm|m|L|GB|TB|MB|mAh|W|V|Hz|吋|oz|hr|hrs|min|%)(?![\p{Latin}\d])"
_TYPED = {
    Kind.FIELD: r"\{\{[^{}]*\}\}",
    Kind.URL: (
        r"(?:https?://|www\.)[\w\-.~:/?#\[\]@!$&'()*+,;=%--\p{Han}]*[\w/#=&%\-+--\p{Han}]"
        r"|(?<![\w@.%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
        r"|(?<![\w@.-])(?:[A-Za-z0-9-]+\.)+(?:com|tw|net|org|io|me|ee|ly|cc|co|jp|shop|store)(?![\p{Latin}\d])"
        r"(?:/[A-Za-z0-9\-._~/?#@!$&'*+,;=%]*[A-Za-z0-9/_=&#%+-])?"
    ),
    Kind.EMOJI: (
        r"\p{RI}{2}|[0-9#*]\uFE0F?\u20E3"
        r"|\p{Extended_Pictographic}[\p{EMod}\uFE0F]*[\U000E0020-\U000E007F]*"
        r"(?:\u200D\p{Extended_Pictographic}[\p{EMod}\uFE0F]*)*"
    ),
    Kind.DISCOUNT: (
        rf"{_NOT_IN_WORD}(?:[1-9]\.\d|[1-9]\d?)\s?折(?!扣|價券|抵)"
        r"|[一二三四五六七八九]{1,2}折(?!扣|價券|抵)"
        rf"|{_NOT_IN_WORD}\d{{1,2}}%\s?(?i:off)(?!\p{{Latin}})"
        rf"|買{_AMOUNT}[{_BOUGHT}]?送{_AMOUNT}[{_BOUGHT}]?|{_SPEND}(?:現折|現抵|現省|送|折|減|抵|省){_MONEY}(?![\d折倍%點])"
        r"|對折|半價"
    ),
    Kind.PRICE: (
        rf"(?:NT\$?|TWD|US\$|HK\$|[$¥€£])\s?{_N}(?:[千萬億]|[kK](?!\p{{Latin}}))?元?"
        rf"|{_NOT_IN_WORD}{_N}(?:[千萬億]?元|塊錢?|[萬億])"
        r"|(?<![單美公日歐多港一二兩三四五六七八九十百千萬])[一二兩三四五六七八九十百千萬]{1,8}元(?![旦宵素件老首])"
    ),
    Kind.DATE: (
        rf"{_NOT_IN_WORD}(?:\d{{4}}[/.-])?(?:1[0-2]|0?[1-9])[/-](?:3[01]|[12]\d|0?[1-9])(?![\d/])"
        rf"|{_NOT_IN_WORD}\d{{4}}\.\d{{1,2}}\.\d{{1,2}}(?!\d)"
        rf"|{_NOT_IN_WORD}(?:1[0-2]|[1-9])月(?:3[01]|[12]\d|[1-9])[日號]"
        rf"|{_NOT_IN_WORD}(?:1[0-2]|[1-9])月(?:底|初|中旬|上旬|下旬)?(?!份)"
        rf"|{_NOT_IN_WORD}(?:[01]?\d|2[0-4]):[0-5]\d(?!\d)"
        r"|(?<![一二兩三四五六七八九十幾每這那\d])雙(?:1[0-2]|[1-9]|十一|十二|十)(?![\d.,]\d|\d)"
    ),
    Kind.COUNT: (
        rf"第?{_NOT_IN_WORD}{_N}\s?(?:{_UNITS}|%)|第?{_NOT_IN_WORD}{_N}\s?(?:{_MEASURES})(?:{_PACKED})?"
        rf"|第[{_DIGITS}]+(?:件|入|包|盒|瓶|組|雙|套|個|份|張|人|次|天|杯|碗|位|名|款|顆|代)"
        rf"|(?<![{_DIGITS}])[{_DIGITS}半]+(?:個月|分鐘|小時|公分|公斤|公里|星期)"
    ),
}
# What a typed token can begin with.
_FIRSTS = rf"\p{{Latin}}\p{{N}}_.%+\-\{{$¥€£#*買滿對雙第半{_DIGITS}\p{{RI}}\p{{Extended_Pictographic}}"
_PLAIN = regex.compile(
    r"(?P<latin>\d*\p{Latin}[\p{Latin}\p{M}\d_]*(?:['’.&\-+][\p{Latin}\d_]+)*)"
    r"|(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)"
    r"|(?P<han>[\p{Han}々〇]+)"
    r"|(?P<word>[\p{Hiragana}\p{Katakana}ー]+|[\p{L}\p{M}\p{N}_--[\p{Han}\p{Latin}\p{Hiragana}\p{Katakana}]]+)"
    r"|(?P<mark>[^\s])",
    regex.VERSION1,
)
PLAIN_KINDS = {"latin": Kind.LATIN, "number": Kind.NUMBER, "word": Kind.WORD, "mark": Kind.MARK}


def plain_pattern() -> regex.Pattern[str]:
    """Cuts the text between typed tokens; group `han` is a run of Chinese characters, still to be segmented."""
    return _PLAIN


def typed_pattern(words: Iterable[str]) -> regex.Pattern[str]:
    """Finds the typed tokens in NFKC text; the group's name is the kind.

    `words` are the known words that aren't all Chinese characters (T恤, LINE Pay): they come as group `known`,
    whatever their case, and are looked for before all but fields, links and offers.
    """
    groups = {kind.value: pattern for kind, pattern in _TYPED.items()}
    known = sorted({word for word in words if word}, key=len, reverse=True)
    ordered = ["field", "url", "discount", "known", "date", "price", "count", "emoji"]
    edge = r"(?![\p{Latin}\d])"
    firsts = "".join(sorted({regex.escape(first) for word in known for first in (word[0].lower(), word[0].upper())}))
    groups["known"] = rf"(?<![\p{{Latin}}\d])(?i:{'|'.join(map(regex.escape, known))}){edge}" if known else r"(?!)"
    # most signs are Chinese characters that begin nothing typed: one look at a set spares them all alternatives
    gate = rf"(?=[{_FIRSTS}{firsts}])"
    return regex.compile(
        gate + "(?:" + "|".join(f"(?P<{name}>{groups[name]})" for name in ordered) + ")", regex.VERSION1
    )
