"""Parts of pages that ask again by themselves: shown anew, and so read out, only when there is something new to say."""

import html
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, update
from werkzeug.test import TestResponse

from store.engine import table_of, transaction
from store.models import AdUpload, CampaignRun, Delivery, FileImport, SegmentRun
from tests.campaigns.results.conftest import Story, story
from tests.conftest import StillClock
from tests.console.conftest import page, send
from tests.factories import make_channel

__all__ = ["story"]
SECOND = timedelta(seconds=1)


class Part:
    """A part of an open page, as a browser keeps it: what it asks next stands in what it was answered last."""

    def __init__(self, client: FlaskClient, address: str, name: str) -> None:
        self._client, self._name = client, name
        self._take(page(client, address))

    def _take(self, text: str) -> None:
        opening = re.search(rf'<div id="{self._name}"[^>]*>', text)
        assert opening, text
        self.attributes = dict(re.findall(r'([a-z-]+)="([^"]*)"', opening[0]))

    def ask(self) -> TestResponse:
        answer = self._client.get(html.unescape(self.attributes["hx-get"]))
        if answer.status_code == 200 and "HX-Refresh" not in answer.headers:
            self._take(answer.get_data(as_text=True))
        return answer

    def says(self) -> str:
        """What asking again comes to: "nothing", "silently" shown anew, "aloud", or "all" of the page."""
        answer = self.ask()
        if answer.status_code == 204:
            return "nothing"
        if "HX-Refresh" in answer.headers:
            return "all"
        return {"off": "silently", "polite": "aloud"}[self.attributes["aria-live"]]


@pytest.fixture
def change(engine: Engine) -> Callable[..., None]:
    """Call with a model and new values of all its rows."""

    def changed(model: Any, **values: Any) -> None:
        with transaction(engine) as session:
            session.execute(update(table_of(model)).values(**values))

    return changed


def test_a_file_that_is_imported(
    client: FlaskClient, engine: Engine, clock: StillClock, change: Callable[..., None]
) -> None:
    file: dict[str, Any] = {"kind": "orders", "file_name": "a.csv", "file_hash": "0", "size_bytes": 1}
    with transaction(engine) as session:
        times: dict[str, Any] = {"uploaded_at": clock(), "asked_at": clock()}
        session.add(FileImport(**file, **times, uploaded_by="a@b.c", asked_by="a@b.c", state="waiting"))
    part = Part(client, "/console/import/1", "progress")
    assert [part.says(), part.says()] == ["nothing", "nothing"]
    change(FileImport, state="running", part_done=0.1)
    assert [part.says(), part.says()] == ["aloud", "nothing"]
    change(FileImport, part_done=0.25)
    assert [part.says(), part.says()] == ["silently", "nothing"]
    change(FileImport, state="failed", problem="it has no rows")
    assert part.says() == "all"


def test_audiences_that_are_uploaded(
    client: FlaskClient, engine: Engine, clock: StillClock, change: Callable[..., None]
) -> None:
    with transaction(engine) as session:
        channel_id = make_channel(session).id or 0
        for name in ("one", "two"):
            asked: dict[str, Any] = {"name": name, "target": "all", "asked_at": clock(), "asked_by": "a@b.c"}
            session.add(AdUpload(channel_id=channel_id, **asked))
    part = Part(client, "/console/ads", "uploads")
    assert [part.says(), part.says()] == ["nothing", "nothing"]
    with transaction(engine) as session:
        session.scalars(select(AdUpload).where(table_of(AdUpload).c.name == "one")).one().state = "done"
    assert [part.says(), part.says()] == ["aloud", "nothing"]
    change(AdUpload, state="done")
    assert part.says() == "all"


def test_a_computation(client: FlaskClient, engine: Engine, clock: StillClock, change: Callable[..., None]) -> None:
    with transaction(engine) as session:
        times: dict[str, Any] = {"started_at": clock() - 60 * SECOND, "finished_at": clock() - 20 * SECOND}
        session.add(SegmentRun(as_of=date(2026, 11, 1), state="finished", lease_until=clock(), **times))
    send(client, "/console/segments/compute")
    part = Part(client, "/console/segments", "computing")
    assert [part.says(), part.says()] == ["nothing", "nothing"]
    clock.advance(seconds=40)
    assert "沒有回應" in part.ask().get_data(as_text=True)
    assert (part.attributes["aria-live"], part.says()) == ("polite", "nothing")
    with transaction(engine) as session:
        now: dict[str, Any] = {"started_at": clock(), "lease_until": clock() + 600 * SECOND}
        session.add(SegmentRun(as_of=date(2026, 11, 2), state="running", **now))
    assert [part.says(), part.says()] == ["aloud", "silently"]  # the bar goes on


def test_a_first_computation_that_shows_no_bar(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        now: dict[str, Any] = {"started_at": clock(), "lease_until": clock() + 600 * SECOND}
        session.add(SegmentRun(as_of=date(2026, 11, 2), state="running", **now))
    part = Part(client, "/console/segments", "computing")
    assert [part.says(), part.says()] == ["nothing", "nothing"]


def test_a_campaign_that_is_sent(client: FlaskClient, story: Story, change: Callable[..., None]) -> None:
    run_id = story.run(state="sending", frozen_at=None)
    for _ in range(3):
        story.person(run_id, state="chosen")
    part = Part(client, f"/console/campaigns/{story.campaign_id}", "progress")
    assert [part.says(), part.says()] == ["silently", "silently"]
    change(CampaignRun, frozen_at=story.at)
    assert [part.says(), part.says()] == ["aloud", "silently"]
    change(Delivery, state="accepted")
    assert "3 / 3" in part.ask().get_data(as_text=True)
    assert part.attributes["aria-live"] == "off"
    change(CampaignRun, slow_step=1)
    assert [part.says(), part.says()] == ["aloud", "silently"]
    change(CampaignRun, state="sent")
    assert part.says() == "all"


def test_a_phone_that_a_code_is_waited_for(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        channel_id = make_channel(session).id or 0
    send(client, f"/console/start/line/{channel_id}")
    part = Part(client, "/console/start", f"waiting-{channel_id}")
    assert [part.says(), part.says()] == ["nothing", "nothing"]
    clock.advance(seconds=5)
    send(client, f"/console/start/line/{channel_id}")  # a new code, on another page
    assert [part.says(), part.says()] == ["aloud", "nothing"]
    clock.advance(minutes=31)
    assert part.says() == "all"
