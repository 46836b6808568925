"""Predicted click rates against simulated truth, and what they stand on when little is known."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from benchmarks.keywords_truth import SCENARIOS, Truth, make_truth
from keywords.effects.learning import Learning, design_of
from keywords.effects.messages import Messages
from keywords.effects.prediction import Situation, Z, ground_of, joint_of
from keywords.effects.ranking import fit

TAIPEI = ZoneInfo("Asia/Taipei")
LEARNED = 1_500  # messages; the others are what is predicted


def learning_of(truth: Truth, rows: NDArray[np.int64]) -> Learning:
    """What the messages `rows` teach; terms are named t0, t1, …, segments s0, …, themes x0, …"""
    nought = np.zeros(len(rows), dtype=np.int64)
    messages = Messages(
        message=np.arange(len(rows)),
        campaign=truth.campaign[rows],
        text=np.arange(len(rows)),
        texts=[f"text {row}" for row in rows],
        segment=truth.segment[rows],
        segment_names=[f"s{i}" for i in range(8)],
        theme=truth.theme[rows],
        theme_names=[f"x{i}" for i in range(8)],
        channel=nought,
        channel_names=["main"],
        format=nought,
        format_names=["text"],
        counted_by=nought,
        counted_by_names=["us"],
        day=nought,
        hour=truth.hour[rows],
        weekday=truth.weekday[rows],
        recipients=truth.recipients[rows],
        clicks=truth.clicks[rows],
        left_out=0,
        run=nought - 1,
    )
    present = sparse.csr_matrix(truth.terms[rows])
    context = {name: getattr(messages, name) for name in ("segment", "theme", "hour", "weekday", "channel")}
    found = fit(messages.clicks, messages.recipients, present, campaign=messages.campaign, context=context)
    counts = np.asarray(present.sum(axis=0)).ravel().astype(np.int64)
    terms = [f"t{i}" for i in range(present.shape[1])]
    return Learning(messages, terms, present, found, counts, counts, counts, counts)


def situation_of(truth: Truth, row: int) -> Situation:
    return Situation(
        segment=f"s{truth.segment[row]}",
        theme=f"x{truth.theme[row]}",
        hour=int(truth.hour[row]),
        weekday=int(truth.weekday[row]),
        channel="main",
    )


@pytest.fixture(scope="module")
def learned() -> tuple[Truth, Learning]:
    truth = make_truth(SCENARIOS["2,000 messages"], 1000)
    return truth, learning_of(truth, np.arange(LEARNED))


def test_nine_in_ten_predicted_intervals_hold_the_true_rate_of_a_send_never_seen() -> None:
    inside = []
    for seed in range(1000, 1006):
        truth = make_truth(SCENARIOS["2,000 messages"], seed)
        ground = ground_of(learning_of(truth, np.arange(LEARNED)))
        # one of each later campaign: its effect is in no message learned from
        rows = LEARNED + np.unique(truth.campaign[LEARNED:], return_index=True)[1][1:151]
        for row in rows.tolist():
            terms = [f"t{i}" for i in truth.terms[row].indices]
            found = joint_of(ground, terms, situation_of(truth, row)).predict([terms])[0]
            inside.append(found.low <= expit(truth.logit[row]) <= found.high)
    assert 0.87 <= np.mean(inside) <= 0.93  # 900 intervals: two standard errors are 0.02


def test_the_expected_part_alone_is_covered_by_its_own_narrower_interval() -> None:
    """Without what varies from send to send: the differences of two texts, as replacements are shown."""
    inside = []
    for seed in range(1000, 1010):
        truth = make_truth(SCENARIOS["2,000 messages"], seed)
        joint = joint_of(ground_of(learning_of(truth, np.arange(LEARNED))), [f"t{i}" for i in range(60)])
        for i in range(0, 60, 2):
            gain, low, high = joint.effect([f"t{i}"], less=[f"t{i + 1}"])
            inside.append(low <= truth.effects[i] - truth.effects[i + 1] <= high)
            assert low < gain < high
    assert 0.85 <= np.mean(inside) <= 0.95  # 300 differences


def test_the_interval_is_of_the_joint_covariance_and_not_of_variances_added_up(
    learned: tuple[Truth, Learning],
) -> None:
    truth, learning = learned
    ground = ground_of(learning)
    situation = situation_of(truth, 3)
    terms = ["t1", "t2", "t5"]
    joint = joint_of(ground, terms, situation)
    design = np.zeros(len(ground.fit.coefficients))
    design[0] = 1
    for name in ("segment", "theme", "hour", "weekday"):
        code = int(getattr(truth, name)[3])
        design[ground.fit.columns[name].start + code] = 1
    for i in (1, 2, 5):
        design[ground.fit.columns["terms"].start + i] = 1
    found = joint.predict([terms])[0]
    variance = design @ ground.fit.covariance @ design + ground.fit.row_variance + ground.fit.campaign_variance
    assert found.logit == pytest.approx(design @ ground.fit.coefficients)
    assert found.deviation == pytest.approx(np.sqrt(variance))
    assert found.high == pytest.approx(expit(found.logit + Z * np.sqrt(variance)))
    assert found.rate > expit(found.logit)  # the mean of a skewed spread lies above its median


def test_what_was_never_sent_to_widens_the_interval_and_is_named(learned: tuple[Truth, Learning]) -> None:
    _, learning = learned
    ground = ground_of(learning)
    known, strange = (joint_of(ground, ["t1"], Situation(segment=name)) for name in ("s1", "nobody"))
    assert (known.unseen, strange.unseen) == ((), ("segment",))
    assert strange.predict([["t1"]])[0].deviation > known.predict([["t1"]])[0].deviation
    other_channel = joint_of(ground, [], Situation(channel="second"))
    assert other_channel.unseen == ("channel",)  # all were sent by one: how much channels vary is not known
    assert other_channel.covariance[0, 0] > joint_of(ground, []).covariance[0, 0]


def test_an_unknown_term_adds_nothing_but_the_spread_of_all_terms(learned: tuple[Truth, Learning]) -> None:
    _, learning = learned
    joint = joint_of(ground_of(learning), ["t1", "new"])
    effect, low, high = joint.effect(["new"])
    assert effect == 0
    assert (high - low) / 2 == pytest.approx(Z * np.sqrt(learning.fit.term_variance))
    assert joint.known == {"t1"}


def test_a_situation_left_open_is_the_average_recipient(learned: tuple[Truth, Learning]) -> None:
    truth, learning = learned
    ground = ground_of(learning)
    shares = np.bincount(truth.segment[:LEARNED], truth.recipients[:LEARNED])
    part = ground.fit.columns["segment"]
    np.testing.assert_allclose(ground.typical[part], shares / shares.sum())
    each = [joint_of(ground, [], Situation(segment=f"s{i}")).mean[0] for i in range(8)]
    assert joint_of(ground, []).mean[0] == pytest.approx(np.average(each, weights=shares))


def test_what_no_situation_names_is_the_average_too(history: Learning) -> None:
    """Format, topics, how many terms come first in the text: whatever else the fit is adjusted for."""
    fit, share = history.fit, history.messages.recipients / history.messages.recipients.sum()
    matrix = design_of(history.messages, history.terms, history.present, history.opening, history.phrases).matrix
    without = np.ones(len(fit.coefficients))
    without[fit.columns["terms"]] = 0
    joint = joint_of(ground_of(history), history.terms)
    assert joint.mean[0] == pytest.approx(share @ (matrix @ (fit.coefficients * without)))
    everything = [joint.mean[0] + fit.effect @ row for row in history.present.toarray()]
    assert np.average(everything, weights=share) == pytest.approx(share @ (matrix @ fit.coefficients))


def test_a_theme_in_other_words_is_found_by_its_name(learned: tuple[Truth, Learning]) -> None:
    _, learning = learned
    ground = ground_of(learning)
    exact, longer = (joint_of(ground, [], Situation(theme=theme)) for theme in ("x3", "x3 for newcomers"))
    assert exact.mean[0] == longer.mean[0]
    assert joint_of(ground, [], Situation(theme="something else")).unseen == ("theme",)


def test_draws_are_of_all_effects_together(learned: tuple[Truth, Learning]) -> None:
    _, learning = learned
    joint = joint_of(ground_of(learning), ["t0", "t1", "t2"])
    draws = joint.draws(np.random.default_rng(4), 20_000)
    np.testing.assert_allclose(np.cov(draws.T), joint.covariance, atol=4e-4)
    np.testing.assert_allclose(draws.mean(axis=0), joint.mean, atol=5e-3)


def test_with_nothing_learned_there_is_no_rate_but_there_are_effects_to_explore() -> None:
    joint = joint_of(None, ["a", "b"])
    assert joint.effect(["a", "b"])[0] == 0
    with pytest.raises(ValueError, match="nothing was learned"):
        joint.predict([["a"]])


def test_hour_and_weekday_are_those_of_the_brands_zone() -> None:
    sunday_night = datetime(2026, 11, 29, 20, 30, tzinfo=UTC)
    assert Situation.at(sunday_night, TAIPEI) == Situation(hour=4, weekday=0)
    assert Situation.at(datetime(2026, 11, 29, 20, 30), TAIPEI) == Situation(hour=20, weekday=6)  # noqa: DTZ001
    assert Situation.at(None, TAIPEI, segment="s") == Situation(segment="s")
