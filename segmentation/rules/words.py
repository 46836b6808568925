"""The words that rules are told in: Traditional Chinese first, English beside it."""

from segmentation.rules.types import MAN, WOMAN

Words = dict[str, str]

KINDS: dict[str, Words] = {
    "product_view": {"zh": "瀏覽商品", "en": "viewed products"},
    "page_view": {"zh": "瀏覽網頁", "en": "viewed pages"},
    "click": {"zh": "點擊連結", "en": "tapped links"},
    "message": {"zh": "傳送訊息", "en": "wrote messages"},
    "postback": {"zh": "點選按鈕", "en": "pressed buttons"},
    "follow": {"zh": "加入好友", "en": "added the account"},
    "unfollow": {"zh": "封鎖帳號", "en": "blocked the account"},
    "add_to_cart": {"zh": "加入購物車", "en": "put into the basket"},
    "coupon_redeemed": {"zh": "兌換優惠券", "en": "redeemed coupons"},
}
MODEL_NAMES: dict[str, Words] = {
    "rf4": {"zh": "RF 四群", "en": "RF (4)"},
    "rf11": {"zh": "RF 十一群", "en": "RF (11)"},
    "rfm3": {"zh": "RFM 三群", "en": "RFM (3)"},
    "rfm8": {"zh": "RFM 八群", "en": "RFM (8)"},
    "nesl": {"zh": "NESL", "en": "NESL"},
    "nes": {"zh": "NES", "en": "NES"},
    "nesl_personal": {"zh": "NESL（個人週期）", "en": "NESL (personal cycle)"},
    "nes_personal": {"zh": "NES（個人週期）", "en": "NES (personal cycle)"},
    "activity": {"zh": "顧客狀態", "en": "customer state"},
}
ATTRIBUTES: dict[str, Words] = {
    "name": {"zh": "姓名", "en": "name"},
    "gender": {"zh": "性別", "en": "gender"},
    "city": {"zh": "城市", "en": "city"},
    "language": {"zh": "語言", "en": "language"},
    "member_id": {"zh": "會員編號", "en": "member id"},
    "is_following": {"zh": "好友狀態", "en": "following"},
    "is_refused": {"zh": "拒收狀態", "en": "refusal"},
}
GENDERS: dict[str, Words] = {
    **{word: {"zh": "為女性", "en": "is a woman"} for word in WOMAN},
    **{word: {"zh": "為男性", "en": "is a man"} for word in MAN},
}
FLAG_WORDS: dict[str, dict[bool, Words]] = {
    "is_following": {
        True: {"zh": "目前是好友", "en": "follows the account"},
        False: {"zh": "目前不是好友", "en": "doesn't follow the account"},
    },
    "is_refused": {
        True: {"zh": "已拒收行銷訊息", "en": "refuses marketing"},
        False: {"zh": "未拒收行銷訊息", "en": "doesn't refuse marketing"},
    },
}
# label ({}: of which products) and unit
ORDER_MEASURES: dict[str, dict[str, tuple[str, str]]] = {
    "count": {"zh": ("購買{}", "次"), "en": ("bought {}", "times")},
    "sum": {"zh": ("購買{}的金額", "元"), "en": ("spent on {}:", "in money")},
    "average": {"zh": ("購買{}平均每筆", "元"), "en": ("average order of {}:", "in money")},
    "quantity": {"zh": ("購買{}的件數", "件"), "en": ("bought {}:", "pieces")},
    "days": {"zh": ("購買{}的天數", "天"), "en": ("bought {} on", "days")},
    "first": {"zh": ("首次購買{}在", "天前"), "en": ("first bought {}", "days ago")},
    "last": {"zh": ("最近一次購買{}在", "天前"), "en": ("last bought {}", "days ago")},
}
SCORES: dict[str, dict[str, tuple[str, str]]] = {
    "recency_days": {"zh": ("距上次購買", "天"), "en": ("recency", "days")},
    "frequency": {"zh": ("購買次數 F", "次"), "en": ("frequency", "orders")},
    "monetary": {"zh": ("消費金額 M", "元"), "en": ("monetary", "in money")},
    "r": {"zh": ("R 分數", "分"), "en": ("R score", "")},
    "f": {"zh": ("F 分數", "分"), "en": ("F score", "")},
    "m": {"zh": ("M 分數", "分"), "en": ("M score", "")},
    "loyalty": {"zh": ("忠誠度", ""), "en": ("loyalty", "")},
    "loyalty_percentile": {"zh": ("忠誠度百分位", ""), "en": ("loyalty percentile", "")},
    "cycle_days": {"zh": ("個人購買週期", "天"), "en": ("purchase cycle", "days")},
    "paid_total": {"zh": ("累計消費", "元"), "en": ("paid in all", "in money")},
    "p_buy": {"zh": ("下個週期購買機率", ""), "en": ("chance to buy in the next cycle", "")},
    "churn_risk": {"zh": ("流失風險", ""), "en": ("churn risk", "")},
    "expected_orders": {"zh": ("預期訂單數", "筆"), "en": ("expected orders", "")},
    "spend_90": {"zh": ("預期 90 天消費", "元"), "en": ("expected spend in 90 days", "in money")},
    "spend_365": {"zh": ("預期 365 天消費", "元"), "en": ("expected spend in 365 days", "in money")},
}
WHOLE: dict[str, Words] = {
    "age": {"zh": "年齡 {} 歲", "en": "aged {}"},
    "birthday": {"zh": "生日在 {} 天內", "en": "has a birthday within {} days"},
    "birthday today": {"zh": "今天生日", "en": "has a birthday today"},
    "city": {"zh": "住在{}", "en": "lives in {}"},
    "anything": {"zh": "", "en": "anything"},
    "event": {"zh": "事件「{}」", "en": "had the event {!r}"},
    "times": {"zh": "次", "en": "times"},
    "years": {"zh": "歲", "en": "years"},
    "days": {"zh": "天後", "en": "days ahead"},
    "tag": {"zh": "有標籤「{}」", "en": "has the tag {!r}"},
    "rule": {"zh": "符合規則「{}」", "en": "fits the rule {!r}"},
    "segment": {"zh": "屬於 {} 的{}", "en": "is {1} in {0}"},
    "segment ago": {"zh": "{2} 天前屬於 {0} 的{1}", "en": "was {1} in {0} {2} days ago"},
    "segment on": {"zh": "{2} 開始時屬於 {0} 的{1}", "en": "was {1} in {0} at the start of {2}"},
    "moved": {"zh": "在 {} 由 {} 變為 {}", "en": "moved in {} from {} to {}"},
}
BOUNDS: dict[str, Words] = {
    "zh": {
        "at_least": "至少 {}",
        "more_than": "多於 {}",
        "at_most": "至多 {}",
        "less_than": "少於 {}",
        "exactly": "恰 {}",
        "and": "且",
        "or": "或",
        "comma": "、",
        "yes": "是",
        "no": "否",
        "known": "有{}資料",
        "not known": "沒有{}資料",
        "contains": "{}包含「{}」",
        "one of": "{}為 {} 之一",
        "is": "{}為 {}",
        "on": "（{}）",
        "category": "分類 {}",
        "label": "標示 {}",
        "sku": "貨號 {}",
        "named": "名稱含「{}」",
        "products": "（{}）的商品",
        "topics": "主題 {}",
        "campaign": "活動 {}",
        "campaign named": "活動「{}」",
        "about": "（{}）",
        "for days": "，已 {} 天",
        "strength": "，強度 {}",
        "any segment": "任一群",
    },
    "en": {
        "at_least": "at least {}",
        "more_than": "more than {}",
        "at_most": "at most {}",
        "less_than": "less than {}",
        "exactly": "exactly {}",
        "and": " and ",
        "or": " or ",
        "comma": ", ",
        "yes": "yes",
        "no": "no",
        "known": "{} is known",
        "not known": "{} is not known",
        "contains": "{} contains {!r}",
        "one of": "{} is one of {}",
        "is": "{} is {}",
        "on": "({})",
        "category": "category {}",
        "label": "label {}",
        "sku": "SKU {}",
        "named": "named like {!r}",
        "products": "products ({})",
        "topics": "topic {}",
        "campaign": "campaign {}",
        "campaign named": "campaign {!r}",
        "about": " ({})",
        "for days": ", for {} days",
        "strength": ", strength {}",
        "any segment": "any",
    },
}
WINDOWS: dict[str, Words] = {
    "zh": {
        "last": "最近 {} 天內",
        "between": "{} 至 {}（不含）間",
        "from": "{} 起",
        "until": "{} 之前",
    },
    "en": {
        "last": "in the last {} days",
        "between": "from {} up to {} (exclusive)",
        "from": "from {} on",
        "until": "before {}",
    },
}
UNKNOWN: Words = {"zh": "不明", "en": "unknown"}
# By the type of condition: where nothing was found it is known that there is nothing.
NOTHING_FOUND: dict[str, Words] = {
    "tag": {"zh": "沒有貼上", "en": "not on"},
    "segment": {"zh": "不在任何一群", "en": "in no segment"},
    "moved": {"zh": "沒有這樣移動", "en": "no such move"},
    "orders": {"zh": "沒有購買", "en": "no purchase"},
}
