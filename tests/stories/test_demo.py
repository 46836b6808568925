"""The whole loop in small: real orders, friends, a past of campaigns, then real processes and a live campaign."""

import json
from pathlib import Path

import pytest

from segmentation.models import MODELS
from tests.stories.processes import environment, run

pytestmark = pytest.mark.timeout(600)  # two minutes of work, and other tests beside it


def test_the_demo_plays_the_whole_loop_and_sends_nothing_twice(tmp_path: Path) -> None:
    variables = environment("sqlite:///never-opened.db", "http://127.0.0.1:1")
    played = run(variables, "demo", "--exit", "--json", "--friends", "200", "--campaigns", "12", folder=tmp_path)
    assert played.returncode == 0, played.stderr[-2000:]
    found = json.loads(played.stdout)
    assert found["customers"] == 23_570
    assert found["orders"] >= 69_659
    assert found["sent_more_than_once"] == 0
    assert found["campaigns"] == 13
    assert found["deliveries"]["accepted"] > 400
    assert found["deliveries"]["chosen"] == found["deliveries"]["unknown"] == 0
    assert found["live"]["deliveries"]["accepted"] > 0
    assert found["clicks"] > 10
    assert found["events"] >= 200 + found["clicks"]  # each friend followed, each tap became an event
    assert isinstance(found["top_terms"], list)
    assert set(found["segments"]) == set(MODELS)
    for model in ("rf4", "rf11", "rfm3", "rfm8", "nesl", "nes"):
        assert sum(found["segments"][model].values()) == 23_570, model
    assert not (tmp_path / "never-opened.db").exists()
