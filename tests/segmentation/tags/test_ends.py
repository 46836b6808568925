"""Of which tags it is known when they fall off."""

from datetime import date
from typing import Any

import pytest

from segmentation.preference.settings import PreferenceSettings
from segmentation.rules.reading import read_rule
from segmentation.tags.definitions import read_definition
from segmentation.tags.ends import known_ends
from segmentation.tags.live import Live, LiveTag

AS_OF = date(2026, 11, 3)
FRESH: dict[str, Any] = {"type": "orders", "measure": "count", "at_least": 1, "window": {"last_days": 30}}
PREFERS = ("preference", {"dimension": "label", "value": "染護"})


def live_with(**tags: tuple[str, dict[str, Any]]) -> Live:
    """These tags, by name the source and definition; their ids are 1, 2, … in that order."""
    names = dict(enumerate(tags, start=1))
    rows = [
        LiveTag(number, name, source, read_definition(source, definition))
        for number, (name, (source, definition)) in enumerate(tags.items(), start=1)
        if source != "hand"
    ]
    rules = {"fresh": read_rule(FRESH)}
    return Live(rows, names, {}, rules, (0, None), PreferenceSettings(), has_preferences=True)


def known(live: Live, *, has_cycle: bool = True) -> set[str]:
    return {live.names[number] for number in known_ends(live, AS_OF, has_cycle=has_cycle)}


def rule(*conditions: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return "rule", {"when": {"type": "all", "of": list(conditions)}, **more}


def tagged(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "tag", "name": name, **more}


@pytest.mark.parametrize(
    ("source", "definition", "with_cycle", "without"),
    [
        ("hand", {}, True, True),
        ("preference", {"dimension": "label", "value": "染護"}, True, True),
        ("group", {"group": "champion"}, False, False),
        ("group", {"group": "at_risk_spender"}, False, False),
        ("group", {"group": "win_back"}, True, False),
        ("group", {"group": "repeat_buyer"}, True, False),
        ("measure", {"measure": "paid_total", "at_least": "9"}, True, True),
        ("measure", {"measure": "paid_total", "top_percent": "9"}, False, False),
        ("measure", {"measure": "frequency", "at_least": "9"}, True, False),
        ("measure", {"measure": "recency_days", "at_most": "9"}, True, False),
        ("measure", {"measure": "loyalty", "at_least": "1"}, False, False),
        ("measure", {"measure": "p_buy", "at_least": "0.5"}, False, False),
        ("rule", {"rule": "fresh"}, True, True),
        ("rule", {"rule": "gone"}, False, False),
    ],
)
def test_a_tag_by_itself(source: str, definition: dict[str, Any], with_cycle: bool, without: bool) -> None:
    live = live_with(it=(source, definition))
    assert known(live) == ({"it"} if with_cycle else set())
    assert known(live, has_cycle=False) == ({"it"} if without else set())


def test_a_rule_is_known_as_far_as_the_tags_that_it_asks_for_are() -> None:
    live = live_with(
        hand=("hand", {}),
        best=("group", {"group": "champion"}),
        likes=PREFERS,
        of_hand=rule(FRESH, tagged("hand"), tagged("likes"), tagged("not there")),
        of_best=rule(FRESH, tagged("best")),
        not_of_best=rule({"type": "not", "of": tagged("best")}),
        of_both=rule(tagged("of_hand"), tagged("of_best")),
        of_one=rule(tagged("of_hand")),
        strong=rule(tagged("likes", strength={"at_least": 1})),
        until=rule(tagged("best"), until=FRESH),
        round_and=rule(tagged("round")),
        round=rule(tagged("round_and")),
    )
    assert known(live) == {"hand", "likes", "of_hand", "of_one", "until"}


def test_what_can_t_be_judged_is_not_known() -> None:
    live = live_with(a=rule(FRESH), b=rule(FRESH))
    live.problems[2] = "its definition can't be read"
    assert known(live) == {"a"}


STALE = {"type": "orders", "measure": "count", "at_most": 0, "window": {"last_days": 30}}
MOVED = {"type": "moved", "model": "nesl", "to": ["S1"], "window": {"last_days": 7}}


def negated(condition: dict[str, Any]) -> dict[str, Any]:
    return {"type": "not", "of": condition}


def any_of(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "any", "of": list(conditions)}


@pytest.mark.parametrize(
    ("asked", "is_known"),
    [
        (MOVED, False),  # time itself moves people on, before the move leaves the window
        ({"type": "all", "of": [MOVED, FRESH]}, False),
        ({**MOVED, "window": {"from": "2026-11-01"}}, True),
        ({**MOVED, "window": None}, True),
        ({"type": "all", "of": [{**MOVED, "window": {"until": "2026-12-01"}}, FRESH]}, True),
        (negated({**MOVED, "window": {"from": "2026-11-01"}}), False),
        (negated(MOVED), False),  # time itself moves people to S1
        (any_of(MOVED, FRESH), False),
        (negated({**MOVED, "window": {"until": "2026-11-03"}}), True),
        (negated({**MOVED, "window": {"until": "2026-11-04"}}), False),
        (tagged("stale"), True),
        (negated(tagged("stale")), False),  # it goes on by itself, 30 days after the last order
        (any_of(tagged("stale"), FRESH), False),
        (negated(tagged("back")), False),
        (negated(tagged("long ago")), False),
        (negated(tagged("lately")), True),
        (negated(tagged("hand")), True),
        (negated(tagged("likes")), True),
        (negated(tagged("repeats")), True),
    ],
)
def test_where_a_new_move_or_tag_could_change_it_it_is_not_known(asked: dict[str, Any], is_known: bool) -> None:
    live = live_with(
        stale=rule(STALE),
        back=("group", {"group": "win_back"}),
        repeats=("group", {"group": "repeat_buyer"}),
        **{"long ago": ("measure", {"measure": "recency_days", "at_least": "9"})},
        lately=("measure", {"measure": "recency_days", "at_most": "9"}),
        hand=("hand", {}),
        likes=PREFERS,
        it=rule(asked),
    )
    assert ("it" in known(live)) == is_known
