"""The ways to send, chosen by what the content needs, with their time and cost. Knows no database.

Sources: "Rate limits" of the Messaging API reference for LINE's speed; "Pricing": one message per person and request,
whatever it holds, a reply free.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from campaigns.content.fields import has_field
from campaigns.content.message import links_in
from campaigns.content.parts import BUTTON, ONE_BODY
from store.errors import BadInput

WayName = Literal["push", "multicast", "narrowcast", "reply"]
Clicks = Literal["by person", "counted", "none"]  # who tapped is known | how many fetched the link | nothing to tap

WAYS: tuple[WayName, ...] = ("push", "multicast", "narrowcast")  # that a run may be sent by; a reply comes before one
AUTO = "auto"
PUSHES_PER_SECOND = 2_000
MULTICASTS_PER_SECOND = 200
MULTICAST_SIZE = 500
UPLOADS_PER_MINUTE = 60
UPLOAD_SIZE = 10_000  # ids in one upload to an audience of LINE's
NARROWCASTS_PER_HOUR = 60
LIFF_HOSTS = ("liff.line.me", "miniapp.line.me")


class Variant(Protocol):
    """A variant of a step, planned or stored: its messages, and those for people of other languages."""

    @property
    def messages(self) -> Sequence[dict[str, Any]]: ...
    @property
    def languages(self) -> Mapping[str, Sequence[dict[str, Any]]]: ...


@dataclass(frozen=True)
class Needs:
    """What a campaign's content and plan ask of the way it is sent."""

    has_fields: bool = False
    has_links: bool = False  # that don't say by themselves who tapped
    has_named_taps: bool = False  # postback buttons or LIFF links: who taps says who they are
    bodies: int = 1  # variants and their versions by language, of the step with the most: a narrowcast each
    learns: bool = False  # a winner is chosen while it is sent
    replies_first: bool = False
    at_best_hour: bool = False


@dataclass(frozen=True)
class Way:
    """One way for one audience. `why_not`: why it can't be, empty when it can. `seconds`: the least that LINE's rates
    allow, None where it depends on people. `cost`: messages counted in the quota, at most."""

    name: WayName
    why_not: tuple[str, ...]
    seconds: float | None
    calls: int
    cost: int
    clicks: Clicks
    notes: tuple[str, ...] = ()

    @property
    def is_possible(self) -> bool:
        """Whether the content can be sent this way."""
        return not self.why_not


def needs_of(steps: Sequence[Collection[Variant]], **plan: bool) -> Needs:
    """What these steps' variants need; `plan`: the Needs that don't come from content (learns, replies_first, …)."""
    variants = [variant for step in steps for variant in step]
    contents = [list(part) for v in variants for part in (v.messages, *v.languages.values())]
    tracked = [url for messages in contents for url in links_in(messages)]
    links = [url for url in tracked if not url.startswith(BUTTON)]
    liff = [url for url in links if urlsplit(url).hostname in LIFF_HOSTS]
    return Needs(
        has_fields=any(_has_field(messages) for messages in contents),
        has_links=len(liff) < len(links),
        has_named_taps=bool(liff) or len(links) < len(tracked),
        bodies=max((sum(1 + len(variant.languages) for variant in step) for step in steps), default=1),
        **plan,
    )


def choose_way(needs: Needs) -> WayName:
    """The way for these needs: push where something is each person's own (fields, links whose taps are to be known by
    person, an hour), else multicast, one call for 500."""
    own = needs.has_fields or needs.has_links or needs.at_best_hour
    return "push" if own else "multicast"


def check_way(name: str, needs: Needs) -> WayName:
    """The way asked for, or the one chosen for "auto". Raises BadInput saying why it can't be."""
    if name == AUTO:
        return choose_way(needs)
    for way in WAYS:
        if way == name:
            if why_not := _why_not(way, needs):
                raise BadInput(f"{name} can't send this: {'; '.join(why_not)}")
            return way
    raise BadInput(f"{name!r} is not a way to send: say {', '.join((AUTO, *WAYS))}")


def taps_known(way: WayName, needs: Needs) -> Clicks:
    """How taps are known when it goes by `way`; of a content with links of either kind, the lesser."""
    if not (needs.has_links or needs.has_named_taps):
        return "none"
    return "counted" if needs.has_links and way in ONE_BODY else "by person"


def ways_for(people: int, needs: Needs) -> list[Way]:
    """Every way for so many people, possible or not: push, multicast, narrowcast, reply."""
    one_body = -(-people // MULTICAST_SIZE)
    uploads = -(-people // UPLOAD_SIZE)
    counted = ("tracked links say how many tapped, not who",) if needs.has_links else ()
    return [
        Way(
            "push",
            _why_not("push", needs),
            people / PUSHES_PER_SECOND,
            people,
            people,
            taps_known("push", needs),
        ),
        Way(
            "multicast",
            _why_not("multicast", needs),
            one_body / MULTICASTS_PER_SECOND,
            one_body,
            people,
            taps_known("multicast", needs),
            counted,
        ),
        Way(
            "narrowcast",
            _why_not("narrowcast", needs),
            uploads * 60 / UPLOADS_PER_MINUTE,
            uploads + needs.bodies,
            people,
            taps_known("narrowcast", needs),
            (
                *counted,
                "LINE prepares the audience and sends when it is ready: minutes, and it does not say how many",
                "LINE tells how many got it, never who; once accepted it can't be called back",
                "the whole audience is reserved in the quota until it is sent",
                f"at most {NARROWCASTS_PER_HOUR} narrowcasts an hour",
            ),
        ),
        Way(
            "reply",
            _why_not("reply", needs),
            None,
            people,
            0,
            taps_known("reply", needs),
            ("only to those who write or tap a button before the deadline; the others are sent to then",),
        ),
    ]


def _why_not(way: WayName, needs: Needs) -> tuple[str, ...]:
    found = []
    if way in ONE_BODY:
        if needs.has_fields:
            found.append("one body goes to everyone, and the content has fields")
        if needs.at_best_hour:
            found.append("one call goes to many, and each has an hour of their own")
    if way == "narrowcast":
        if needs.replies_first:
            found.append("its people are LINE's to count: free replies first need push or multicast")
        if needs.learns:
            found.append("it is sent all at once, so no winner can be chosen meanwhile")
    if way == "reply" and not needs.replies_first:
        found.append("the campaign does not wait for replies")
    return tuple(found)


def _has_field(value: Any) -> bool:
    if isinstance(value, str):
        return has_field(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has_field(part) for part in parts)
