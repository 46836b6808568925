"""What is said beside a term's effect: by variants alone, by segment, over time; and what it is adjusted for."""

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from keywords.effects.learning import Learning, learn_from_cuts
from keywords.effects.messages import Messages
from keywords.effects.prediction import Joint, Situation, ground_of, joint_of
from keywords.effects.ranking import fit
from keywords.report import term_rows
from keywords.text.cuts import Cut, gathered

Ints = NDArray[np.int64]
ROWS = 3_000


def made(
    terms: list[list[str]],
    logits: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    opening: list[int] | None = None,
    **codes: Any,
) -> Learning:
    """What rows of these terms teach, each sent to 20,000 people with this log-odds of a click; codes: see Messages."""
    rows, nought = len(terms), np.zeros(len(terms), dtype=np.int64)
    labels = ("segment", "theme", "channel", "format", "counted_by")
    names: dict[str, Any] = {f"{name}_names": [f"{name}{i}" for i in range(4)] for name in labels}
    fields: dict[str, Any] = dict.fromkeys((*labels, "day", "hour", "weekday"), nought)
    fields["run"] = nought - 1
    fields |= {name: np.arange(rows) for name in ("message", "campaign", "text")}
    messages = Messages(
        **{**fields, **codes},
        **names,
        texts=[str(i) for i in range(rows)],
        recipients=np.full(rows, 20_000.0),
        clicks=rng.binomial(20_000, expit(logits)).astype(np.float64),
        left_out=0,
    )
    cuts = gathered(Cut(words, len(words) if opening is None else opening[i]) for i, words in enumerate(terms))
    return learn_from_cuts(messages, cuts)


def words_of(has: NDArray[np.bool_], names: str) -> list[list[str]]:
    return [[name for name, there in zip(names, row, strict=True) if there] for row in has]


def test_an_effect_that_only_one_segment_shows_is_shown_there_and_others_keep_the_common_one() -> None:
    rng = np.random.default_rng(1)
    has, segment = rng.random((ROWS, 4)) < 0.4, rng.integers(0, 4, ROWS)
    logits = -3 + 0.2 * has[:, 0] + 0.3 * has[:, 1] * (segment == 2) + rng.normal(0, 0.1, ROWS)
    learning = made(words_of(has, "甲乙丙丁"), logits, rng, segment=segment)
    rows = {row.term: row for row in term_rows(learning)}
    found = {one.segment: one for one in rows["乙"].segments}
    assert rows["乙"].segments[0].segment == "segment2"
    assert found["segment2"].low < 0.3 < found["segment2"].high
    assert found["segment0"].high < 0.15
    assert all(abs(one.effect - 0.2) < 0.06 for one in rows["甲"].segments)


def test_a_segment_chosen_is_predicted_by_the_effects_that_it_shows() -> None:
    """乙 works in segment2 alone, and reverses 甲 there; the levels of the segments differ too."""
    rng = np.random.default_rng(1)
    has, segment = rng.random((ROWS, 4)) < np.array([0.4, 0.7, 0.4, 0.4]), rng.integers(0, 4, ROWS)
    there = segment == 2
    logits = -3 + 0.2 * segment + 0.2 * has[:, 0] + 0.4 * has[:, 1] * there - 0.3 * has[:, 0] * there
    learning = made(words_of(has, "甲乙丙丁"), logits + rng.normal(0, 0.1, ROWS), rng, segment=segment)
    ground = ground_of(learning)

    def joint(name: str | None) -> Joint:
        return joint_of(ground, ["甲", "乙"], Situation(segment=name))

    texts: list[list[str]] = [[], ["甲"], ["乙"], ["甲", "乙"]]
    inside = [found.logit for found in joint("segment2").predict(texts)]
    assert inside == pytest.approx([-2.6, -2.7, -2.2, -2.3], abs=0.05)
    outside = [found.logit for found in joint("segment1").predict(texts)]
    assert outside == pytest.approx([-2.8, -2.6, -2.8, -2.6], abs=0.05)
    assert joint("segment2").effect(["乙"])[1] > 0.3
    assert joint("segment1").effect(["乙"])[2] < 0.1
    # nobody in particular: the common effects, as ever
    assert joint(None).effect(["乙"])[0] == pytest.approx(learning.fit.effect[learning.terms.index("乙")])


def test_what_is_not_known_of_a_segment_widens_the_interval_of_its_predictions() -> None:
    rng = np.random.default_rng(9)
    has, segment = rng.random((ROWS, 4)) < 0.4, rng.integers(0, 4, ROWS)
    own = rng.normal(0, 0.2, (4, 4))
    logits = -3 + np.einsum("ij,ij->i", has, own[segment]) + rng.normal(0, 0.2, ROWS)
    learning = made(words_of(has, "甲乙丙丁"), logits, rng, segment=segment)
    place = {name: i for i, name in enumerate(learning.terms)}
    assert learning.deviations is not None
    found = learning.deviations.by_segment
    covered = []
    for code in range(4):
        joint = joint_of(ground_of(learning), list("甲乙丙丁"), Situation(segment=f"segment{code}"))
        for i, term in enumerate("甲乙丙丁"):
            effect, low, high = joint.effect([term])
            shown = found.effect[code, place[term]], found.low[code, place[term]], found.high[code, place[term]]
            assert (effect, low, high) == pytest.approx(shown)  # what the report says of it
            covered.append(low <= own[code, i] <= high)
    assert np.mean(covered) >= 0.75  # 16 intervals of 90 %


def test_no_segment_differs_where_none_does() -> None:
    rng = np.random.default_rng(2)
    has, segment = rng.random((ROWS, 4)) < 0.4, rng.integers(0, 4, ROWS)
    logits = -3 + has @ np.array([0.2, -0.1, 0.0, 0.1]) + rng.normal(0, 0.2, ROWS)
    learning = made(words_of(has, "甲乙丙丁"), logits, rng, segment=segment)
    assert learning.deviations is not None
    apart = learning.deviations.by_segment.effect - learning.fit.effect
    assert np.abs(apart).max() < 0.03
    assert {row.trend for row in term_rows(learning)} == {""}


def test_rising_fading_and_worn_terms_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    day = np.sort(rng.integers(0, 720, ROWS))
    has = rng.random((ROWS, 4)) < 0.1
    has[:, 3] = (rng.random(ROWS) < 0.05) | ((day % 180 < 20) & (rng.random(ROWS) < 0.9))  # in bursts
    uses = np.array([np.sum(has[:i, 3] & (day[:i] >= day[i] - 28) & (day[:i] < day[i])) for i in range(ROWS)])
    per_year = (day - 360) / 360
    logits = -3 + 0.3 * has[:, 0] * per_year - 0.3 * has[:, 1] * per_year - 0.06 * has[:, 3] * np.log2(1 + uses)
    learning = made(words_of(has, "甲乙丙丁"), logits + rng.normal(0, 0.1, ROWS), rng, day=day)
    trends = {row.term: row.trend for row in term_rows(learning)}
    assert trends == {"甲": "rising", "乙": "fading", "丙": "", "丁": "worn"}


def test_variants_alone_find_the_effect_and_disagree_where_all_messages_are_misled() -> None:
    """丙 goes to a good audience that nothing tells of; only campaigns that tried it both ways show the truth."""
    rng = np.random.default_rng(4)
    campaign = np.repeat(np.arange(ROWS // 2), 2)
    pair = np.arange(ROWS) % 2 == 1
    tried = campaign % 3 == 0
    has = rng.random((ROWS // 2, 3))[campaign] < 0.4
    good = rng.random(ROWS // 2)[campaign] < 0.4
    has[:, 2] = np.where(tried, pair, good)
    has[:, 0] ^= tried & pair & (campaign % 2 == 0)
    logits = -3 + 0.2 * has[:, 0] + 0.8 * (good & ~tried) + rng.normal(0, 0.1, ROWS)
    learning = made(words_of(has, "甲乙丙"), logits, rng, campaign=campaign)
    rows = {row.term: row for row in term_rows(learning)}
    assert rows["丙"].experiments == int(np.sum(tried) / 2)
    assert rows["丙"].ab_low is not None
    assert rows["丙"].ab_high is not None
    assert rows["丙"].ab_low < 0 < rows["丙"].ab_high
    assert rows["丙"].ab_high - rows["丙"].ab_low < 0.1
    assert rows["甲"].ab_effect == pytest.approx(0.2, abs=0.03)
    assert (rows["乙"].ab_effect, rows["乙"].experiments) == (None, 0)
    assert rows["丙"].effect > 0.05
    assert rows["丙"].is_disputed


def test_variants_and_all_messages_do_not_disagree_where_nothing_misleads() -> None:
    rng = np.random.default_rng(5)
    campaign = np.repeat(np.arange(ROWS // 2), 2)
    has = rng.random((ROWS, 12)) < 0.3
    effects = rng.normal(0, 0.2, 12)
    logits = -3 + has @ effects + rng.normal(0, 0.15, ROWS // 2)[campaign] + rng.normal(0, 0.25, ROWS)
    learning = made(words_of(has, "甲乙丙丁戊己庚辛壬癸子丑"), logits, rng, campaign=campaign)
    assert sum(row.is_disputed for row in term_rows(learning)) <= 1
    true = dict(zip("甲乙丙丁戊己庚辛壬癸子丑", effects, strict=True))
    inside = [row.ab_low <= true[row.term] <= row.ab_high for row in term_rows(learning) if row.ab_low and row.ab_high]
    assert np.mean(inside) >= 0.75


@pytest.mark.parametrize("block", ["format", "counted_by"])
def test_a_word_gets_no_credit_for_its_format_or_for_who_counted(block: str) -> None:
    rng = np.random.default_rng(6)
    kind = rng.integers(0, 2, ROWS)
    has = rng.random((ROWS, 4)) < 0.4
    has[:, 0] = rng.random(ROWS) < np.where(kind == 1, 0.9, 0.1)  # written in one format only, nearly
    learning = made(
        words_of(has, "甲乙丙丁"), -3 + 0.7 * kind + rng.normal(0, 0.1, ROWS), rng, opening=None, **{block: kind}
    )
    assert abs(learning.fit.effect[learning.terms.index("甲")]) < 0.05


def test_a_word_gets_no_credit_for_others_that_come_first_where_it_is_written() -> None:
    rng = np.random.default_rng(8)
    has, first = rng.random((ROWS, 4)) < 0.4, rng.random(ROWS) < 0.5
    has[:, 0] = True
    has[:, 3] = rng.random(ROWS) < np.where(first, 0.9, 0.1)  # 丁 is written where 甲 comes first
    terms, opening = [], []
    for row, comes_first in zip(has, first, strict=True):
        others = [name for name, there in zip("乙丙丁", row[1:], strict=True) if there]
        terms.append(["甲", *others] if comes_first else [*others, "甲"])
        opening.append(1 if comes_first else 0)
    learning = made(terms, -3 + 0.3 * first + rng.normal(0, 0.1, ROWS), rng, opening=opening)
    assert abs(learning.fit.effect[learning.terms.index("丁")]) < 0.05


def test_where_the_variances_are_zero_the_answer_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(7)
    words = (rng.random((800, 8)) < 0.4).astype(np.float64)
    recipients = np.full(800, 50_000.0)
    clicks = rng.binomial(50_000, expit(-3 + words @ rng.normal(0, 0.3, 8))).astype(np.float64)
    found = fit(clicks, recipients, sparse.csr_matrix(words), campaign=np.arange(800), context={})
    glm = sm.GLM(
        np.stack([clicks, recipients - clicks], axis=1), sm.add_constant(words), family=sm.families.Binomial()
    ).fit()
    assert found.row_variance < 1e-3
    np.testing.assert_allclose(found.effect, glm.params[1:], atol=0.004)  # 50,000 people each: the prior says nothing
    deviation = (found.high - found.low) / 2 / 1.6449
    np.testing.assert_allclose(deviation / glm.bse[1:], 1.0, atol=0.25)
    assert (deviation >= glm.bse[1:]).all()  # ours allow for variances that are plugged in
