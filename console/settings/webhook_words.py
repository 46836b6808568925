"""What LINE's test of a webhook found, in plain words with what to do about it.

Source: "Check webhook error causes and statistics"; the statuses are bot/webhook.py's own answers.
"""

from console.frame.line_doors import WebhookTest
from console.words.catalog import translate

SUCCESS = "通了：LINE 送得到，這個服務也回答了。"
UNKNOWN = "LINE 說不出原因；請過一會兒再試一次。"
OTHER_STATUS = "LINE 送到了，但收到的回答是錯誤 {status}；請看伺服器的紀錄。"
STATUSES = {
    401: "LINE 送到了，但簽章不符：伺服器的 LINE_CHANNEL_SECRET 和這個頻道的 Channel secret 不同。",
    404: "LINE 送到了，但那裡沒有這個頻道的 webhook：請檢查網址最後的頻道名稱，和伺服器的 LINE_CHANNEL_SECRET。",
    503: "LINE 送到了，但伺服器沒辦法存下來：請檢查資料庫。",
}
DETAILS = {
    "Connection timeout": "連線太久沒有回應：請檢查防火牆，還有伺服器是否在執行。",
    "DNS Query timeout": "網域名稱查太久沒有結果：請檢查 DNS。",
    "Invalid URL syntax": "網址的寫法不對：請在 LINE Developers 重新填寫。",
    "Unknown host": "找不到網址裡的網域：請檢查有沒有打錯，DNS 是否設好了。",
    "No SSL/TLS record": "那裡的回答沒有加密：網址要能用 HTTPS 打開。",
    "TLS handshake failure": "HTTPS 沒有談成：憑證要由公開的機構簽發、沒有過期，而且中間憑證齊全。",
}
REASONS = {
    "COULD_NOT_CONNECT": "LINE 連不到這個網址：請檢查防火牆，還有伺服器是否在執行。",
    "REQUEST_TIMEOUT": "LINE 送到了，但兩秒內沒有等到回答：請檢查伺服器是不是太忙。",
}


def told_of_test(found: WebhookTest, language: str) -> str:
    """The sentence in "zh" or "en"."""
    if found.is_success:
        return translate(SUCCESS, language)
    if found.reason == "ERROR_STATUS_CODE":
        words = STATUSES.get(found.status_code, OTHER_STATUS)
        return translate(words, language, status=found.status_code)
    return translate(DETAILS.get(found.detail) or REASONS.get(found.reason, UNKNOWN), language)
