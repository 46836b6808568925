"""The segmentation models and their segments: identifiers, names for marketers, and what to do with each.

Only words and tables. How a customer gets a segment is in rfm.py, nesl.py, activity.py and groups.py.
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

# By the person's own cycle: the same states, which there say more of the person than of the brand.
NESL_PERSONAL = (
    _NEVER,
    _NEWCOMER,
    Segment(
        "E",
        "主力客",
        "照自己的步調常來：在他們通常的購買日前推新品，不需要折扣。",
        "They keep to their own rhythm: show what is new shortly before their usual day; no discount is needed.",
    ),
    Segment(
        "S1",
        "瞌睡客",
        "比自己平常晚了：提醒該補貨，多半只是忘了。",
        "Later than usual for them: remind them of a refill, most have only forgotten.",
    ),
    Segment(
        "S2",
        "沉睡客",
        "晚了自己的兩個週期：問候近況，給一張適合他們喜好的優惠券。",
        "Two of their own cycles late: ask how they are and give a coupon that fits what they like.",
    ),
    Segment(
        "L",
        "流失客",
        "以他們的習慣來看已經離開：問原因，試一次強力優惠，之後減少發送。",
        "By their own habit they have left: ask why, try one strong offer, and then send less.",
    ),
)

NES_PERSONAL = (
    *NESL_PERSONAL[:3],
    Segment(
        "S",
        "沉睡客",
        "超過自己的週期沒買：先提醒補貨，再依反應加碼。",
        "Beyond their own cycle: begin with a refill reminder and raise the offer by their answer.",
    ),
)

ACTIVITY = (
    Segment(
        "none",
        "未啟用",
        "還沒有任何互動：用歡迎訊息說明可以在這裡做什麼，給第一次點開的理由。",
        "Has done nothing yet: welcome them, say what can be done here, and give a reason for the first tap.",
    ),
    Segment(
        "new",
        "新進",
        "剛認識品牌：在頭幾週帶他們認識商品與會員好處，訊息不要太多。",
        "Just got to know the brand: show them around in the first weeks, with few messages.",
    ),
    Segment(
        "active",
        "活躍",
        "照平常的頻率往來：維持內容的新鮮，請他們回饋與分享。",
        "Here as often as ever: keep the content fresh, ask for their opinion and to share it.",
    ),
    Segment(
        "low",
        "低活躍",
        "來得比平常少：換個主題或形式，看他們點什麼。",
        "Here less than usual: change topic or format and watch what they tap.",
    ),
    Segment(
        "silent",
        "沉默",
        "很久沒有反應：用他們喜歡過的主題加一個小誘因喚醒。",
        "Quiet for long: wake them with a topic they once liked and a small incentive.",
    ),
    Segment(
        "lost",
        "流失",
        "已遠超過平常的間隔：試一次品牌故事或強力優惠，沒有反應就停止發送。",
        "Far beyond their usual gap: try the brand's story or a strong offer once, then stop sending.",
    ),
    Segment(
        "returned",
        "回流",
        "沉默後又回來：歡迎回來，趁現在問他們需要什麼，別馬上推銷。",
        "Back after a silence: welcome them, ask now what they need, and do not sell at once.",
    ),
)

MODELS: dict[str, tuple[Segment, ...]] = {
    "rf4": RF4,
    "rf11": RF11,
    "rfm3": RFM3,
    "rfm8": RFM8,
    "nesl": NESL,
    "nes": NES,
    "nesl_personal": NESL_PERSONAL,
    "nes_personal": NES_PERSONAL,
    "activity": ACTIVITY,
}

# Groups that overlap: tags rather than a model, so one person may be in several.
GROUPS = (
    Segment(
        "champion",
        "冠軍",
        "最近買、常買、買得多：先給新品，請他們推薦朋友。",
        "Bought lately, often and much: give them new things first and ask them to recommend you.",
    ),
    Segment(
        "potential_loyalist",
        "潛在忠誠者",
        "剛回購、還能更常來：用會員等級與組合商品養成習慣。",
        "Came back lately and could come more often: member levels and bundles make it a habit.",
    ),
    Segment(
        "win_back",
        "贏回",
        "買過幾次後停了兩個週期：告訴他們改變了什麼，給回來的理由。",
        "Bought several times and stopped for two cycles: tell what has changed and give a reason to return.",
    ),
    Segment(
        "at_risk_spender",
        "風險人群",
        "花得多、最近次數掉了一半以上：趁還在時由人關心，找出原因。",
        "Large spenders whose orders fell by more than half: let a person ask why while they are still here.",
    ),
    Segment(
        "repeat_buyer",
        "回頭客",
        "穩定回購：謝謝他們，推薦相關商品或定期購。",
        "They buy again and again: thank them, and suggest what goes with it or a subscription.",
    ),
)

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
