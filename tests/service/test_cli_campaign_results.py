"""What campaigns brought, as a marketer or a program asks for it on the command line, on both databases."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine, select

from campaigns.audience import freezing
from campaigns.planning import schedule
from campaigns.sending.claims import Outcome, record_outcomes
from campaigns.settings import change_settings
from service.cli.campaign import app
from service.settings import Settings
from store.changes import note_responses
from store.engine import open_engine, table_of, transaction
from store.errors import BadInput
from store.models import Campaign, Channel, Click, Delivery, TrackedLink
from tests.factories import make_account, make_customer, make_order
from tests.service.conftest import Retarget


@pytest.fixture
def retarget(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(app)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sent(retarget: Retarget, database: Engine) -> Any:
    """Campaign 1, sent to most of 12 people; the first of those sent to tapped, and bought for 120."""
    link = "看看 https://shop.example/a"
    retarget("create", "--name", "週年慶", "--to", "all", "--text", link, "--at", "now", "--holdout", "40", "--json")
    settings = Settings()
    with transaction(database) as session:
        channel = session.get_one(Channel, 1)
        people = [make_customer(session, attributes={"ok": "yes", "phone": "0912345678"}) for _ in range(12)]
        for customer in people:
            make_account(session, channel, customer)
        now = session.get_one(Campaign, 1).created_at
        (run_id,) = schedule.fire_due(session, zone=settings.zone, now=now)
        while freezing.freeze_slice(session, run_id, zone=settings.zone, now=now):
            pass
        delivery = table_of(Delivery)
        chosen = list(
            session.scalars(
                select(delivery.c.customer_id).where(delivery.c.state == "chosen").order_by(delivery.c.customer_id)
            )
        )
        record_outcomes(session, run_id, [Outcome(who, "accepted", sent_at=now) for who in chosen])
        buyer = next(customer for customer in people if customer.id == chosen[0])
        tracked = session.scalars(select(table_of(TrackedLink).c.id)).one()
        tap = {"link_id": tracked, "run_id": run_id, "customer_id": buyer.id, "clicked_at": now}
        session.add(Click(**tap, kind="person", user_agent="Line/14"))
        make_order(session, buyer, ordered_at=now, total=120)
        note_responses(session, [buyer.id or 0])
    return len(chosen)


def test_all_that_it_brought_is_worked_out_and_told(retarget: Retarget, sent: int) -> None:
    told = retarget("results", "1", "--json")
    assert (told["id"], told["state"], told["clicks"], told["conversions"]) == (1, "sending", 1, 1)
    assert (told["deliveries"]["accepted"], told["messages"], told["cost"]["messages"]) == (sent, sent, sent)
    assert (told["revenue"], told["after_delivery"]["revenue"]) == ("120.00", "120.00")
    assert told["lift"]["buyers"]["difference"] == pytest.approx(1 / sent)
    assert (told["lift"]["revenue"], told["explored"]) == (None, None)
    assert [(run["run_id"], run["clicks"]) for run in told["runs"]] == [(1, 1)]
    shown = retarget("show", "1", "--json")
    assert {key: shown[key] for key in ("clicks", "conversions")} == {"clicks": 1, "conversions": 1}
    words = retarget("results", "1")
    for part in ("people who tapped", "blocked after it", "lift in buyers", "too few buyers to tell", "segments"):
        assert part in words


def test_results_become_lists_and_files(retarget: Retarget, sent: int, database: Engine, tmp_path: Path) -> None:
    made = retarget("audience", "1", "--who", "not_clicked", "--name", "沒點的人", "--json")
    assert made == {"target": "list:沒點的人", "people": sent - 1}
    of_variant = ("audience", "1", "--who", "sent", "--name", "A 版", "--variant", "1", "--segment", "none", "--json")
    assert retarget(*of_variant) == {"target": "list:A 版", "people": sent}
    people = tmp_path / "people.json"
    assert "12 rows" in retarget("export", "1", "--what", "people", "--out", str(people))
    assert len(json.loads(people.read_text())) == 12
    with pytest.raises(BadInput, match="ads_consent"):
        retarget("ads", "--to", "all", "--platform", "meta", "--out", str(tmp_path / "meta.csv"))
    with transaction(database) as session:
        now = session.get_one(Campaign, 1).created_at
        change_settings(session, {"ads_consent": "ok"}, actor="test", now=now)
    counts = retarget(
        *("ads", "--to", "list:沒點的人", "--platform", "meta", "--out", str(tmp_path / "meta.csv"), "--json")
    )
    assert counts == {"written": sent - 1, "left_out": 0}


def test_movement_and_exploring(retarget: Retarget, sent: int) -> None:
    assert retarget("movement", "1", "--json") == {
        "model": "nesl", "sent": sent, "held_out": 12 - sent, "moves": [],
    }  # fmt: skip
    with pytest.raises(BadInput, match="nobody is outside"):
        retarget("explore", "1")


def test_the_brands_settings_are_shown_and_changed(retarget: Retarget) -> None:
    assert retarget("settings", "--json")["settings"]["block_limit_percent"] == "5"
    changed = retarget(
        *(
            "settings",
            "--set",
            "block_limit_percent=0.5",
            "--set",
            "ads_consent=ok",
            "--set",
            "quiet_hours=22:00-08:00",
        ),
        "--json",
    )
    assert changed["chosen"] == ["ads_consent", "block_limit_percent", "quiet_hours"]
    assert (changed["settings"]["block_limit_percent"], changed["settings"]["ads_consent"]) == ("0.5", "ok")
    assert retarget("settings", "--set", "ads_consent=", "--json")["settings"]["ads_consent"] is None
    for wrong in ("nonsense", "block_limit_percent=300", "no_such=1"):
        with pytest.raises(BadInput):
            retarget("settings", "--set", wrong)
    assert "block_limit_percent" in retarget("settings")
