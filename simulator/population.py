"""A population that reads messages and acts: taps, buys, chats, goes quiet, blocks. The same seed gives the same lives.

A tap (of a link or a postback button) is decided by log-odds: base + spending class + the person's habit + hour +
liked theme + hidden effects of the words found (`simulator/words.py`) - fatigue. Every draw comes from a stream named
by the person and the number of the message they got, so the order of calls between different people changes nothing.
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from simulator.people import Person, SpendingClass, draw_person, stream
from simulator.words import CHAT_PHRASES, REFUSAL_PHRASE, WORD_EFFECTS, effect_of, themes_in, words_in

BASE_LOG_ODDS = -3.2
SPENDING_EFFECT = {
    SpendingClass.NONE: -0.45,
    SpendingClass.LOW: -0.1,
    SpendingClass.MIDDLE: 0.2,
    SpendingClass.HIGH: 0.55,
}
AWAKE_EFFECT, ASLEEP_EFFECT = 0.15, -0.35
LIKED_THEME_EFFECT = 0.4
QUIET_EFFECT = -3.0
FATIGUE_DAYS = 7
FATIGUE_FREE = 2  # messages in FATIGUE_DAYS that nobody minds
FATIGUE_EFFECT = 0.3  # log-odds lost for each message beyond
BLOCK_PROBABILITY = 0.0006  # per message, growing by e ** 0.5 for each beyond
CHAT_PROBABILITY = 0.004
REFUSAL_SHARE = 0.3  # of those fed up: say so instead of blocking
PREVIEW_PROBABILITY = 0.06
SECOND_TAP_PROBABILITY = 0.08
OPEN_PROBABILITY = 0.65  # of those who neither tap nor write nor leave, who have seen it anyway
MEAN_MINUTES_TO_SEE = 25.0
PURCHASE_AFTER_TAP = {
    SpendingClass.NONE: 0.06,
    SpendingClass.LOW: 0.10,
    SpendingClass.MIDDLE: 0.16,
    SpendingClass.HIGH: 0.24,
}
MEAN_DAYS_TO_PURCHASE = 1.5
COME_BACK_PROBABILITY = 0.05
WEEK = timedelta(days=7)

_URL = re.compile(r"https?://[^\s<>\"'，。！、）]+")
_READ_KEYS = ("text", "altText", "title", "label")
_LINK_KEYS = ("uri", "linkUri")
_BUTTON_KEY = "data"  # of a postback action
_MONDAY = datetime(2001, 1, 1, tzinfo=UTC)


class ActionKind(StrEnum):
    """What a person, or a robot on their behalf, does."""

    OPEN = "open"  # the message comes into view in the chat
    TAP = "tap"
    PRESS = "press"  # a button that sends a postback
    PREVIEW = "preview"  # a robot fetches the link
    BUY = "buy"
    SAY = "say"
    BLOCK = "block"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done at a time (aware UTC): `url` of a tap or preview, `text` said (or, pressed, sent by the button),
    `order_id` and `amount` bought. `request_id`: which message made them do it, when Life knows."""

    at: datetime
    kind: ActionKind
    line_user_id: str
    customer_id: str
    url: str = ""
    text: str = ""
    order_id: str = ""
    amount: Decimal = Decimal(0)
    request_id: str = ""


def truth() -> dict[str, float]:
    """The hidden effect of every word on the log-odds of a tap (for offers, that on the average person)."""
    return dict(WORD_EFFECTS)


def read(messages: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """What a reader sees of LINE messages: all their words without addresses, and their links, in order, each once."""
    words: list[str] = []
    links: list[str] = []
    for key, value in _strings(messages):
        if key in _LINK_KEYS and value.startswith("http"):
            links.append(value)
        elif key in _READ_KEYS:
            links += _URL.findall(value)
            words.append(_URL.sub(" ", value))
    return "\n".join(words), list(dict.fromkeys(links))


def buttons_of(messages: Sequence[dict[str, Any]]) -> list[str]:
    """What the postback buttons of LINE messages send, in order, each once."""
    found = (value for key, value in _strings(messages) if key == _BUTTON_KEY)
    return list(dict.fromkeys(found))


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _strings(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, key)


class Population:
    """People and what they remember: how many messages they got, and when lately. Not thread-safe."""

    def __init__(self, seed: int, *, born: datetime, zone: str = "Asia/Taipei") -> None:
        self.seed = seed
        self.people: dict[str, Person] = {}
        self._born = born
        self._zone = ZoneInfo(zone)
        self._received: dict[str, int] = {}
        self._recent: dict[str, deque[datetime]] = {}

    def add(self, line_user_id: str, **traits: Any) -> Person:
        """A new person under that id, replacing an earlier one; `traits` as in `draw_person`."""
        person = self.people[line_user_id] = draw_person(self.seed, line_user_id, self._born, **traits)
        return person

    def invent(self, count: int) -> list[Person]:
        """`count` new people with ids made from the seed and their number."""
        first = len(self.people)
        ids = (stream(self.seed, "id", n).bytes(16).hex() for n in range(first, first + count))
        return [self.add(f"U{number}") for number in ids]

    def tap_probability(self, person: Person, text: str, at: datetime, fatigue: int = 0) -> float:
        """The chance that `person` taps a link in a message with these words that arrives at `at`."""
        log_odds = BASE_LOG_ODDS + SPENDING_EFFECT[person.spending_class] + person.habit
        log_odds += AWAKE_EFFECT if self._hours_until_awake(person, at) == 0 else ASLEEP_EFFECT
        log_odds += LIKED_THEME_EFFECT if themes_in(text) & person.likes else 0.0
        log_odds += effect_of(words_in(text), person.price_sensitivity)
        log_odds -= FATIGUE_EFFECT * fatigue
        log_odds += QUIET_EFFECT if at >= person.quiet_from else 0.0
        return 1.0 / (1.0 + math.exp(-log_odds))

    def react(self, line_user_id: str, messages: Sequence[dict[str, Any]], at: datetime) -> list[Action]:
        """What the person does because of one delivery at `at`, in order of time; nothing for someone unknown."""
        person = self.people.get(line_user_id)
        if person is None:
            return []
        number = self._received[line_user_id] = self._received.get(line_user_id, 0) + 1
        draw = stream(self.seed, "message", line_user_id, number)
        fatigue = self._fatigue(line_user_id, at)
        text, links = read(messages)
        buttons = buttons_of(messages)
        seen_at = self._seen_at(person, at, draw)
        will_tap, will_preview, will_talk, will_leave = draw.random(4)
        actions: list[Action] = []
        if links and will_preview < PREVIEW_PROBABILITY:
            actions.append(_act(person, at + timedelta(seconds=1), ActionKind.PREVIEW, url=links[0]))
        if (links or buttons) and will_tap < self.tap_probability(person, text, at, fatigue):
            actions += self._tap(person, links, buttons, seen_at, number, draw)
        if will_leave < BLOCK_PROBABILITY * math.exp(0.5 * fatigue):
            actions += _leave(person, seen_at + timedelta(minutes=1), draw)
        elif will_talk < CHAT_PROBABILITY:
            words = CHAT_PHRASES[draw.integers(len(CHAT_PHRASES))]
            actions.append(_act(person, seen_at + timedelta(minutes=2), ActionKind.SAY, text=words))
        if any(a.kind is not ActionKind.PREVIEW for a in actions) or draw.random() < OPEN_PROBABILITY:
            actions.insert(0, _act(person, seen_at, ActionKind.OPEN))
        return sorted(actions, key=lambda action: action.at)

    def _tap(
        self,
        person: Person,
        links: list[str],
        buttons: list[str],
        at: datetime,
        number: int,
        draw: np.random.Generator,
    ) -> list[Action]:
        chosen = int(draw.integers(len(links) + len(buttons)))
        actions = [
            _act(person, at, ActionKind.TAP, url=links[chosen])
            if chosen < len(links)
            else _act(person, at, ActionKind.PRESS, text=buttons[chosen - len(links)])
        ]
        if draw.random() < SECOND_TAP_PROBABILITY:
            actions.append(replace(actions[0], at=at + timedelta(minutes=float(draw.exponential(30.0)))))
        if draw.random() < PURCHASE_AFTER_TAP[person.spending_class]:
            later = at + timedelta(minutes=3) + timedelta(days=float(draw.exponential(MEAN_DAYS_TO_PURCHASE)))
            actions.append(_buy(person, later, f"T{number}", draw))
        return actions

    def ordinary_life(self, since: datetime, until: datetime) -> list[Action]:
        """What everyone does of their own accord in [since, until), messages or none: purchases and chats, by time.

        Drawn per person and calendar week, so two adjoining spans give the same as one.
        """
        # from the week before: what was drawn for its last night happens after waking
        first, last = (since - _MONDAY) // WEEK - 1, (until - _MONDAY) // WEEK
        actions = [
            action
            for person in list(self.people.values())
            for week in range(first, last + 1)
            for action in self._week_of(person, week)
            if since <= action.at < until
        ]
        return sorted(actions, key=lambda action: (action.at, action.line_user_id))

    def _week_of(self, person: Person, week: int) -> Iterable[Action]:
        draw = stream(self.seed, "week", person.line_user_id, week)
        start = _MONDAY + week * WEEK
        purchases, chats = draw.poisson((person.daily_purchases * 7, person.daily_chats * 7))
        for number in range(purchases):
            at = self._next_awake(person, start + WEEK * float(draw.random()))
            if at < person.quiet_from:
                yield _buy(person, at, f"W{week}.{number}", draw)
        for _ in range(chats):
            at = self._next_awake(person, start + WEEK * float(draw.random()))
            words = CHAT_PHRASES[draw.integers(len(CHAT_PHRASES))]
            if at < person.quiet_from:
                yield _act(person, at, ActionKind.SAY, text=words)

    def _fatigue(self, line_user_id: str, at: datetime) -> int:
        recent = self._recent.setdefault(line_user_id, deque())
        while recent and recent[0] <= at - timedelta(days=FATIGUE_DAYS):
            recent.popleft()
        recent.append(at)
        return max(0, len(recent) - 1 - FATIGUE_FREE)

    def _seen_at(self, person: Person, at: datetime, draw: np.random.Generator) -> datetime:
        minutes = float(draw.exponential(MEAN_MINUTES_TO_SEE))
        return self._next_awake(person, at) + timedelta(minutes=minutes)

    def _next_awake(self, person: Person, at: datetime) -> datetime:
        return at + timedelta(hours=self._hours_until_awake(person, at))

    def _hours_until_awake(self, person: Person, at: datetime) -> int:
        """Whole hours until the person is awake; 0 when they are."""
        since_waking = (at.astimezone(self._zone).hour - person.first_hour) % 24
        return 0 if since_waking < person.hours_awake else 24 - since_waking


def _act(person: Person, at: datetime, kind: ActionKind, **fields: Any) -> Action:
    return Action(at, kind, person.line_user_id, person.customer_id, **fields)


def _buy(person: Person, at: datetime, name: str, draw: np.random.Generator) -> Action:
    amount = Decimal(round(person.typical_amount * float(draw.lognormal(0.0, 0.4)) * 100)) / 100
    return _act(person, at, ActionKind.BUY, order_id=f"S-{person.customer_id}-{name}", amount=amount)


def _leave(person: Person, at: datetime, draw: np.random.Generator) -> list[Action]:
    """Had enough: says so, or blocks the account, a few of whom come back after weeks."""
    if draw.random() < REFUSAL_SHARE:
        return [_act(person, at, ActionKind.SAY, text=REFUSAL_PHRASE)]
    actions = [_act(person, at, ActionKind.BLOCK)]
    if draw.random() < COME_BACK_PROBABILITY:
        actions.append(_act(person, at + timedelta(days=float(draw.uniform(14, 60))), ActionKind.FOLLOW))
    return actions
