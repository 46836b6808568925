"""NESL as a drawing: people in the boxes, moved people on the arrows, and whom an arrow's list shows."""

import re
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from console.segments.nesl_flow import ARROWS, PLACES, nesl_flow
from console.segments.sizes import Size
from segmentation.models import MODELS
from segmentation.movement import Movement
from segmentation.renew import Ground, renew_everyone
from segmentation.settings import SegmentSettings
from store.engine import transaction
from tests.conftest import StillClock
from tests.console.conftest import page
from tests.factories import make_customer, make_order

FIRST, LAST = date(2026, 10, 1), date(2026, 11, 1)


def test_every_state_has_a_box_and_every_arrow_joins_two() -> None:
    assert set(PLACES) == {segment.name for segment in MODELS["nesl"]}
    assert {name for pair in ARROWS for name in pair} == set(PLACES)


def test_people_stand_on_their_arrows_and_jumps_apart() -> None:
    counts: dict[tuple[str | None, str | None], int] = {(None, "N"): 3, ("E", "E"): 900, ("E", "L"): 4}
    counts |= {(None, "never"): 50, ("N", None): 2}  # who joined, or is no longer known, went no steps at all
    counts |= {("E", "S1"): 30, ("S1", "E"): 10}
    flow = nesl_flow("nesl", {"E": Size(940, Decimal(1))}, Movement(FIRST, LAST, counts))
    assert flow is not None
    assert {(one.before, one.after): one.people for one in flow.arrows if one.people} == {
        ("E", "S1"): 30,
        ("S1", "E"): 10,
    }
    assert flow.elsewhere == 4
    assert {one.name: (one.people, one.share) for one in flow.states}["E"] == (940, 1)
    assert {(one.before, one.after): one.share for one in flow.arrows}["E", "S1"] == 30 / 934, "of all who had been E"
    thick = {(one.before, one.after): one.thickness for one in flow.arrows}
    assert thick["E", "S1"] > thick["S1", "E"] > thick["N", "E"]
    assert nesl_flow("rf11", {}, None) is None
    empty = nesl_flow("nesl_personal", {}, None)
    assert empty is not None
    assert {one.people for one in empty.states} | {one.people for one in empty.arrows} == {0}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_arrow_leads_to_those_who_took_it(
    client: FlaskClient, engine: Engine, clock: StillClock, language: str
) -> None:
    with transaction(engine) as session:
        for n in range(6):
            who = make_customer(session, member_id=f"M{n}")
            for k in range(2):  # two orders: E on the first day, and asleep a month later unless they buy again
                make_order(session, who, ordered_at=clock() - timedelta(days=40 + 5 * k))
            if n < 2:
                make_order(session, who, ordered_at=clock() - timedelta(days=3))
    ground = Ground(engine, ZoneInfo("Asia/Taipei"), clock)
    for day in (FIRST, LAST):
        renew_everyone(ground, SegmentSettings(), as_of=day)
        clock.advance(hours=1)
    text = page(client, f"/console/segments/nesl?lang={language}")
    (shown,) = re.findall(r'<text class="moved"[^>]*>(\d+)<', text)
    assert shown == "4"
    (address,) = re.findall(r'<li><a href="([^"]*r0-type=moved[^"]*)"', text)
    assert set(re.findall(r">(M\d)</a>", page(client, unescape(address)))) == {"M2", "M3", "M4", "M5"}
    boxes = re.findall(r'<a href="([^"]*)"[^>]* data-states="(\w+)"', text)
    assert {name for _, name in boxes} == set(PLACES)
    steps = re.findall(r'<a href="([^"]*)"[^>]* data-states="(\w+ \w+)" aria-label="([^"]*)"', text)
    assert [(to, states) for to, states, _ in steps] == [(address, "E S1")]
    assert "66.7%" in steps[0][2], "four of the six"
    assert "data-flow" not in page(client, "/console/segments/rf4")
