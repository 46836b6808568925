"""Ad audiences that are asked for: uploaded once by whichever worker comes first, told of, and never gone on with."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.line.audiences import NarrowcastDoor
from campaigns.audience.target import UnknownTarget
from campaigns.results.ad_uploads import LEASE, ask_for_upload, newest_uploads, upload_asked
from campaigns.results.line_audience import AudienceDoor
from simulator.channels import Friend
from simulator.server import SimulatorThread
from store.engine import reading, table_of, transaction
from store.errors import BadInput, NotFound
from store.models import AdUpload, AuditEntry
from tests.campaigns.conftest import TOKEN, ZONE
from tests.campaigns.results.test_ads import Brand, brand, people_at

__all__ = ["brand"]
AMY = "U" + "a" * 32


def ask(brand: Brand, name: str = "秋季廣告", target: str = "all", *, channel_id: int | None = None) -> bool:
    with transaction(brand.engine) as session:
        channel_id = brand.channel_id if channel_id is None else channel_id
        return ask_for_upload(session, target, name, channel_id=channel_id, actor="anna", now=brand.now)


def work(brand: Brand, doors: Mapping[int, AudienceDoor], wait: Any = lambda _: None) -> int:
    return upload_asked(brand.engine, doors, zone=ZONE, clock=lambda: brand.now, wait=wait)


def found(brand: Brand) -> list[AdUpload]:
    with reading(brand.engine) as session:
        return newest_uploads(session, 10)


@pytest.fixture
def doors(brand: Brand, line: SimulatorThread) -> dict[int, AudienceDoor]:
    line.platform.add_friends([Friend(AMY, "朋友")])
    return {brand.channel_id: NarrowcastDoor(api_base=line.url, access_token=TOKEN, timeout_seconds=5)}


def test_what_was_asked_for_is_uploaded_of_those_who_consented(
    brand: Brand, line: SimulatorThread, doors: dict[int, AudienceDoor]
) -> None:
    brand.consent("ads_ok")
    assert ask(brand, " 秋季廣告 ")
    assert not ask(brand), "it waits already"
    assert people_at(line) == {}, "nothing leaves in the request"
    assert work(brand, doors) == 1
    assert people_at(line) == {"秋季廣告": {AMY}}
    [one] = found(brand)
    assert (one.state, one.people, one.left_out, one.unknown, one.problem) == ("done", 1, 5, 0, None)
    assert (one.finished_at, one.lease_until) == (brand.now, None)
    assert work(brand, doors) == 0
    entries = table_of(AuditEntry)
    with reading(brand.engine) as session:
        rows = session.execute(select(entries.c.actor, entries.c.action).order_by(entries.c.id)).all()
    assert [tuple(row) for row in rows][1:] == [("anna", "ask for ad audience"), ("anna", "export ad audience")]


def test_it_is_refused_at_once_where_it_can_be_known(brand: Brand) -> None:
    with pytest.raises(BadInput, match="ads_consent"):
        ask(brand)
    brand.consent("ads_ok")
    with pytest.raises(BadInput, match="1 to 120"):
        ask(brand, " ")
    with pytest.raises(UnknownTarget):
        ask(brand, target="list:nobody")
    with pytest.raises(NotFound):
        ask(brand, channel_id=99)
    assert found(brand) == []


def test_what_line_refuses_is_told_and_may_be_asked_for_again(brand: Brand, doors: dict[int, AudienceDoor]) -> None:
    brand.consent("ads_ok")
    ask(brand)
    assert work(brand, {}) == 1
    assert (found(brand)[0].state, found(brand)[0].problem) == ("failed", "the channel has no access token")
    assert ask(brand)
    assert (found(brand)[0].state, found(brand)[0].problem, found(brand)[0].finished_at) == ("waiting", None, None)
    work(brand, doors)
    assert found(brand)[0].state == "done"
    ask(brand)
    work(brand, doors)
    assert (found(brand)[0].state, found(brand)[0].people) == ("failed", None)
    assert "nobody can be taken out" in (found(brand)[0].problem or "")


def test_consent_withdrawn_before_the_worker_comes_is_respected(
    brand: Brand, line: SimulatorThread, doors: dict[int, AudienceDoor]
) -> None:
    brand.consent("ads_ok")
    ask(brand)
    with transaction(brand.engine) as session:
        session.merge(brand.amy).marketing_refused_at = brand.now
    work(brand, doors)
    assert people_at(line) == {"秋季廣告": set()}


def test_a_worker_that_died_is_told_and_another_does_not_go_on(
    brand: Brand, line: SimulatorThread, doors: dict[int, AudienceDoor]
) -> None:
    class Killed(BaseException):
        pass

    def die(_seconds: float) -> None:
        raise Killed

    brand.consent("ads_ok")
    ask(brand)
    with pytest.raises(Killed):
        work(brand, doors, wait=die)
    assert found(brand)[0].state == "running"
    assert work(brand, doors) == 0, "it may be at work yet"
    brand.now += LEASE + timedelta(seconds=1)
    assert work(brand, doors) == 0
    assert (found(brand)[0].state, "the worker stopped" in (found(brand)[0].problem or "")) == ("failed", True)
    assert people_at(line) == {"秋季廣告": {AMY}}


def test_an_unexpected_failure_is_told_and_raised(brand: Brand) -> None:
    class Broken:
        def find_audience(self, name: str) -> int | None:
            raise RuntimeError(name)

        def create_audience(self, name: str) -> int:
            raise NotImplementedError

        def add_to_audience(self, audience_id: int, line_user_ids: Any) -> None:
            raise NotImplementedError

    brand.consent("ads_ok")
    ask(brand)
    with pytest.raises(RuntimeError):
        work(brand, {brand.channel_id: Broken()})
    assert (found(brand)[0].state, found(brand)[0].problem) == ("failed", "RuntimeError: see the worker's log")
