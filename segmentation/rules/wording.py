"""Rules as sentences for people, in Traditional Chinese and in English. Only words; nothing is decided here."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from segmentation.models import MODELS
from segmentation.rules.types import (
    MONEY_SCORES,
    Age,
    AllOf,
    AnyOf,
    Attribute,
    Birthday,
    Bounds,
    Clicks,
    Events,
    InSegment,
    Measure,
    Moved,
    NotOf,
    Orders,
    Products,
    Rule,
    RuleReference,
    Tagged,
    Window,
)
from segmentation.rules.words import (
    ATTRIBUTES,
    BOUNDS,
    FLAG_WORDS,
    GENDERS,
    KINDS,
    MODEL_NAMES,
    NOTHING_FOUND,
    ORDER_MEASURES,
    SCORES,
    UNKNOWN,
    WHOLE,
    WINDOWS,
)

Language = Literal["zh", "en"]
CampaignNames = Mapping[int, str]


def sentence(rule: Rule, language: Language, campaigns: CampaignNames = MappingProxyType({})) -> str:
    """`rule` in words, without a full stop. Campaigns that have no name (naming.py) are told by their numbers."""
    match rule:
        case AllOf():
            return _joined(rule.of, "，且" if language == "zh" else ", and ", language, campaigns)
        case AnyOf():
            return _joined(rule.of, "，或" if language == "zh" else ", or ", language, campaigns)
        case NotOf():
            inner = sentence(rule.of, language, campaigns)
            return f"並非（{inner}）" if language == "zh" else f"not ({inner})"
        case Attribute():
            return _attribute(rule, language)
        case Age():
            return WHOLE["age"][language].format(limits(rule, language))
        case Birthday():
            return WHOLE["birthday" if rule.within_days else "birthday today"][language].format(rule.within_days)
        case Orders():
            return _orders(rule, language)
        case Events() | Clicks():
            return _events(rule, language, campaigns)
        case Tagged():
            return _tag(rule, language)
        case InSegment():
            return _segment(rule, language)
        case Moved():
            return _moved(rule, language)
        case Measure():
            label, unit = SCORES[rule.name][language]
            return _spaced(label, limits(rule, language), unit)
        case RuleReference():
            return WHOLE["rule"][language].format(rule.name)


def limits(bounds: Bounds, language: Language) -> str:
    """The limits in words, such as 至少 5 or 35–50."""
    words = BOUNDS[language]
    low, high = bounds.at_least, bounds.at_most
    if low is not None and high is not None:
        return words["exactly"].format(number(low)) if low == high else f"{number(low)}–{number(high)}"
    if high == 0 and bounds.more_than is None and not _may_be_negative(bounds):
        return "0"
    given = {name: getattr(bounds, name) for name in ("at_least", "more_than", "at_most", "less_than")}
    return words["and"].join(words[name].format(number(value)) for name, value in given.items() if value is not None)


def _may_be_negative(bounds: Bounds) -> bool:
    """Money (rows of refunds may stand in it), and what the brand says of a customer."""
    match bounds:
        case Orders(measure="sum" | "average") | Attribute():
            return True
        case Measure():
            return bounds.name in MONEY_SCORES
    return False


def number(value: Decimal) -> str:
    """A number with its thousands apart and no needless zeros."""
    return f"{value.normalize():,f}"


def found_words(condition: Rule, found: Any, language: Language) -> str:
    """What was found for a condition on facts (as explain.py tells it), in words."""
    is_of_the_past = isinstance(condition, InSegment) and (condition.days_ago is not None or condition.on is not None)
    if found is None and is_of_the_past:  # perhaps nobody had computed that day
        return UNKNOWN[language]
    if found is None:
        return NOTHING_FOUND.get(str(condition.__struct_config__.tag), UNKNOWN)[language]
    if isinstance(condition, InSegment):
        return _segment_name(condition.model, str(found), language)
    if isinstance(found, bool):
        return BOUNDS[language]["yes" if found else "no"]
    text = f"{found:,}" if isinstance(found, int) else str(found)
    return _spaced(text, _unit(condition, language))


def _unit(condition: Rule, language: Language) -> str:
    match condition:
        case Age() | Birthday():
            return WHOLE["years" if isinstance(condition, Age) else "days"][language]
        case Orders(measure="first" | "last"):
            return ""
        case Orders():
            return ORDER_MEASURES[condition.measure][language][1]
        case Events() | Clicks():
            return WHOLE["times"][language]
        case Measure():
            return SCORES[condition.name][language][1]
    return ""


def _joined(parts: tuple[Rule, ...], word: str, language: Language, campaigns: CampaignNames) -> str:
    def inner(part: Rule) -> str:
        while isinstance(part, AllOf | AnyOf) and len(part.of) == 1:  # a group of one says no more than the one
            part = part.of[0]
        text = sentence(part, language, campaigns)
        if len(parts) > 1 and isinstance(part, AllOf | AnyOf):
            return f"（{text}）" if language == "zh" else f"({text})"
        return text

    return word.join(inner(part) for part in parts)


def _attribute(rule: Attribute, language: Language) -> str:
    if rule.name in FLAG_WORDS and rule.is_ is not None:
        return FLAG_WORDS[rule.name][bool(rule.is_)][language]
    label = ATTRIBUTES.get(rule.name, {}).get(language, rule.name)
    words = BOUNDS[language]
    if rule.exists is not None:
        return words["known" if rule.exists else "not known"].format(label)
    if rule.contains is not None:
        return words["contains"].format(label, rule.contains)
    if rule.in_ is not None:
        return words["one of"].format(label, words["comma"].join(rule.in_))
    if rule.is_ is None:
        return _spaced(label, limits(rule, language))
    if rule.name == "city":
        return WHOLE["city"][language].format(rule.is_)
    if rule.name == "gender" and str(rule.is_).lower() in GENDERS:
        return GENDERS[str(rule.is_).lower()][language]
    value = words["yes" if rule.is_ else "no"] if isinstance(rule.is_, bool) else str(rule.is_)
    return words["is"].format(label, value)


def _orders(rule: Orders, language: Language) -> str:
    label, unit = ORDER_MEASURES[rule.measure][language]
    what = _products(rule.products, language)
    label = label.format(what) if "{" in label else label
    when = _window(rule.window, language)
    if rule.on is not None:
        label = _spaced(label, BOUNDS[language]["on"].format(_window(rule.on, language)))
        return _spaced(when, label) if language == "zh" else _spaced(label, when)
    text = _spaced(label, limits(rule, language), unit)
    return _spaced(when, text) if language == "zh" else _spaced(text, when)


def _products(products: Products | None, language: Language) -> str:
    if products is None:
        return WHOLE["anything"][language]
    words, found = BOUNDS[language], []
    for names, key in ((products.categories, "category"), (products.labels, "label"), (products.skus, "sku")):
        if names:
            found.append(words[key].format(words["comma"].join(names)))
    if products.name_contains:
        found.append(words["named"].format(products.name_contains))
    return words["products"].format(words["comma"].join(found))


def _events(rule: Events | Clicks, language: Language, campaigns: CampaignNames) -> str:
    words = BOUNDS[language]
    kinds = rule.kinds if isinstance(rule, Events) else ("click",)
    label = words["or"].join(KINDS.get(kind, {}).get(language, WHOLE["event"][language].format(kind)) for kind in kinds)
    about = []
    if isinstance(rule, Events) and rule.products:
        about.append(_products(rule.products, language))
    if rule.topics:
        about.append(words["topics"].format(words["comma"].join(rule.topics)))
    if rule.campaigns:
        about += [
            words["campaign named"].format(campaigns[number])
            if number in campaigns
            else words["campaign"].format(number)
            for number in rule.campaigns
        ]
    label += words["about"].format(words["comma"].join(about)) if about else ""
    text = _spaced(label, limits(rule, language), WHOLE["times"][language])
    when = _window(rule.window, language)
    return _spaced(when, text) if language == "zh" else _spaced(text, when)


def _tag(rule: Tagged, language: Language) -> str:
    words = BOUNDS[language]
    text = WHOLE["tag"][language].format(rule.name)
    if rule.days is not None:
        text += words["for days"].format(limits(rule.days, language))
    if rule.strength is not None:
        text += words["strength"].format(limits(rule.strength, language))
    return text


def _segment(rule: InSegment, language: Language) -> str:
    names = BOUNDS[language]["comma"].join(_segment_name(rule.model, name, language) for name in rule.in_)
    model = MODEL_NAMES[rule.model][language]
    if rule.days_ago is not None:
        return WHOLE["segment ago"][language].format(model, names, rule.days_ago)
    if rule.on is not None:
        return WHOLE["segment on"][language].format(model, names, rule.on)
    return WHOLE["segment"][language].format(model, names)


def _segment_name(model: str, name: str, language: Language) -> str:
    if language == "en":
        return name.replace("_", " ")
    return next((segment.chinese for segment in MODELS[model] if segment.name == name), name)


def _moved(rule: Moved, language: Language) -> str:
    words = BOUNDS[language]

    def named(segments: tuple[str, ...] | None) -> str:
        if segments is None:
            return words["any segment"]
        return words["comma"].join(_segment_name(rule.model, name, language) for name in segments)

    text = WHOLE["moved"][language].format(MODEL_NAMES[rule.model][language], named(rule.from_), named(rule.to))
    when = _window(rule.window, language)
    return _spaced(when, text) if language == "zh" else _spaced(text, when)


def _window(window: Window | None, language: Language) -> str:
    words = WINDOWS[language]
    if window is None:
        return ""
    if window.last_days is not None:
        return words["last"].format(window.last_days)
    if window.from_ is not None and window.until is not None:
        return words["between"].format(window.from_, window.until)
    return words["from"].format(window.from_) if window.from_ is not None else words["until"].format(window.until)


def _spaced(*parts: str) -> str:
    return " ".join(part for part in parts if part)
