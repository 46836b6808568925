"""What a run is expected to bring."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from campaigns.money.forecast import Expected, PastGroups, expect, forecast
from tests.campaigns.conftest import PLAIN, ZONE, Shop

OpenShop = Callable[[int], Shop]
PEOPLE = {"champions": 3_000, "lost": 5_000}


def world(rng: np.random.Generator, runs: int) -> tuple[PastGroups, tuple[float, float, float]]:
    """Some runs to two segments, and what one more brings: clicks, orders, revenue."""
    rows, truth = [], np.zeros(3)
    base = {name: rng.normal(-3.0, 0.6, size=2) for name in PEOPLE}
    for run in range(runs + 1):
        shift, value = rng.normal(0, 0.3, size=2), 600 * np.exp(rng.normal(0, 0.15))
        for name, people in PEOPLE.items():
            clickers, buyers = rng.binomial(people, expit(base[name] + shift + (0, -1)))
            paid = rng.gamma(2.0, value / 2, size=buyers)
            rows.append((run, name, people, clickers, buyers, paid.sum(), (paid**2).sum()))
            if run == runs:
                truth += (clickers, buyers, paid.sum())
    past = [row for row in rows if row[0] < runs]
    columns = [np.array([row[n] for row in past], float) for n in range(2, 7)]
    groups = PastGroups([row[0] for row in past], [row[1] for row in past], [""] * len(past), *columns)
    return groups, (truth[0], truth[1], truth[2])


@pytest.mark.parametrize("runs", [4, 12])
def test_nine_of_ten_intervals_hold_what_a_run_to_come_brings(runs: int) -> None:
    inside, worlds = 0, 25
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        past, truth = world(rng, runs)
        found = expect(past, PEOPLE, "", rng)
        for figure, value in zip((found.clicks, found.orders, found.revenue), truth, strict=True):
            assert isinstance(figure, Expected)
            assert figure.low <= figure.middle <= figure.high
            inside += figure.low <= value <= figure.high
    assert inside / (3 * worlds) >= 0.9 - 3 * np.sqrt(0.09 / worlds)


def test_too_little_history_is_said_and_no_figure_made_up() -> None:
    past, _ = world(np.random.default_rng(1), 2)
    found = expect(past, PEOPLE, "", np.random.default_rng(1))
    assert (found.clicks, found.orders, found.revenue) == (None, None, None)
    assert found.missing == ["too little history: 2 runs to learn from, 3 are needed"]


def test_a_new_brand_is_told_messages_and_cost_and_that_the_rest_is_not_known(open_shop: OpenShop) -> None:
    shop = open_shop(6)
    campaign_id = shop.plan(messages=PLAIN)
    found = forecast(shop.engine, campaign_id, zone=ZONE, clock=shop.clock)
    told = found.to_json()
    assert (told["messages"], told["short_by"], told["cost"]["money"], told["prices_confirmed"]) == (6, 0, "0", False)
    assert told["expected"]["clicks"] is None
    assert len(told["expected"]["missing"]) == 2
