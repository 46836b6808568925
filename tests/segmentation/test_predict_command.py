"""`retarget predict run`, `show`, `ltv` and `check`, and the worker's job, over one database."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select
from typer.testing import CliRunner

from segmentation.predict.latest import latest_prediction_run
from segmentation.tags.catalogue import create_tag
from service.cli import app
from service.settings import Settings
from service.worker import compute_everyone, renew_predictions
from store.engine import open_engine, reading, table_of, transaction
from store.models import CustomerPrediction, CustomerSegment, CustomerTag, PredictionRun, SegmentRun, Tag
from tests.conftest import StillClock
from tests.factories import LONG_AGO
from tests.segmentation.cdnow import OCTOBER, cdnow_sample
from tests.segmentation.test_predict_run import START, TAIPEI, store_orders

RunCommand = Callable[..., str]


@pytest.fixture
def command(new_database_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    """Runs `retarget predict …` on a database with CDNOW's sample; returns what it printed."""
    url = new_database_url("sqlite")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("TIMEZONE", "Asia/Taipei")
    engine = open_engine(url)
    store_orders(engine, cdnow_sample())
    engine.dispose()

    def run(*words: str, fails: bool = False) -> str:
        result = CliRunner().invoke(app, ["predict", *words], catch_exceptions=fails)
        assert (result.exit_code != 0) == fails, result.output
        return str(result.exception) if fails else result.stdout

    return run


def day(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


def test_run_then_show_then_ltv(command: RunCommand) -> None:
    assert "nothing has been predicted yet" in command("show", fails=True)
    made = json.loads(command("run", "--as-of", day(500), "--cycle", "30", "--json"))
    assert (made["state"], made["customer_count"], made["change_count"]) == ("finished", 2357, 2357)
    shown = json.loads(command("show", "--json"))
    assert (shown["id"], shown["as_of"], shown["quality"]) == (made["run_id"], day(500), made["quality"])
    words = command("show")
    assert "2,357 customers" in words
    assert "流失 churn" in words
    assert "lies ahead" in command("run", "--as-of", "2199-01-01", fails=True)
    assert "the purchase cycle must be 1 to 3660 days, not 0" in command("run", "--cycle", "0", fails=True)
    again = command("run", "--as-of", day(500), "--cycle", "30")
    assert "nothing changed since run" in again
    value = json.loads(command("ltv", "--customer", "4", "--json"))
    assert Decimal(value["spend_365"]) >= Decimal(value["spend_90"]) > 0
    assert Decimal(value["deviation"]) > 0
    assert "expected in 365 days" in command("ltv", "--customer", "4")


def test_show_says_why_a_horizon_or_everything_is_off(command: RunCommand) -> None:
    command("run", "--as-of", day(OCTOBER), "--cycle", "30")
    assert f"go back {OCTOBER} days" in json.loads(command("show", "--json"))["quality"]["spend_365"]["problem"]
    assert "predictions are off" in command("run", "--as-of", day(5), "--cycle", "30")
    assert "off since" in command("show")


def test_ltv_of_a_model_shows_every_segment(command: RunCommand) -> None:
    command("run", "--as-of", day(500), "--cycle", "30")
    engine = open_engine(os.environ["DATABASE_URL"])
    with transaction(engine) as session:
        for customer_id in (4, 18, 21):
            values: dict[str, Any] = {
                "nesl": "S1",
                "nes": "S",
                "paid_total": Decimal(customer_id),
                "computed_at": LONG_AGO,
            }
            session.add(CustomerSegment(customer_id=customer_id, **values))
    engine.dispose()
    found = {one["segment"]: one for one in json.loads(command("ltv", "--model", "nes", "--json"))["segments"]}
    sleeping = found["S"]
    assert (sleeping["customers"], sleeping["predicted"], Decimal(sleeping["past"])) == (3, 3, Decimal(43))
    assert Decimal(sleeping["low"]) <= Decimal(sleeping["expected"]) <= Decimal(sleeping["high"])
    assert found["E"]["customers"] == 0
    assert "新客" in command("ltv", "--model", "nes")


def test_check_shows_precision_and_recall(command: RunCommand) -> None:
    engine = open_engine(os.environ["DATABASE_URL"])
    with transaction(engine) as session:
        made = Tag(
            name="會買",
            kind="predictive",
            source="measure",
            definition={"measure": "p_buy", "top_percent": "50"},
            created_at=LONG_AGO,
        )
        session.add(made)
        session.flush()
        assert made.id is not None
        for customer_id in (4, 18):
            session.add(CustomerTag(tag_id=made.id, customer_id=customer_id, since=datetime(2025, 1, 1, tzinfo=TAIPEI)))
    engine.dispose()
    (found,) = json.loads(command("check", "--json"))
    assert (found["tag"], found["people"], found["tagged"], found["happened"]) == ("會買", 2357, 2, 0)
    assert (found["precision"], found["recall"]) == (0.0, None)
    assert "會買" in command("check")


def test_the_worker_predicts_once_a_day_after_the_segments(
    new_database_url: Callable[[str], str], clock: StillClock, tmp_path: Path
) -> None:
    engine = open_engine(new_database_url("sqlite"))
    settings = Settings(_env_file=None, snapshot_dir=tmp_path)  # type: ignore[call-arg]
    runs, segments = table_of(PredictionRun), table_of(SegmentRun)

    def count() -> int:
        with reading(engine) as session:
            return session.scalar(select(func.count()).select_from(runs)) or 0

    def segments_finished() -> None:
        with transaction(engine) as session:
            times = {"started_at": clock(), "lease_until": clock(), "finished_at": clock()}
            values = {"as_of": clock().date(), "state": "finished", "settings": {"cycle_days": 45}}
            session.execute(insert(segments).values(**times, **values, customer_count=0, change_count=0))

    store_orders(engine, cdnow_sample())
    renew_predictions(engine, settings, clock)
    assert count() == 0  # no segments yet
    segments_finished()
    renew_predictions(engine, settings, clock)
    renew_predictions(engine, settings, clock)
    assert count() == 1
    newest = latest_prediction_run(engine)
    assert newest is not None
    assert (newest.cycle_days, newest.as_of.isoformat()) == (45, "2026-11-02")
    clock.advance(hours=12)  # midnight in Taipei: another day, its segments not yet there
    renew_predictions(engine, settings, clock)
    assert count() == 1
    segments_finished()
    renew_predictions(engine, settings, clock)
    assert count() == 2
    engine.dispose()


def test_tags_follow_the_predictions_on_the_same_day(new_database_url: Callable[[str], str], tmp_path: Path) -> None:
    engine = open_engine(new_database_url("sqlite"))
    settings = Settings(_env_file=None, snapshot_dir=tmp_path)  # type: ignore[call-arg]
    clock = StillClock(datetime(2025, 10, 1, 4, tzinfo=UTC))
    store_orders(engine, cdnow_sample().before(OCTOBER))
    tag, held = table_of(Tag), table_of(CustomerTag)

    def tagged_next_day() -> int:
        """How many have the tag after the predictions of another day."""
        clock.advance(days=1)
        compute_everyone(engine, settings, clock)
        renew_predictions(engine, settings, clock)
        with reading(engine) as session:
            newest = latest_prediction_run(session)
            assert newest is not None
            assert newest.state == "finished"
            having = select(func.count()).select_from(held).join(tag, tag.c.id == held.c.tag_id)
            return session.scalar(having.where(tag.c.name == "會買", held.c.until.is_(None))) or 0

    assert tagged_next_day() == 0
    with transaction(engine) as session:
        create_tag(session, "會買", source="measure", definition={"measure": "p_buy", "top_percent": "9"}, now=clock())
        session.execute(delete(table_of(CustomerPrediction)))
    assert tagged_next_day() >= 200
    engine.dispose()
