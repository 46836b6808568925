"""Stable hashes: the same everywhere, in the parts asked for, and independent of each other."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chi2
from sqlalchemy import BigInteger, literal, select
from sqlmodel import Session

from campaigns.experiments.assignment import (
    bucket_of,
    ends_of,
    is_held_out,
    is_held_out_of_all,
    period_of,
    place_of,
    salt_of,
    variant_place,
)

PEOPLE = np.arange(1, 200_001)


def test_the_hash_is_the_same_in_python_and_in_both_databases(session: Session) -> None:
    salt = salt_of("variant", 7, 1)
    for customer_id in (1, 2, 999_999, 2_147_483_650):
        assert session.scalar(select(bucket_of(literal(customer_id, BigInteger), salt))) == bucket_of(customer_id, salt)


@pytest.mark.parametrize("campaign_id", [1, 2, 77])
def test_holdout_global_holdout_variant_wave_and_arm_are_independent_even_three_at_a_time(campaign_id: int) -> None:
    salts = [
        salt_of("holdout", campaign_id),
        salt_of("holdout", campaign_id + 1),
        salt_of("global holdout", 82),
        salt_of("variant", campaign_id, 1),
        salt_of("wave", campaign_id),
        salt_of("arm", campaign_id),
    ]
    quarters = [bucket_of(PEOPLE, salt) // 2_500 for salt in salts]
    for one, two, three in combinations(quarters, 3):
        counts = np.bincount(one * 16 + two * 4 + three, minlength=64)
        expected = len(PEOPLE) / 64
        assert chi2.sf(((counts - expected) ** 2 / expected).sum(), 63) > 1e-6


def test_the_hash_is_the_same_for_ids_of_any_size(session: Session) -> None:
    for customer_id in (2**31 - 2, 2**31 - 1, 2**31, 2**40 + 7, 2**62):
        found = session.scalar(select(bucket_of(literal(customer_id, BigInteger), 12_345)))
        assert found == bucket_of(customer_id, 12_345) == bucket_of(np.array([customer_id]), 12_345)[0]


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_buckets_are_uniform_for_ids_with_gaps_too(step: int) -> None:
    counts = np.bincount(bucket_of(PEOPLE * step, salt_of("holdout", 9)) // 500, minlength=20)
    assert chi2.sf(((counts - 10_000) ** 2 / 10_000).sum(), 19) > 1e-4


def test_parts_get_the_people_that_their_weights_ask_for(session: Session) -> None:
    assert ends_of([1, 1, 2]) == [2_500, 5_000, 10_000]
    assert ends_of([3]) == [10_000]
    places = [
        session.scalar(select(place_of(literal(bucket), [1, 1, 2]))) for bucket in (0, 2_499, 2_500, 5_000, 9_999)
    ]
    assert places == [0, 0, 1, 2, 2]


def test_shares_of_one_leave_nobody_to_the_others(session: Session) -> None:
    got = {session.scalar(select(variant_place(literal(n, BigInteger), 3, 1, [0.0, 1.0]))) for n in range(1, 200)}
    assert got == {1}


def test_about_the_percentage_asked_for_is_held_out_and_more_percent_keep_those_who_were() -> None:
    five, ten = is_held_out(PEOPLE, 9, Decimal(5)), is_held_out(PEOPLE, 9, Decimal(10))
    assert five.mean() == pytest.approx(0.05, abs=0.002)
    assert ten[five].all()
    assert not is_held_out(PEOPLE, 9, Decimal(0)).any()


def test_the_global_holdout_is_the_same_people_for_a_period_and_others_in_the_next() -> None:
    now, next_one = (is_held_out_of_all(PEOPLE, Decimal(4), period) for period in (10, 11))
    assert now.mean() == pytest.approx(0.04, abs=0.002)
    assert (now & next_one).mean() == pytest.approx(0.04 * 0.04, abs=0.0006)
    days = [period_of(date(2026, 1, 1) + timedelta(days=n), 90) for n in range(180)]
    assert len(set(days)) in (2, 3)
    assert max(days.count(period) for period in days) == 90
