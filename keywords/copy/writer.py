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
import numpy as np

from keywords.copy.compose import Dropped, Line, Wanted, judge_written
from keywords.copy.data import slot_words
from keywords.copy.facts import invented
from keywords.copy.judging import Ground
from keywords.copy.suggestion import fitting_terms, terms_within
from keywords.effects.learning import Learning
from keywords.text.vocabulary import is_class
from store.errors import ExpectedError

MAX_ANSWER_BYTES = 262_144
MAX_LINES = 50
_STRONG, _WEAK = 20, 10  # terms that bring clicks, and those that cost them, to be avoided
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
class Ranked:
    """Terms for a model, each list the farthest from nil first."""

    strong: Sequence[str]  # that bring clicks
    weak: Sequence[str]  # that cost clicks


@dataclass(frozen=True)
class Writer:
    """Where the model is. `url` is the API's base, such as https://host/v1; `key` may be empty."""

    url: str
    name: str
    key: str = field(default="", repr=False)
    timeout_seconds: float = 30.0

    def write(self, wanted: Wanted, ground: Ground, best: Sequence[Line], ranked: Ranked) -> list[str]:
        """Up to MAX_LINES lines as the model wrote them, not yet judged. `best` are built lines, for examples. Raises
        WriterFailed. One call, no second try: a person waits."""
        body = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": brief(wanted, ground, best, ranked)},
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


@dataclass(frozen=True)
class Written:
    """What came of asking a writer."""

    lines: Sequence[Line] = ()  # scored and checked as built ones are
    dropped: Sequence[Dropped] = ()  # that broke a rule
    problem: str | None = None  # why it didn't write


def ask(writer: Writer, wanted: Wanted, learning: Learning | None, ground: Ground, best: Sequence[Line]) -> Written:
    """The writer's lines beside `best`, the built ones, judged. Calls the model: have no transaction open."""
    try:
        found = writer.write(wanted, ground, best, ranked_terms(learning, ground))
    except WriterFailed as error:
        return Written(problem=str(error))
    return Written(*judge_written(found, wanted, learning, ground))


def ranked_terms(learning: Learning | None, ground: Ground) -> Ranked:
    """The terms to tell a model: of those that fit the theme or ask to act, the ones that brought clicks, the best
    first, none that says what nobody gave; and those that surely cost clicks. Both empty while nothing was learned."""
    if learning is None:
        return Ranked([], [])
    given, effect = ground.given, learning.fit.effect
    fitting = fitting_terms(given.theme, learning, given.tokenizer).parts.values()
    called = (terms_within(word, learning, given.tokenizer) for words in slot_words().values() for word in words)
    known = {place for terms in (*fitting, *called) for term in terms if (place := learning.place(term)) is not None}
    strong = [
        learning.terms[i]
        for i in sorted(known, key=lambda i: -effect[i])
        if effect[i] > 0 and not is_class(learning.terms[i]) and not invented(learning.terms[i], given)
    ]
    weak = [learning.terms[i] for i in np.argsort(effect)[:_WEAK] if learning.fit.high[i] < 0]
    return Ranked(strong[:_STRONG], weak)


def brief(wanted: Wanted, ground: Ground, best: Sequence[Line], ranked: Ranked) -> str:
    """What the model is told: facts, terms from the greatest effect down, the form and its length."""
    given = ground.given
    told = {
        "主題": given.theme,
        "商品": list(given.products),
        "優惠（逐字照抄，全部都要）": list(given.offers),
        "點擊效果好的詞（由高到低）": list(ranked.strong),
        "避免的詞": list(ranked.weak),
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
