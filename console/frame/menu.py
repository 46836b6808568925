"""The menu: only what works stands in it, in the order of a marketer's day."""

from dataclasses import dataclass

from flask import request

from console.access.roles import Role, SignedIn


@dataclass(frozen=True)
class Entry:
    """One page of the menu. It is the current one on every page whose address begins with /console/`room`."""

    endpoint: str
    text: str
    room: str
    role: Role = Role.READER  # who sees it


@dataclass(frozen=True)
class Group:
    """Entries that belong together; `text` is None for those that stand alone."""

    text: str | None
    entries: tuple[Entry, ...]


MENU = (
    Group(None, (Entry("console.show_today", "總覽", ""), Entry("console.show_start", "開始使用", "start"))),
    Group(
        "認識顧客",
        (
            Entry("console.list_customers", "顧客", "customers"),
            Entry("console.show_segments", "分群", "segments"),
            Entry("console.list_tags", "標籤", "tags"),
            Entry("console.list_rules", "受眾規則", "rules"),
            Entry("console.show_predictions", "預測", "predictions"),
        ),
    ),
    Group(
        "對他們說話",
        (
            Entry("console.list_campaigns", "活動", "campaigns"),
            Entry("console.list_automations", "自動化", "automations"),
            Entry("console.list_results", "成果", "results"),
            Entry("console.show_keywords", "關鍵字", "keywords"),
        ),
    ),
    Group(
        "商品",
        (
            Entry("console.list_products", "商品目錄", "products"),
            Entry("console.show_demand", "商品需求", "demand"),
        ),
    ),
    Group(
        "管理",
        (
            Entry("console.list_imports", "匯入資料", "import", Role.MARKETER),
            Entry("console.show_channels", "設定", "settings"),
            Entry("console.show_guide", "名詞", "guide"),
            Entry("console.list_people", "團隊", "people", Role.OWNER),
        ),
    ),
)


def from_start() -> bool:
    """Whether a form was sent from the first steps, to which its sender then goes back."""
    return request.args.get("back") == "start"


def room_of(path: str) -> str:
    """The first part of an address under /console/: its room."""
    return path.removeprefix("/console/").split("/")[0]


def menu_for(user: SignedIn | None) -> list[Group]:
    """What `user` may use; nothing for somebody who hasn't signed in."""
    if user is None:
        return []
    groups = [Group(one.text, tuple(entry for entry in one.entries if user.role.may(entry.role))) for one in MENU]
    return [one for one in groups if one.entries]
