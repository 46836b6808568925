"""The ranking against known truth, against another method where there is one, and on data that is hardly data."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

from benchmarks.keywords_truth import SCENARIOS, Truth, make_truth
from keywords.effects.ranking import Fit, fit
from keywords.effects.topics import topic_shares

SEEDS = range(1000, 1004)  # the method was tuned on seeds below 50


def fit_truth(truth: Truth, *, theme: bool = True) -> Fit:
    context = {"segment": truth.segment, "hour": truth.hour, "weekday": truth.weekday}
    loadings = {}
    if theme:
        context["theme"] = truth.theme
    else:
        loadings["topic"] = topic_shares(truth.terms)
    args = (truth.clicks, truth.recipients, truth.terms)
    return fit(*args, campaign=truth.campaign, context=context, loadings=loadings)


def fit_small(clicks: list[float], recipients: list[float], terms: list[list[int]], **context: list[int]) -> Fit:
    return fit(
        np.array(clicks),
        np.array(recipients),
        sparse.csr_matrix(np.array(terms, dtype=np.float64)),
        campaign=np.arange(len(clicks), dtype=np.int64),
        context={name: np.array(codes, dtype=np.int64) for name, codes in context.items()},
    )


def correlation(truth: Truth, effect: NDArray[np.float64]) -> float:
    return float(spearmanr(effect, truth.effects)[0])


def raw_average(truth: Truth) -> NDArray[np.float64]:
    counts = np.asarray(truth.terms.sum(axis=0)).ravel()
    return np.asarray(truth.terms.T @ (truth.clicks / truth.recipients)) / np.maximum(counts, 1)


@pytest.mark.parametrize(
    ("name", "bar"), [("2,000 messages", 0.90), ("500 messages", 0.78), ("strong confounding", 0.90)]
)
def test_true_effects_are_found_in_order_and_far_better_than_by_raw_averages(name: str, bar: float) -> None:
    truths = [make_truth(SCENARIOS[name], seed) for seed in SEEDS]
    ours = np.mean([correlation(truth, fit_truth(truth).effect) for truth in truths])
    raw = np.mean([correlation(truth, raw_average(truth)) for truth in truths])
    assert ours >= bar
    assert ours - raw >= 0.25


def test_nine_in_ten_intervals_hold_the_truth() -> None:
    inside = []
    for seed in range(1000, 1010):
        truth = make_truth(SCENARIOS["2,000 messages"], seed)
        found = fit_truth(truth)
        inside.append((truth.effects >= found.low) & (truth.effects <= found.high))
    assert 0.87 <= np.mean(inside) <= 0.94  # 600 intervals: two standard errors are 0.024


def test_topics_stand_in_for_a_theme_that_was_not_recorded() -> None:
    truths = [make_truth(SCENARIOS["2,000 messages"], seed) for seed in SEEDS]
    assert np.mean([correlation(truth, fit_truth(truth, theme=False).effect) for truth in truths]) >= 0.87


def test_a_word_gets_no_credit_for_the_good_audience_it_was_sent_to() -> None:
    rng = np.random.default_rng(7)
    good = np.repeat([0, 1], 300)
    steered = (rng.random(600) < np.where(good == 1, 0.9, 0.1)).astype(np.float64)  # no effect of its own
    working = (rng.random(600) < 0.5).astype(np.float64)
    recipients = np.full(600, 5_000.0)
    clicks = rng.binomial(5_000, expit(-3 + 1.0 * good + 0.2 * working)).astype(np.float64)
    terms = sparse.csr_matrix(np.stack([steered, working], axis=1))
    found = fit(clicks, recipients, terms, campaign=np.arange(600), context={"segment": good})
    rates = clicks / recipients
    assert rates[steered == 1].mean() > 1.5 * rates[steered == 0].mean()  # what a raw average would say
    assert abs(found.effect[0]) < 0.03
    assert found.effect[1] == pytest.approx(0.2, abs=0.03)
    assert found.probability_positive[1] > 0.999


def test_without_extra_variance_the_answer_is_that_of_penalised_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    words = (rng.random((600, 12)) < 0.3).astype(np.float64)
    segment = rng.integers(0, 8, 600)
    design = np.hstack([np.ones((600, 1)), np.eye(8)[segment], words])
    recipients = np.full(600, 2_000.0)
    truth = np.concatenate([[-3], rng.normal(0, 0.5, 8), rng.normal(0, 0.2, 12)])
    clicks = rng.binomial(2_000, expit(design @ truth)).astype(np.float64)
    found = fit(clicks, recipients, sparse.csr_matrix(words), campaign=np.arange(600), context={"s": segment})
    penalty = 1 / np.repeat([25, found.block_variance["s"], found.term_variance], [1, 8, 12])
    centre = np.zeros(21)
    centre[0] = np.log((clicks.sum() + 0.5) / (recipients.sum() + 0.5 - clicks.sum()))

    def cost(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        eta = design @ beta
        off = beta - centre
        value = np.sum(recipients * np.logaddexp(0, eta) - clicks * eta) + 0.5 * np.sum(penalty * off**2)
        return float(value) / 1e4, (design.T @ (recipients * expit(eta) - clicks) + penalty * off) / 1e4

    direct: Any = minimize(cost, centre, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-9})
    assert found.row_variance < 0.002
    deviation = (found.high - found.low) / 2 / 1.645
    assert np.max(np.abs(found.effect - direct.x[9:]) / deviation) < 0.2


def test_overdispersion_is_seen_and_widens_the_intervals() -> None:
    calm = fit_truth(make_truth(SCENARIOS["no over-dispersion"], 1001))
    rough = fit_truth(make_truth(SCENARIOS["strong over-dispersion"], 1001))
    assert calm.row_variance < 0.01
    assert 0.5 < np.sqrt(rough.row_variance) < 0.7  # made with .6
    assert np.median(rough.high - rough.low) > 3 * np.median(calm.high - calm.low)


def test_the_joint_covariance_belongs_to_the_intervals() -> None:
    found = fit_truth(make_truth(SCENARIOS["500 messages"], 1000))
    deviation = np.sqrt(np.diag(found.term_covariance))
    np.testing.assert_allclose(found.high - found.effect, 1.6448536 * deviation, rtol=1e-6)
    assert np.linalg.eigvalsh(found.term_covariance).min() > 0


def test_the_same_data_in_another_order_gives_the_same_effects() -> None:
    truth = make_truth(SCENARIOS["500 messages"], 1000)
    order = np.random.default_rng(0).permutation(len(truth.clicks))
    context = {"segment": truth.segment[order], "hour": truth.hour[order], "weekday": truth.weekday[order]}
    shuffled = fit(
        truth.clicks[order],
        truth.recipients[order],
        truth.terms[order],
        campaign=truth.campaign[order],
        context={**context, "theme": truth.theme[order]},
    )
    np.testing.assert_allclose(shuffled.effect, fit_truth(truth).effect, atol=2e-3)


@pytest.mark.parametrize(
    ("clicks", "recipients", "terms"),
    [
        pytest.param([3.0], [100.0], [[1, 0]], id="one message"),
        pytest.param([0.0] * 6, [100.0] * 6, [[1, 0], [0, 1]] * 3, id="no clicks at all"),
        pytest.param([100.0] * 6, [100.0] * 6, [[1, 0], [0, 1]] * 3, id="everyone clicked"),
        pytest.param([1.0, 0.0] * 3, [1.0] * 6, [[1, 0], [0, 1]] * 3, id="one recipient each"),
        pytest.param([5.0, 9.0] * 3, [100.0] * 6, [[1, 1]] * 6, id="both terms everywhere"),
        pytest.param([5.0, 9.0] * 3, [100.0] * 6, [[1, 1], [0, 0]] * 3, id="the same term twice"),
        pytest.param([5.0, 9.0] * 3, [1e7] * 6, [[0, 0]] * 6, id="terms never used"),
    ],
)
def test_hardly_any_data_gives_finite_modest_answers(
    clicks: list[float], recipients: list[float], terms: list[list[int]]
) -> None:
    found = fit_small(clicks, recipients, terms, segment=[0] * len(clicks))
    assert list(found.columns) == ["terms"]  # one segment says nothing
    assert np.isfinite(found.covariance).all()
    assert (found.low < found.effect).all()
    assert (found.effect < found.high).all()
    assert (np.abs(found.effect) < 1.5).all()


def test_twin_terms_share_their_effect_evenly() -> None:
    found = fit_small([5.0, 15.0] * 20, [1000.0] * 40, [[0, 0], [1, 1]] * 20)
    assert found.effect[0] == pytest.approx(found.effect[1])
    assert found.effect.sum() == pytest.approx(np.log(15 / 985) - np.log(5 / 995), abs=0.35)


def test_no_terms_at_all_is_an_empty_answer() -> None:
    found = fit_small([5.0, 9.0], [100.0, 100.0], [[], []], segment=[0, 1])
    assert found.effect.shape == (0,)


@pytest.mark.parametrize(
    ("clicks", "recipients"),
    [([], []), ([1.0], [0.0]), ([-1.0], [5.0]), ([6.0], [5.0]), ([np.nan], [5.0])],
)
def test_counts_that_cannot_be_are_refused(clicks: list[float], recipients: list[float]) -> None:
    with pytest.raises(ValueError, match=r"message|count"):
        fit_small(clicks, recipients, [[1]] * len(clicks))


def test_topics_are_shares_and_repeat() -> None:
    truth = make_truth(SCENARIOS["500 messages"], 1000)
    shares = topic_shares(truth.terms)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(shares, topic_shares(truth.terms))
    assert topic_shares(truth.terms[:, :3]).shape == (500, 1)
