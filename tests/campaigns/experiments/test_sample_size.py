"""What a number of people can tell."""

import numpy as np
import pytest

from campaigns.experiments.sample_size import Design, as_words, detectable, people_needed
from campaigns.experiments.stopping import Pair, log_wealth
from store.errors import BadInput


def test_the_fixed_rule_gives_the_textbooks_number() -> None:
    # Fleiss, Levin, Paik (2003), table A.4 without continuity correction: 0.10 against 0.15, 5 %, 80 %: 686 each.
    assert people_needed(Design(0.10, rule="fixed"), 0.05) == pytest.approx(2 * 686, abs=4)


@pytest.mark.parametrize(("baseline", "difference"), [(0.02, 0.01), (0.01, 0.01), (0.1, 0.02)])
def test_with_that_many_people_the_rule_to_stop_finds_the_difference_as_often_as_asked(
    baseline: float, difference: float
) -> None:
    people = people_needed(Design(baseline), difference)
    rng = np.random.default_rng(8)
    looks, sims = 40, 400
    each = people // looks
    b = rng.binomial(each, 0.5, size=(sims, looks))
    s_a, s_b = rng.binomial(each - b, baseline), rng.binomial(b, baseline + difference)
    n_a, s_a, n_b, s_b = (np.cumsum(x, axis=1)[..., None] for x in (each - b, s_a, b, s_b))
    found = (log_wealth(Pair(n_a, s_a, n_b, s_b, 0.5), 0.0, is_b_better=True) >= np.log(2 / 0.05)).any(axis=1).mean()
    assert 0.75 <= found <= 0.92


def test_the_smallest_detectable_difference_is_the_one_that_takes_that_many_people() -> None:
    for rule in ("fixed", "anytime"):
        design = Design(0.03, variants=3, rule=rule)
        assert detectable(design, people_needed(design, 0.012)) == pytest.approx(0.012, rel=1e-3)


def test_too_few_people_are_told_so_in_both_languages() -> None:
    words = as_words(Design(0.02), 10)
    assert words["detectable"] is None
    assert "too few" in words["en"]
    assert "太少" in words["zh"]
    assert "1,000" in as_words(Design(0.02), 1_000)["en"]


@pytest.mark.parametrize(
    "wrong", [{"baseline": 0.0}, {"baseline": 0.1, "power": 1.0}, {"baseline": 0.1, "variants": 1}]
)
def test_what_can_not_be_asked_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        Design(**wrong)  # type: ignore[arg-type]


def test_a_difference_that_no_rate_could_have_is_refused() -> None:
    with pytest.raises(BadInput):
        people_needed(Design(0.5), 0.6)
