"""An optional writer: any model behind an OpenAI-compatible endpoint (POST …/chat/completions). Off by default.

It is given the theme, what the marketer gave and the ranked terms; no customer's data ever leaves. What it writes is
only a proposal: `judge_written` drops what breaks the rules. The key and what is written are never logged.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from keywords.copy.compose import Line, Wanted
from keywords.copy.judging import Ground
from store.errors import ExpectedError

MAX_ANSWER_BYTES = 262_144
MAX_LINES = 50
_BULLET = re.compile(r"^\s*(?:[-*•・]|\d{1,2}[.)、])\s*")
_SYSTEM = (
    "你為台灣品牌的 LINE 官方帳號寫行銷文案，使用繁體中文。只能使用給你的事實：不得自行加入任何折扣、價格、數量、日期、"
    "期限、贈品、免運、限量、療效或最高級用語。優惠文字必須逐字照抄。只回傳 JSON 字串陣列，每個元素是一則文案。"
)


class WriterFailed(ExpectedError):
    """The model didn't write: it can't be reached, refused, or answered with junk."""

    http_status = 502
    may_try_again = True


@dataclass(frozen=True)
class Writer:
    """Where the model is. `url` is the API's base, such as https://host/v1; `key` may be empty."""

    url: str
    name: str
    key: str = field(default="", repr=False)
    timeout_seconds: float = 30.0

    def write(self, wanted: Wanted, ground: Ground, best: Sequence[Line], weak: Sequence[str] = ()) -> list[str]:
        """Up to MAX_LINES lines as the model wrote them, not yet judged. `best` are built lines, whose terms it is
        given; `weak` are terms that cost clicks. Raises WriterFailed. One call, no second try: a person waits."""
        body = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": brief(wanted, ground, best, weak)},
            ],
        }
        return lines_of_answer(asyncio.run(self._ask(body)))[:MAX_LINES]

    async def _ask(self, body: dict[str, Any]) -> bytes:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        address = f"{self.url.rstrip('/')}/chat/completions"
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(address, json=body, headers=headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise WriterFailed(f"the copy model answered with status {response.status}")
                answer = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(answer) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                    answer += more
        except TimeoutError as error:
            raise WriterFailed(f"the copy model did not answer within {self.timeout_seconds:g} seconds") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WriterFailed(f"the copy model can't be reached: {type(error).__name__}") from error
        if len(answer) > MAX_ANSWER_BYTES:
            raise WriterFailed(f"the copy model's answer is over {MAX_ANSWER_BYTES} bytes")
        return answer


def brief(wanted: Wanted, ground: Ground, best: Sequence[Line], weak: Sequence[str]) -> str:
    """What the model is told: facts, terms from the greatest effect down, the form and its length."""
    ranked = {part.term: part.effect for line in best for part in line.parts}
    given = ground.given
    told = {
        "主題": given.theme,
        "商品": list(given.products),
        "優惠（逐字照抄，全部都要）": list(given.offers),
        "點擊效果好的詞（由高到低）": sorted(ranked, key=lambda term: -ranked[term]),
        "避免的詞": list(weak),
        "形式": {
            "message": "三行：【標題】、優惠、行動呼籲",
            "line": "一行",
            "headline": "【標題】",
            "alt": "一行摘要",
        }[wanted.form],
        "最多字元": ground.settings.units(wanted.form),
        "則數": wanted.count,
        "範例": [line.text for line in best],
    }
    return json.dumps(told, ensure_ascii=False)


def lines_of_answer(answer: bytes) -> list[str]:
    """The lines of a chat completion: a JSON array of strings, or plain lines. Raises WriterFailed for any other."""
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise WriterFailed("the copy model's answer is no chat completion") from error
    if not isinstance(content, str):
        raise WriterFailed("the copy model's answer is no chat completion")
    found = re.search(r"\[.*\]", content, re.DOTALL)
    try:
        listed = json.loads(found.group()) if found else None
    except ValueError:
        listed = None
    if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
        lines = listed
    else:
        lines = [_BULLET.sub("", line) for line in content.splitlines() if not line.strip().startswith("```")]
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise WriterFailed("the copy model wrote nothing")
    return lines
