"""The settings that made a model's result, in the marketer's words, to stand beside it."""

from collections.abc import Mapping
from typing import Any

from console.words.catalog import translate
from console.words.marks import bracketed

_MEASURES = {"rf4": "rf", "rf11": "rf", "rfm3": "rfm", "rfm8": "rfm"}
_UNITS = {"r": "天", "f": "次", "m": "元"}
_PERSONAL = ("nesl_personal", "nes_personal")


def model_settings(model: str, settings: Mapping[str, Any], language: str) -> list[tuple[str, str]]:
    """(name, value) of each setting of `model`, from the settings of a run; both in `language`. Of a run that is older
    than a setting, the setting is left out."""

    def t(words: str) -> str:
        return translate(words, language)

    def beside(words: str) -> str:
        return bracketed(words, language)

    chosen = settings.get("chosen") or {}
    found: list[tuple[str, str]] = []
    scores = settings.get("scores") or {}
    how_high = t("高於平均") if settings.get("high") == "above the mean" else t("自訂")
    for name in _MEASURES.get(model, ""):
        if name in scores:
            found += _score(name, scores[name], how_high, t, beside)
    if model in ("nesl", "nes", *_PERSONAL) and "cycle_days" in settings:
        found.append((t("購買週期"), f"{settings['cycle_days']} {t('天')} · {_how_cycle(settings, t, beside)}"))
    if model in _PERSONAL and "cycle_weight" in chosen:
        found.append((t("品牌週期的權重"), f"{chosen['cycle_weight']} {t('個間隔')}"))
    if model == "activity" and "activity_active_to" in chosen:
        names = (("活躍", "active_to"), ("低活躍", "low_to"), ("沉默", "silent_to"))
        found += [(t(word), f"≤ {chosen[f'activity_{name}']} × {t('平常間隔')}") for word, name in names]
        usual = (settings.get("population") or {}).get("usual_gap_days")
        if usual is not None:
            found.append((t("全體平常間隔"), f"{usual} {t('天')}"))
        found.append((t("全體間隔的權重"), f"{chosen['activity_weight']} {t('個間隔')}"))
        found.append((t("新進"), f"≤ {chosen['activity_new_days']} {t('天')}"))
        found.append((t("回流"), f"≤ {chosen['activity_returned_days']} {t('天')}"))
    if "look_back_days" in settings and (model in _MEASURES or model in _PERSONAL):  # others look at all history
        days = settings["look_back_days"]
        found.append((t("計算期間"), f"{days} {t('天')}" if days else t("全部歷史")))
    return found


def _how_cycle(settings: Mapping[str, Any], t: Any, beside: Any) -> str:
    """Whether the cycle was chosen; if so, what the orders propose beside it."""
    if settings.get("cycle") == "proposed":
        return str(t("依訂單提議"))
    proposed = settings.get("proposed_cycle_days")
    if not proposed or proposed == settings["cycle_days"]:
        return str(t("自訂"))
    of_orders = f"{t('訂單提議')} {proposed} {t('天')}"
    return f"{t('自訂')}{beside(of_orders)}"


def _score(name: str, score: Mapping[str, Any], how_high: str, t: Any, beside: Any) -> list[tuple[str, str]]:
    if not score.get("cut_points"):
        return []
    how = t("分位數") if score["by"] == "quantile" else t("固定門檻")
    points = " · ".join(str(point) for point in score["cut_points"])
    cuts = (f"{name.upper()} {t('切點')}", f"{points} {t(_UNITS[name])}{beside(how)}")
    return [cuts, (f"{name.upper()} {t('高分門檻')}", f"≥ {score['high_from']:g} {t('分')}{beside(how_high)}")]
