"""What states, reasons, kinds and measures are called, in the language that the pages are written in."""

STATES = {
    "draft": "草稿",
    "scheduled": "已排程",
    "planned": "準備中",
    "sending": "發送中",
    "sent": "已發送",
    "paused": "已暫停",
    "cancelled": "已取消",
    "failed": "失敗",
    "chosen": "待發送",
    "held_out": "對照組",
    "skipped": "已略過",
    "accepted": "已受理",
    "unknown": "不明",
    "paid": "已付款",
    "refunded": "已退款",
}

# Kinds of what happened with a customer (console/customers/timeline.py).
MOMENT_WORDS = {
    "order": "訂單",
    "event": "行為",
    "message": "訊息",
    "tag": "標籤",
    "segment": "分群",
    "consent": "同意",
}

# What the audit log holds beside an action.
AUDIT_DETAILS = {
    "user_id": "帳號",
    "role": "角色",
    "read": "讀到",
    "added": "新增",
    "changed": "更動",
    "unchanged": "沒有變",
    "refused": "退回",
    "campaign_id": "活動",
    "channel_id": "LINE 頻道",
    "customer_id": "顧客",
    "draft_id": "草稿",
    "format": "格式",
    "import_id": "匯入",
    "key_id": "金鑰",
    "kind": "種類",
    "label": "標籤",
    "list_id": "名單",
    "people": "人數",
    "rows": "列數",
    "rule": "規則",
    "run_id": "發送",
    "tag_id": "標籤",
    "view_id": "檢視",
    "name": "名稱",
}

# Where an event comes from.
EVENT_SOURCES = {"line": "LINE 官方帳號", "link": "追蹤連結", "brand": "品牌的網站或門市"}
# However files write it.
GENDERS = {
    **dict.fromkeys(("male", "m", "男", "男性"), "男"),
    **dict.fromkeys(("female", "f", "女", "女性"), "女"),
}

FETCHES = {"person": "真人", "forward": "轉傳", "preview": "預覽", "robot": "機器"}

REASONS = {
    "no_line_account": "沒有 LINE 帳號",
    "blocked": "已封鎖",
    "refused": "拒收行銷訊息",
    "not_agreed": "沒有同意收行銷訊息的紀錄",
    "outranked": "已由優先順序較高的活動發送",
    "cap_day": "已達每日訊息上限",
    "cap_week": "已達每週訊息上限",
    "cap_month": "已達每月訊息上限",
    "reserved": "名額留給已排定、優先順序較高的活動",
    "quota": "額度不足，預期效益最低",
    "global_holdout": "全域對照組",
    "quiet_hours": "靜音時段之間來不及發送",
    "missed": "發送的時間已經過了",
    "goal": "已達成活動的目標",
    "left": "已離開活動",
    "not_in_audience": "不在活動的對象裡",
    "failed": "前一則發送失敗",
    "cancelled": "已取消",
}

WAY_WORDS = {
    "auto": "自動選擇",
    "push": "逐人推播",
    "multicast": "多人推播",
    "narrowcast": "名單廣播",
    "reply": "免費回覆",
}
TAPS_WORDS = {"by person": "知道是誰點的", "counted": "只知道次數", "none": "沒有可點的"}
MESSAGE_KINDS = {
    "text": "文字",
    "textV2": "文字與表情貼",
    "image": "圖片",
    "video": "影片",
    "imagemap": "圖文（可點的圖片）",
    "card": "卡片（Flex）",
    "buttons": "按鈕",
    "confirm": "二選一",
    "carousel": "輪播卡片",
    "pictures": "輪播圖片",
    "coupon": "LINE 優惠券",
    "json": "JSON（進階）",
}
WINNER_WORDS = {
    "fixed": "固定比例：照各版本的比重發完，結果頁比較",
    "test_then_winner": "先發一部分的人，選出勝出的版本再發給其他人",
    "thompson": "分批發送，每一批多給表現好的版本（Thompson）",
}
OUTCOME_WORDS = {"clicks": "點擊", "orders": "訂單"}
TAP_WORDS = {
    "uri": "開啟連結",
    "message": "以對方名義說一句話",
    "postback": "回傳資料（不開網頁）",
    "clipboard": "複製一段文字",
    "camera": "開啟相機",
    "cameraRoll": "開啟相簿",
    "location": "傳送位置",
}
LAYOUT_NAMES = {
    "announcement": "公告",
    "product": "商品卡",
    "products": "商品輪播",
    "coupon": "優惠券",
    "reminder": "提醒",
    "receipt": "收據",
}
CARD_FIELDS = {
    "alt": "通知上的文字",
    "title": "標題",
    "body": "內文",
    "link": "連結",
    "button": "按鈕文字",
    "image": "圖片網址",
    "name": "商品名稱",
    "price": "售價",
    "was": "原價",
    "names": "商品名稱（一行一個）",
    "prices": "售價（一行一個）",
    "links": "連結（一行一個）",
    "images": "圖片網址（一行一個）",
    "offer": "優惠內容",
    "until": "使用期限",
    "code": "優惠代碼",
    "when": "時間說明",
    "where": "地點",
    "items": "品項（一行一個）",
    "amounts": "金額（一行一個）",
    "total": "總計",
}

ROW_KINDS = {
    "segment": "分群",
    "moved": "移動",
    "tag": "標籤",
    "orders": "訂單",
    "events": "行為",
    "clicks": "點擊",
    "attribute": "屬性",
    "age": "年齡",
    "birthday": "生日",
    "measure": "量值",
    "rule": "規則",
}
ROW_FIELDS = {
    "at_least": "至少",
    "at_most": "至多",
    "last_days": "最近幾天內",
    "from": "從哪一天",
    "until": "到哪一天之前",
    "category": "商品分類",
    "label": "商品標籤",
    "sku": "商品編號",
    "campaign": "活動（選一個，或寫它的號碼）",
    "days_ago": "幾天前",
    "for_days": "已經至少幾天",
    "contains": "含有",
    "exists": "有沒有填",
    "to": "到",
    "measure": "看什麼",
    "name": "屬性名稱",
    "value": "等於",
    "moved.value": "從",
    "events.value": "行為的種類",
    "clicks.value": "連結的主題",
    "birthday.value": "幾天之內",
}
# The same fields by their names in a rule's JSON, for what is wrong with one.
RULE_FIELDS = {
    "at_least": "至少",
    "at_most": "至多",
    "more_than": "多於",
    "less_than": "少於",
    "last_days": "最近幾天內",
    "window.from": "從哪一天",
    "until": "到哪一天之前",
    "from": "從",
    "to": "到",
    "days_ago": "幾天前",
    "days.at_least": "已經至少幾天",
    "within_days": "幾天之內",
    "categories": "商品分類",
    "labels": "商品標籤",
    "skus": "商品編號",
    "campaigns": "活動",
    "kinds": "行為的種類",
    "topics": "連結的主題",
    "measure": "看什麼",
    "name": "名稱",
    "model": "分群",
    "is": "等於",
    "contains": "含有",
    "exists": "有沒有填",
}
ORDER_MEASURES = {
    "count": "訂單數",
    "sum": "金額合計",
    "average": "平均金額",
    "quantity": "件數",
    "days": "有買的天數",
    "first": "第一次在幾天前",
    "last": "最近一次在幾天前",
}

NEED_WORDS = {
    "worker": "背景程式沒有回應",
    "job": "背景工作出了問題",
    "channel": "頻道已停止發送",
    "failed": "活動失敗",
    "paused": "活動已暫停",
    "slowed": "發送已減速",
    "blocked": "封鎖率偏高",
    "missed": "錯過了一次發送",
    "import": "匯入失敗",
    "approval": "等您核准",
    "stuck": "計算卡住了",
}

# Of the jobs of service/worker.py.
JOB_WORDS = {
    "inbox": "收進 LINE 的事件",
    "replies": "回覆顧客",
    "campaigns": "活動的排程",
    "waves": "分批發送",
    "quotas": "讀取 LINE 額度",
    "steps": "活動的後續步驟",
    "best hours": "每個人的最佳時段",
    "click events": "整理點擊",
    "results": "統計成果",
    "narrowcasts": "名單廣播的發送",
    "ad audiences": "上傳廣告受眾",
    "LINE's figures": "讀取 LINE 的數字",
    "LINE's units": "清點 LINE 的統計單位",
    "imports": "匯入檔案",
    "profiles": "讀取 LINE 個人檔案",
    "learning": "整理訊息的成效",
    "keywords": "學習關鍵字的成效",
    "reports": "寄送關鍵字報告",
    "changes": "顧客變動後重新計算",
    "segments": "計算分群",
    "asked": "您要求的工作",
    "outlooks": "計算活動會發給多少人、能帶來什麼",
    "movements": "計算分群間的移動",
    "predictions": "計算預測",
    "erasures": "刪除個人資料",
    "demand": "計算商品需求",
    "currencies": "檢查訂單的幣別",
}

ROLE_WORDS = {"owner": "擁有者", "marketer": "行銷", "analyst": "分析", "reader": "唯讀"}

# Whom a list is made of (campaigns/results/audiences.py).
WHO_WORDS = {
    "sent": "收到的人",
    "clicked": "點擊的人",
    "not_clicked": "沒點擊的人",
    "bought": "購買的人",
    "not_bought": "沒購買的人",
    "clicked_not_bought": "點擊但沒購買的人",
    "blocked": "之後封鎖的人",
    "held_out": "對照組",
    "failed": "發送失敗的人",
    "unknown": "結果不明的人",
    "skipped": "被略過的人",
}

TAG_WORDS = {
    "fact": "事實",
    "model": "模型判定",
    "predictive": "預測性",
    "static": "固定",
    "dynamic": "隨全體顧客變動",
    "hand": "手動",
    "import": "匯入",
    "link": "連結",
    "group": "內建分群",
    "rule": "規則",
    "measure": "數值",
    "preference": "偏好分數",
}

# How the line of a measure tag is drawn.
LINE_WORDS = {
    "at_least": "至少（固定的值）",
    "at_most": "至多（固定的值）",
    "top_percent": "最高的百分之幾",
    "bottom_percent": "最低的百分之幾",
    "above_mean": "高於平均",
}

DIMENSIONS = {
    "label": "標籤（商品）",
    "category": "分類",
    "topic": "主題",
    "promotion": "促銷",
    "price": "價格",
    "word": "說的話",
}

# What evidence of tags says: names of its fields, measures, and what signals of preference come from.
EVIDENCE = {
    "by": "由",
    "note": "備註",
    "cut": "線",
    "top_percent": "前百分之",
    "bottom_percent": "後百分之",
    "at_least": "至少",
    "at_most": "至多",
    "above": "高於",
    "mean": "平均",
    "link_id": "連結編號",
    "campaign_id": "活動編號",
    "clicked_at": "點擊時間",
    "reason": "原因",
    "its last day has passed": "最後一天已過",
    "last_ordered_on": "最近購買",
    "recency_days": "距上次購買天數",
    "frequency": "購買次數",
    "monetary": "期間消費額",
    "paid_total": "累計消費額",
    "cycle_days": "個人購買週期天數",
    "cycle": "品牌的購買週期天數",
    "recent_orders": "最近兩個週期的訂單",
    "former_orders": "之前兩個週期的訂單",
    "r": "R 分數",
    "f": "F 分數",
    "m": "M 分數",
    "loyalty": "忠誠度",
    "loyalty_percentile": "忠誠度百分位",
    "p_buy": "下個週期購買機率",
    "churn_risk": "流失機率",
    "expected_orders": "預期購買次數",
    "spend_90": "未來 90 天預期消費額",
    "spend_365": "未來 365 天預期消費額",
    "product_view": "看過商品",
    "page_view": "看過頁面",
    "add_to_cart": "放入購物車",
    "wishlist": "加入願望清單",
    "click": "點了連結",
    "order": "買了",
    "word": "說了",
}

IMPORT_KINDS = {"customers": "顧客", "orders": "訂單", "products": "商品", "events": "行為事件"}
# Columns of files; of several kinds, or as "kind.column" of one.
IMPORT_COLUMNS = {
    "customer_id": "會員編號",
    "line_user_id": "LINE 的使用者 ID（U 開頭）",
    "name": "姓名",
    "gender": "性別",
    "birthday": "生日",
    "city": "城市",
    "language": "語言",
    "tags": "標籤（用 ; 分開）",
    "refuses_marketing": "拒收行銷訊息（是／否）",
    "agrees_marketing": "同意收行銷訊息（是／否）",
    "order_id": "訂單編號",
    "ordered_at": "下單時間",
    "amount": "這一列的金額",
    "total": "整張訂單的金額（不填就是各列相加）",
    "status": "訂單狀態（paid 已付款、refunded 已退款、cancelled 已取消）",
    "currency": "幣別（要是品牌的幣別；不填也是）",
    "coupon": "優惠券代碼",
    "sku": "商品編號",
    "quantity": "數量（不填是 1）",
    "unit_price": "單價（不填就由金額和數量算出）",
    "discount": "折扣金額",
    "lines": "商品清單（只有 JSON lines）",
    "products.name": "商品名稱",
    "description": "商品說明",
    "categories": "分類（用 ; 分開）",
    "labels": "商品標籤（用 ; 分開）",
    "price": "售價",
    "in_stock": "有現貨（是／否）",
    "url": "商品網址",
    "event_id": "行為事件編號",
    "kind": "行為的種類（例如 search 搜尋）",
    "occurred_at": "發生時間",
    "topic": "主題",
    "text": "搜尋的字",
}
IMPORT_STATES = {
    "uploaded": "等您確認",
    "waiting": "排隊中",
    "running": "匯入中",
    "done": "完成",
    "failed": "沒有匯入",
}

# Of an ad audience that LINE is given (campaigns/results/ad_uploads.py).
UPLOAD_STATES = {"waiting": "排隊中", "running": "上傳中", "done": "完成", "failed": "沒有完成"}

EVERY_WORDS = {
    "day": "每天",
    "workday": "每個工作日",
    "week": "每週的某幾天",
    "month": "每月的某幾號",
    "month_end": "每月最後一天",
    "first_workday": "每月第一個工作日",
    "last_workday": "每月最後一個工作日",
    "words": "自行輸入（或 cron）",
}
HOLIDAY_CHOICES = {"fire": "照樣發送", "skip": "跳過", "next": "順延到下一個工作日", "before": "提前到前一個工作日"}
EVENT_WORDS = {
    "segment": "顧客換到另一群",
    "tag": "顧客被貼上標籤",
    "click": "顧客點了連結",
    "purchase": "顧客購買之後",
    "cart_left": "購物車放著沒有結帳",
    "birthday": "生日",
    "coupon_ends": "優惠券到期之前",
    "words": "自行輸入",
}

DID_WORDS = {
    "": "所有人",
    "not clicked": "沒有點擊的人",
    "clicked": "點擊過的人",
    "not bought": "沒有購買的人",
    "bought": "購買了的人",
}
UNIT_WORDS = {"minutes": "分鐘", "hours": "小時", "days": "天"}
