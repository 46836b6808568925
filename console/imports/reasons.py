"""Why a row was refused, as marketers read it: the imports say it in English, for files and the command line."""

from console.words.catalog import LANGUAGES
from console.words.patterns import Patterns

# pattern of a reason (store/imports/) -> Chinese; {0}, {1} are what the pattern's groups found
CHINESE = Patterns(
    {
        r"(\d+) cells where the header has (\d+)": "這一列有 {0} 格，標題列有 {1} 格",
        r"the quotation marks of this row don't match": "這一列的引號沒有成對",
        r"not one JSON object in UTF-8": "這一行不是一個 UTF-8 的 JSON 物件",
        r"a cell holds a NUL character": "有一格含有 NUL 字元",
        r"(\w+) holds an error of Excel, such as #N/A": "{0} 是 Excel 的錯誤值，例如 #N/A",
        r"another column holds an error of Excel, such as #N/A": "別的欄位有 Excel 的錯誤值，例如 #N/A",
        r"a tag is an error of Excel, such as #N/A": "有一個標籤是 Excel 的錯誤值，例如 #N/A",
        r"(\w+) was rounded by Excel: format the column as text": "{0} 被 Excel 當成數字四捨五入了：請把那一欄改成文字",
        r"two names in this line are the same column": "這一行有兩個名稱是同一欄",
        r"(\w+) is empty": "{0} 是空的",
        r"(\w+) is not a plain number": "{0} 不是單純的數字",
        r"(\w+) has more than 4 decimal places": "{0} 的小數超過 4 位",
        r"(\w+) is too large": "{0} 太大",
        r"(\w+) is longer than (\d+) characters": "{0} 超過 {1} 個字",
        r"several rows of this (\w+) have different values": "同一個 {0} 的幾列內容不一樣",
        r"this customer already has another LINE account on the channel": "這位顧客在這個頻道已經有另一個 LINE 帳號",
        r"several customers of this file have this line_user_id": "檔案裡有好幾位顧客用同一個 line_user_id",
        r"line_user_id belongs to another customer": "line_user_id 屬於另一位顧客",
        r"birthday is not a day such as ([\d-]+), from 1900 up to today": "birthday 要像 {0}，從 1900 年到今天",
        r"a tag is longer than (\d+) characters": "有一個標籤超過 {0} 個字",
        r"a tag holds a full-width space or a sign that can't be seen": "有一個標籤裡有全形空白或看不見的字元",
        r"the other columns are too long together": "其他欄位加起來太長",
        r"the tag '(.+)' is put on by a computation \((.+)\) and can't be imported": (
            "標籤「{0}」由系統計算（{1}），不能匯入"
        ),
        r"(\w+) is not a time such as ([\d: -]+)": "{0} 要像 {1}",
        r"(\w+) is outside 1900-2199": "{0} 不在 1900 到 2199 年之間",
        r"status is none of (.+)": "status 要是 {0} 其中之一",
        r"currency is not a code of three letters": "currency 要是三個字母的代碼",
        r"currency is (\w+), not the brand's (\w+)": "幣別是 {0}，不是品牌的 {1}；請先換算",
        r"lines is not a list of objects with sku, quantity and unit_price": (
            "lines 要是有 sku、quantity、unit_price 的清單"
        ),
        r"another row of this order is refused": "這張訂單有別列不能用",
        r"the total of this order is too large": "這張訂單的總額太大",
        r"rows of this order have different (.+)": "這張訂單的幾列說法不同（{0}）",
        r"(in_stock|refuses_marketing|agrees_marketing) is neither yes nor no": "{0} 要是「是」或「否」",
        r"nobody both refuses marketing and agrees to it": "refuses_marketing 和 agrees_marketing 不能都是「是」",
        r"url is not a web address": "url 不是網址",
        r"kind is not a name such as product_view: small letters and _, at most 40": (
            "kind 要像 product_view：小寫字母和 _，最多 40 個"
        ),
        r"kind is one that only LINE's own events and tapped links have": "這個 kind 保留給 LINE 的事件和連結點擊",
        r"text and the other columns are too long together": "text 和其他欄位加起來太長",
    }
)


def reason_in(reason: str, language: str) -> str:
    """`reason` of an import's report in `language` ("zh" or "en"); one that is not known stays as it is."""
    assert language in LANGUAGES
    if language == "en":
        return reason
    return CHINESE.told(reason) or reason
