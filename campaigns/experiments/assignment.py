"""Who gets what: people told apart by a stable hash, in plain SQL, so that a million are assigned in the database.

Every purpose has a salt of its own, drawn from its name by SHA-256: being held out, the variant, the wave and the arm
of one person are independent of each other.
"""

import hashlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import case, literal

BUCKETS = 10_000  # the stable hash has hundredths of a percent
_PRIME = 2_147_483_647  # 2**31 - 1: products of two residues stay inside 64 bits in both databases


def bucket_of(customer_id: Any, salt: int) -> Any:
    """A stable hash of a customer into 0..9,999, the same for ints, NumPy arrays and SQL columns.

    Two multiplications around a square modulo 2**31-1: in plain SQL, so that a million people are told apart without
    leaving the database. The same person and salt always give the same bucket; other salts are independent of it.
    """
    mixed = (customer_id % _PRIME * 48_271 + (salt * 69_621 + 12_345) % _PRIME) % _PRIME
    mixed = (mixed * mixed % _PRIME + mixed * 16_807 + salt) % _PRIME
    return mixed * 39_373 % _PRIME % BUCKETS


def salt_of(purpose: str, *numbers: int) -> int:
    """The salt of a purpose ("holdout", "variant", "wave", "arm", "global holdout") and the ids it is for: 31 bits."""
    words = ":".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4]) >> 1


def ends_of(parts: Sequence[float]) -> list[int]:
    """Where each part's buckets end (exclusive), the last at 10,000, for parts of any positive scale."""
    whole = sum(parts)
    return [round(sum(parts[: n + 1]) / whole * BUCKETS) for n in range(len(parts))]


def place_of(bucket: Any, parts: Sequence[float]) -> Any:
    """SQL for the place, from 0, of the part in which a bucket falls."""
    *ends, _ = ends_of(parts)
    return case(*((bucket < end, place) for place, end in enumerate(ends)), else_=len(ends)) if ends else literal(0)


def is_held_out(customer_id: Any, campaign_id: int, percent: Decimal) -> Any:
    """SQL (or a plain bool): whether a campaign keeps somebody back, in all its runs alike. `percent` is 0..100."""
    return bucket_of(customer_id, salt_of("holdout", campaign_id)) < int(percent * BUCKETS / 100)


def is_held_out_of_all(customer_id: Any, percent: Decimal, period: int) -> Any:
    """SQL (or a plain bool): whether the brand keeps somebody back from all campaigns alike. `percent` is 0..100; in
    another `period` (see `period_of`) these are other people, so that nobody is left out for good."""
    return bucket_of(customer_id, salt_of("global holdout", period)) < int(percent * BUCKETS / 100)


def period_of(day: date, days: int) -> int:
    """The number of the period of so many days in which a day lies, the same for everybody."""
    return day.toordinal() // days


def variant_place(customer_id: Any, campaign_id: int, step_number: int, shares: Sequence[float]) -> Any:
    """SQL for the place, from 0, of the variant that somebody gets, by the variants' shares: the same person has the
    same variant in every run of a step as long as the shares are the same."""
    return place_of(bucket_of(customer_id, salt_of("variant", campaign_id, step_number)), shares)


def wave_place(customer_id: Any, run_id: int, parts: Sequence[float]) -> Any:
    """SQL for the wave, from 0, in which somebody's turn comes; `parts` are the waves' parts of the people."""
    return place_of(bucket_of(customer_id, salt_of("wave", run_id)), parts)
