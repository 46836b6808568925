"""What no dictionary lists and a rule can tell: joins and parts the segmenter's words of a run of Chinese characters.

The rules are those of docs/keywords.md, "How we segment": a character that means something never stands alone beside
what it belongs to (團購價, 不膩, 送禮), and what the dictionary joins against the rules is parted (有了 -> 有 了).
"""

from collections.abc import Callable, Sequence

# Characters of grammar: they stand alone.
_GRAMMAR = frozenset(
    "的了嗎呢吧啊喔哦唷囉啦耶呀嘍之與和及或跟並且但而若則是在我你您妳他她它們這那此其該各起止中前後內外裡間旁"
    "等被把讓給從到往向對為以於由比陪幫憑含"
)
# Adverbs and auxiliaries: one word with one character after them, a word of their own before more.
_ADVERBS = frozenset("不沒最更很太超好再也都就還只又才先快多少能會要可想正剛已將未別現全皆均免無早常真每")
_AUXILIARIES = frozenset("能會要可想")
_AFTER_ADVERB = frozenset("是在到給")  # characters of grammar that an adverb does join
# With two characters after them they make an attribute: 高支撐, 無添加, 小公司, 男襯衫.
_ATTRIBUTES = frozenset("無免零非低高大小新舊老雙多全純抗防除半男女貓狗茶白黑紅藍綠金銀")
_NEVER_ATTRIBUTED = _GRAMMAR | _ADVERBS | frozenset("一二兩三四五六七八九十百千萬幾")
# Nouns of one character that end a longer one: 團購價, 露營車, 熬夜肌, 咖啡控.
_ENDINGS = frozenset(
    "價級款組店控肌族色季團券車包箱機器鍋盒館園區站廳房室屋城鎮村島師生家者長王黨迷粉膏霜露液油水乳精素皂膜棒"
    "筆刷盤罐瓶杯碗壺袋套架櫃床椅桌墊毯巾帽衣褲裙裝鞋靴襪鍊戒錶鏡燈扇爐灶刀鏟板片貼紙本冊書報刊課班隊賽會展祭"
    "節日週月夜禮金費額率量度力感性型式風系派流版號碼卡票證照險貸稅線殼座頭儀表檯台筒管鎖門窗牆磚餐飯麵粥湯餅糕"
    "糖酥捲塔凍冰茶酒奶蛋肉魚蝦蟹雞鴨鵝豬牛羊豆米果菜瓜醬鹽醋品物界業法術製味香曲歌劇秀棚單點網文派丸串排絲乾泥"
)
_NUMERALS = frozenset("第一二兩三四五六七八九十百千萬半幾數整單首每這那本")
_MEASURES = frozenset(
    "件入包盒瓶組罐片支條雙套個份張次天日秒週周年歲倍枚顆粒杯碗位名款期晚夜坪對分吋度號樓場堂輪台臺輛家間所本冊箱"
    "袋桶桌排串球隻頭匹株朵束籃盤鍋壺匙勺口色種項檔波季月人斤磅兩錢噸戶站關班趟回步抹層格"
)
_LONG_MEASURES = frozenset(
    ["分鐘", "小時", "個月", "公分", "公斤", "公克", "公升", "公里", "毫升", "人份", "星期", "入組", "入裝", "件組"]
)
_PACKED = frozenset("份組裝券遊團房")
# What a verb of one character may be completed by: 收齊, 買到; with 不 or 得 between: 吃不胖.
_COMPLEMENTS = frozenset("到完起滿齊光掉住開給成好懂膩胖停夠動過下見")
_PARTICLES = frozenset("了著")
_FIXED_PARTICLES = frozenset(
    ["為了", "除了", "算了", "罷了", "執著", "衣著", "顯著", "膠著", "沉著", "穿著", "接著", "隨著"]
)
_AFTER_TWO = frozenset("到完好給成")  # complements of verbs of two characters, which stand alone
_COMMON, _FIXED = 30, 20  # counts of the dictionary: a part that is a word by itself; a whole that is one for sure
_OPEN_ADVERBS = frozenset("不最更很再超也都就還只又")


def keep_rules(words: Sequence[str], is_listed: Callable[[str], bool], frequency: Callable[[str], int]) -> list[str]:
    """The words of one run of Chinese characters as the rules want them, in order; nothing is lost or added.

    `is_listed` says of a word that it is of the lexicon or the brand's own, which no rule parts; `frequency` is the
    dictionary's count, 0 for what it lacks."""
    parted: list[str] = []
    for word in words:
        parted += [word] if len(word) < 2 or is_listed(word) else _parted(word, is_listed, frequency)
    if all(len(word) > 1 for word in parted):
        return parted
    return _with_endings(_joined_singles(_counted(parted)))


def _parted(word: str, is_listed: Callable[[str], bool], frequency: Callable[[str], int]) -> list[str]:
    if word[-1] in _PARTICLES and word not in _FIXED_PARTICLES and len(word) == 2:
        return [word[0], word[1]]

    if word[-1] == "的" and len(word) > 2:
        return [word[:-1], "的"]

    def is_common(part: str) -> bool:
        return is_listed(part) or frequency(part) >= _COMMON

    own = frequency(word)
    if len(word) == 3 and word[-1] in _AFTER_TWO and is_common(word[:2]):
        return [word[:2], word[2]]
    if len(word) == 3 and word[0] in _OPEN_ADVERBS and is_common(word[1:]) and own < _FIXED:
        return [word[0], word[1:]]
    if len(word) == 4 and is_common(word[:2]) and is_common(word[2:]) and own < _FIXED:
        return [word[:2], word[2:]]
    return [word]


def _counted(words: Sequence[str]) -> list[str]:
    """Numerals and their measure as one: 三天, 五分鐘, 每台, 一週份."""
    found: list[str] = []
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and len(words[end]) == 1 and words[end] in _NUMERALS:
            end += 1
        if end > at and end < len(words) and (words[end] in _MEASURES or words[end] in _LONG_MEASURES):
            end += 1
        elif len(words[at]) == 2 and words[at][0] in _NUMERALS and words[at][1] in _MEASURES:
            end = at + 1
        else:
            end = at
        if end > at and end < len(words) and words[end] in _PACKED:
            end += 1
        end = max(end, at + 1)
        found.append("".join(words[at:end]))
        at = end
    return found


def _joined_singles(words: Sequence[str]) -> list[str]:
    """From the right: adverb and verb, verb and object or complement, attribute and noun."""
    found: list[str] = []  # from the right
    at = len(words) - 1
    while at >= 0:
        taken = 1
        before = words[at - 1] if at and len(words[at - 1]) == 1 else ""
        if before:
            third = words[at - 2] if at > 1 and len(words[at - 2]) == 1 else ""
            taken = _taken(third, before, words[at], has_next=bool(found))
        found.append("".join(words[at + 1 - taken : at + 1]))
        at -= taken
    return found[::-1]


def _taken(third: str, before: str, word: str, *, has_next: bool) -> int:
    """How many of the words third, before, word (the first two of one character; third may be "") are one."""
    if len(word) == 1:
        if before in "不得" and word in _COMPLEMENTS and third and _acts(third):
            return 3
        return 2 if _are_one(before, word, has_next=has_next) else 1
    if len(word) == 2 and word[0] in "不得" and word[1] in _COMPLEMENTS and _acts(before):
        return 2
    return 2 if len(word) == 2 and before in _ATTRIBUTES and word[0] not in _NEVER_ATTRIBUTED else 1


def _acts(character: str) -> bool:
    return _means(character) and character not in _ADVERBS


def _means(character: str) -> bool:
    return character not in _GRAMMAR


def _are_one(first: str, second: str, *, has_next: bool) -> bool:
    if first in "不很更最超太再" and second in "多少早快好真":
        return True
    if second in _ADVERBS:
        return first in _ADVERBS and second in _AUXILIARIES and has_next
    if first in _ADVERBS:
        return _means(second) or second in _AFTER_ADVERB
    if second in _COMPLEMENTS:
        return _means(first)
    if second in "前後內外上下裡":
        return _means(first)
    return _means(first) and _means(second)


def _with_endings(words: Sequence[str]) -> list[str]:
    """A noun of one character goes to the word before it: 團購價."""
    found: list[str] = []
    for word in words:
        if word in _ENDINGS and found and len(found[-1]) > 1 and found[-1][-1] not in _GRAMMAR:
            found[-1] += word
        else:
            found.append(word)
    return found
