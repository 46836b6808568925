"""The segmentation models and their segments: identifiers, names for marketers, and what to do with each.

Only words and tables. How a customer gets a segment is in rfm.py and nesl.py.
"""

from dataclasses import dataclass

from store.errors import NotFound


@dataclass(frozen=True)
class Segment:
    """One value of a model. `group` joins segments that call for the same stance; empty where the model has none."""

    name: str
    chinese: str
    advice_chinese: str
    advice: str
    group: str = ""


RF4 = (
    Segment(
        "regular",
        "常貴客",
        "常來又剛買過：維持服務，給會員專屬禮遇，請他們推薦朋友。",
        "They come often and came lately: keep serving them well, give member-only treats, ask them to bring friends.",
    ),
    Segment(
        "new",
        "新顧客",
        "剛開始往來：道謝、教他們怎麼用，送一張限期的下次折抵。",
        "Just getting to know you: thank them, show how to use what they bought, offer a dated coupon for next time.",
    ),
    Segment(
        "former",
        "先前客",
        "以前常買、最近沒來：告訴他們有什麼新的，用熟悉的品項請他們回來。",
        "Used to buy often and stopped: tell them what is new and invite them back with the things they liked.",
    ),
    Segment(
        "one_time",
        "一次客",
        "買過很少、也很久了：用低成本的訊息試探，沒有反應就少發。",
        "Bought little, long ago: try a cheap message now and then, and send less when nothing comes back.",
    ),
)

_VALUABLE = "已具有價值"
_GROWING = "可培養價值"
_LEVEL = "互動持平"
_FADING = "正減少互動"
_STOPPED = "已停止互動"

RF11 = (
    Segment(
        "champions",
        "冠軍顧客",
        "先給新品與優先權，請他們寫評價、帶朋友來。",
        "Give them new things first, ask for their reviews and for their friends.",
        _VALUABLE,
    ),
    Segment(
        "loyal",
        "忠誠顧客",
        "以會員等級與點數維繫，推薦更高單價或相關的商品。",
        "Hold them with member levels and points, and suggest the better or the matching product.",
        _VALUABLE,
    ),
    Segment(
        "potential_loyal",
        "潛在忠誠顧客",
        "邀請加入會員計畫，用組合商品讓下一次購買更順手。",
        "Invite them into the member programme; a bundle makes the next purchase easy.",
        _GROWING,
    ),
    Segment(
        "new",
        "新顧客",
        "歡迎並說明用法，第一個月內給一個再回來的理由。",
        "Welcome them, explain how to use it, and give one reason to return within the month.",
        _GROWING,
    ),
    Segment(
        "promising",
        "有機會的顧客",
        "介紹品牌與熱銷品，用小額試用帶出第二次購買。",
        "Introduce the brand and its favourites; a small trial offer brings the second purchase.",
        _GROWING,
    ),
    Segment(
        "need_attention",
        "須關注的顧客",
        "依過去的喜好給限時優惠，趁熱度還在時喚回。",
        "A limited-time offer that fits what they liked, while they still remember you.",
        _LEVEL,
    ),
    Segment(
        "about_to_sleep",
        "瞌睡的顧客",
        "用新品消息與關心叫醒，附上人氣商品與小折扣。",
        "Wake them with news and a kind word, beside popular goods and a small discount.",
        _FADING,
    ),
    Segment(
        "cannot_lose",
        "不能失去的顧客",
        "由真人關心，問清楚離開的原因，給最好的回流禮。",
        "Let a person reach out, ask why they left, and offer the best welcome-back gift you have.",
        _FADING,
    ),
    Segment(
        "at_risk",
        "有風險的顧客",
        "個人化提醒該補貨了，提供回購券並追蹤是否有用。",
        "Remind each of what they may have run out of, add a coupon, and watch whether it works.",
        _FADING,
    ),
    Segment(
        "hibernating",
        "沉睡的顧客",
        "偶爾以節慶或新系列問候，控制發送次數。",
        "Greet them at festivals or for a new line, and keep the number of messages low.",
        _STOPPED,
    ),
    Segment(
        "lost",
        "流失的顧客",
        "以品牌故事或一次強力優惠嘗試；沒有回應就停止花費。",
        "Try the brand's story or one strong offer; if nothing comes, stop paying for messages.",
        _STOPPED,
    ),
)

RFM3 = (
    Segment(
        "high_value",
        "豪貴客",
        "最有價值的人：專人服務、搶先體驗、邀請推薦。",
        "The most valuable: personal service, first access, and an invitation to recommend you.",
    ),
    Segment(
        "new_high_value",
        "新貴客",
        "第一次就買得多：致謝並引導第二次購買，別急著打折。",
        "A big first purchase: thank them and lead to the second one; no need to discount yet.",
    ),
    Segment(
        "small_spender",
        "小資客",
        "常來但單價低：用滿額贈、加價購把每筆買得多一點。",
        "Often here with small baskets: raise the basket with spend-over gifts and add-on offers.",
    ),
    Segment(
        "other",
        "其他",
        "依其他模型決定作法，這裡不需要特別投入。",
        "Let the other models decide; nothing special to spend here.",
    ),
)

RFM8 = (
    Segment(
        "important_value",
        "重要價值",
        "留住並請他們帶朋友：會員禮遇、搶先購。",
        "Keep them close and ask them to bring friends: member treats, early access.",
    ),
    Segment(
        "important_develop",
        "重要發展",
        "花得多但次數少：用補貨提醒與系列推薦增加往來。",
        "They spend much but seldom: refill reminders and matching lines bring them more often.",
    ),
    Segment(
        "important_retain",
        "重要保持",
        "常買又花得多，最近變少：主動關心，通知新品，給回訪禮。",
        "Frequent and generous, lately quiet: reach out, tell the news, give a gift for coming back.",
    ),
    Segment(
        "important_win_back",
        "重要挽留",
        "曾有大筆消費：一對一了解原因，用強的優惠請回。",
        "Once a large spender: ask one to one what went wrong and win them back with a strong offer.",
    ),
    Segment(
        "ordinary_value",
        "一般價值",
        "常來但金額小：用滿額優惠提高客單價。",
        "Here often with small sums: spend-over offers raise the basket.",
    ),
    Segment(
        "ordinary_develop",
        "一般發展",
        "剛來、買得少：感謝並教育，用試用與新手券帶第二次。",
        "New and light: thank and teach; a trial or a newcomer's coupon leads to the second purchase.",
    ),
    Segment(
        "ordinary_retain",
        "一般保持",
        "以前常來的小額客：用新消息與優惠券溫和喚醒。",
        "Used to come often for small sums: wake them gently with news and coupons.",
    ),
    Segment(
        "ordinary_win_back",
        "一般挽留",
        "很久沒來也買得少：說品牌故事，沒有反應就停止發送。",
        "Long gone and light: tell the brand's story, and stop paying for messages that bring nothing.",
    ),
)

_NEVER = Segment(
    "never",
    "未購客",
    "還沒買過：介紹品牌，給第一次購買的理由。",
    "Has not bought yet: introduce the brand and give a reason for the first purchase.",
)
_NEWCOMER = Segment(
    "N",
    "新客",
    "謝謝第一次購買，教他們用得好，邀請再來。",
    "Thank them for the first purchase, teach them to enjoy it, invite them again.",
)
_ACTIVE = Segment(
    "E",
    "主力客",
    "照顧好、推新品、請他們介紹朋友。",
    "Take good care of them, show what is new, ask them to bring friends.",
)

NESL = (
    _NEVER,
    _NEWCOMER,
    _ACTIVE,
    Segment(
        "S1",
        "瞌睡客",
        "剛錯過一個週期：補貨提醒與新品消息通常就夠。",
        "Just missed one cycle: a refill reminder or some news is usually enough.",
    ),
    Segment(
        "S2",
        "沉睡客",
        "錯過兩個週期：關心加上優惠券，找出他們喜歡的品類。",
        "Missed two cycles: a caring word and a coupon for the kind of thing they like.",
    ),
    Segment(
        "L",
        "流失客",
        "超過三個週期：以品牌故事或強力優惠試一次，之後停止花費。",
        "Beyond three cycles: try once with the brand's story or a strong offer, then stop paying for messages.",
    ),
)

NES = (
    _NEVER,
    _NEWCOMER,
    _ACTIVE,
    Segment(
        "S",
        "沉睡客",
        "超過一個週期沒買：先用消息與關心喚醒，再視反應加碼。",
        "No purchase for more than a cycle: wake them with news and care first, raise the offer by their answer.",
    ),
)

MODELS: dict[str, tuple[Segment, ...]] = {
    "rf4": RF4,
    "rf11": RF11,
    "rfm3": RFM3,
    "rfm8": RFM8,
    "nesl": NESL,
    "nes": NES,
}

# The rows of domain section 2.2: segment -> its (R scores, F scores). The 25 cells are covered once each.
RF11_CELLS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "champions": ((5,), (4, 5)),
    "loyal": ((3, 4), (4, 5)),
    "potential_loyal": ((4, 5), (2, 3)),
    "new": ((5,), (1,)),
    "promising": ((4,), (1,)),
    "need_attention": ((3,), (3,)),
    "about_to_sleep": ((3,), (1, 2)),
    "cannot_lose": ((1, 2), (5,)),
    "at_risk": ((1, 2), (3, 4)),
    "hibernating": ((1, 2), (2,)),
    "lost": ((1, 2), (1,)),
}


def segments_of(model: str) -> tuple[Segment, ...]:
    """The segments of `model`, in the order marketers read them. Raises NotFound for an unknown model."""
    if model not in MODELS:
        raise NotFound(f"there is no model {model!r}; the models are {', '.join(MODELS)}")
    return MODELS[model]
