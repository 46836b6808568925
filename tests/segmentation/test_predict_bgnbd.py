"""BG/NBD against the published fit, against simulated customers, and against its integrals done numerically."""

import numpy as np
import pytest
from scipy.special import roots_genlaguerre, roots_jacobi

from segmentation.predict.bgnbd import (
    Parameters,
    Purchases,
    chance_alive,
    chance_to_buy,
    expected_purchases,
    fit,
    log_likelihood,
    purchases_of,
)
from segmentation.predict.history import Floats, known_at
from tests.segmentation.cdnow import OCTOBER, cdnow_sample

PUBLISHED = Parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)  # Fader, Hardie and Lee (2005), table 2; weeks


def simulated(p: Parameters, people: int, weeks: float, seed: int) -> tuple[Purchases, Floats]:
    """Customers who live by the model and bought at time 0, watched for `weeks`, and what they buy in as many again."""
    random = np.random.default_rng(seed)
    rates = random.gamma(p.r, 1 / p.alpha, people)
    losses = random.beta(p.a, p.b, people)
    now, x, last, later = (np.zeros(people) for _ in range(4))
    active = np.ones(people, dtype=bool)
    while active.any():
        now = now + random.exponential(1, people) / np.maximum(rates, 1e-12)
        active &= now <= 2 * weeks
        is_seen = active & (now <= weeks)
        x, last, later = x + is_seen, np.where(is_seen, now, last), later + (active & ~is_seen)
        active &= random.random(people) >= losses
    return Purchases(x, last, np.full(people, weeks)), later


def test_the_published_sample_gives_the_published_parameters_and_likelihood() -> None:
    seen = purchases_of(known_at(cdnow_sample(), OCTOBER, 0))
    found = fit(seen)
    assert len(seen.x) == 2357
    assert (found.r, found.alpha, found.a, found.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=0.001)
    assert float(log_likelihood(found, seen).sum()) == pytest.approx(-9582.4, abs=0.05)


def test_the_fit_does_not_depend_on_the_order_of_customers() -> None:
    seen, _ = simulated(PUBLISHED, 2_000, 39, seed=4)
    turned = Purchases(seen.x[::-1], seen.t_x[::-1], seen.t[::-1])
    assert fit(turned) == fit(seen)


def test_known_parameters_are_found_again_and_foretell_the_later_purchases() -> None:
    truth = Parameters(r=0.8, alpha=6.0, a=0.7, b=2.5)
    seen, later = simulated(truth, 30_000, 40, seed=11)
    found = fit(seen)
    assert (found.r, found.alpha) == pytest.approx((0.8, 6.0), rel=0.08)
    assert found.a / (found.a + found.b) == pytest.approx(0.7 / 3.2, rel=0.05)
    assert expected_purchases(truth, seen, 40).mean() == pytest.approx(later.mean(), rel=0.03)
    assert chance_to_buy(truth, seen, 40).mean() == pytest.approx((later > 0).mean(), rel=0.03)
    assert expected_purchases(found, seen, 40).mean() == pytest.approx(later.mean(), rel=0.05)


@pytest.mark.parametrize(("x", "t_x", "t"), [(0, 0.0, 30.0), (1, 4.0, 30.0), (4, 25.0, 30.0)])
def test_likelihood_is_the_integral_over_rates_and_losses(x: int, t_x: float, t: float) -> None:
    p = Parameters(r=1.2, alpha=5.0, a=1.5, b=2.5)

    nodes, weights = roots_genlaguerre(120, p.r - 1)
    rate, rate_weight = (nodes / p.alpha)[:, None], (weights / weights.sum())[:, None]
    nodes, weights = roots_jacobi(40, p.b - 1, p.a - 1)
    loss, loss_weight = (1 + nodes) / 2, weights / weights.sum()
    # equation 3: alive to the end, or lost at the last purchase
    alive = (1 - loss) ** x * rate**x * np.exp(-rate * t)
    gone = loss * (1 - loss) ** (x - 1) * rate**x * np.exp(-rate * t_x) if x else 0.0
    integral = float(np.sum((alive + gone) * rate_weight * loss_weight))
    seen = Purchases(np.array([float(x)]), np.array([t_x]), np.array([t]))
    assert float(np.exp(log_likelihood(p, seen)[0])) == pytest.approx(integral, rel=1e-6)


def test_heavy_buyers_and_long_horizons_stay_finite_and_grow_with_the_horizon() -> None:
    seen = Purchases(np.array([0.0, 500.0, 3_000.0]), np.array([0.0, 51.9, 0.1]), np.array([52.0, 52.0, 52.0]))
    for p in (PUBLISHED, Parameters(0.7, 9.0, 0.0002, 1500.0), Parameters(2.0, 1.0, 3.0, 0.5)):
        months = [expected_purchases(p, seen, weeks) for weeks in (4, 52, 520)]
        assert np.isfinite(months).all()
        assert (np.diff(months, axis=0) >= 0).all()
        assert ((chance_alive(p, seen) >= 0) & (chance_alive(p, seen) <= 1)).all()
        assert (chance_to_buy(p, seen, 52) <= expected_purchases(p, seen, 52) + 1e-9).all()


@pytest.mark.parametrize(
    "p",
    [
        Parameters(0.37, 1.96, 709.0, 8032.0),  # everybody is lost after a purchase with a chance of about 8 %
        Parameters(0.1, 2.9, 208.0, 0.18),  # nearly everybody after the first
        Parameters(0.5, 10.0, 1.0, 2.0),  # where the fit of a brand to which nobody came back starts, and stays
        Parameters(0.8, 6.0, 0.7, 2.5),
    ],
)
@pytest.mark.parametrize(("x", "t"), [(0.0, 0.0), (0.0, 3.0), (30.0, 20.0)])
def test_expected_purchases_are_the_mean_over_the_chances_to_be_lost(p: Parameters, x: float, t: float) -> None:
    weeks = 52.0
    seen = Purchases(np.array([x]), np.array([t]), np.array([t]))

    lost = np.random.default_rng(7).beta(p.a, p.b + x, 400_000)
    while_alive = (1 - (1 + lost * weeks / (p.alpha + t)) ** -(p.r + x)) / lost
    expected = float(expected_purchases(p, seen, weeks)[0])
    assert expected == pytest.approx(while_alive.mean() * float(chance_alive(p, seen)[0]), rel=5e-3)


def test_a_brand_to_which_nobody_came_back_is_foretold_something() -> None:
    seen = Purchases(np.zeros(300), np.zeros(300), np.arange(300) / 10)
    expected = expected_purchases(fit(seen), seen, 8.0)
    assert np.isfinite(expected).all()
    assert (expected >= 0).all()
