"""Column types that keep two promises on both databases: times are aware UTC, decimals are exact.

SQLite has neither time zones nor decimals, so the types do the work there.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, Text, func, type_coerce
from sqlalchemy.types import TypeDecorator

DECIMAL_PLACES = 4
_SCALE = 10**DECIMAL_PLACES
_PART = 10**9  # of sums
_LIMIT = Decimal(2**63 - 1) / _SCALE

# SQLite makes an auto-numbered key only of a column typed INTEGER; PostgreSQL wants 64 bits.
BigId = BigInteger().with_variant(Integer, "sqlite")

# Text in the order of its characters' numbers, whatever the database's language: what begins alike lies together.
ByteOrdered = Text().with_variant(Text(collation="C"), "postgresql")


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python; `timestamptz` on PostgreSQL, naive UTC text on SQLite (which sorts as time does).

    Raises ValueError for a naive datetime: a time without a zone is a guess.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a stored time needs a time zone, got {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Decimal4(TypeDecorator[Decimal]):
    """An exact decimal of up to four places, stored as an integer of ten-thousandths (|value| below 9.2e14).

    SQLite would keep a NUMERIC as a float. Sums are exact in SQL too; divide by 10,000 outside it.
    Raises ValueError for more than four places or a value out of range: rounding is the caller's decision.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        if value is None:
            return None
        number = Decimal(value)
        scaled = number * _SCALE
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{number} has more than {DECIMAL_PLACES} decimal places")
        if abs(number) > _LIMIT:
            raise ValueError(f"{number} is too large to store")
        return int(scaled)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else from_ten_thousandths(value)


class Decimal4Sum(TypeDecorator[Decimal]):
    """A sum of Decimal4, which may be more than 64 bits hold: ten-thousandths, as text on SQLite, so it is never
    summed or compared in SQL. Raises ValueError for more than four places."""

    impl = Numeric(38, 0).with_variant(Text(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        scaled = Decimal(value) * _SCALE
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{value} has more than {DECIMAL_PLACES} decimal places")
        return str(int(scaled)) if dialect.name == "sqlite" else int(scaled)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else from_ten_thousandths(int(value))


def from_ten_thousandths(value: int) -> Decimal:
    """The decimal that a stored integer of ten-thousandths stands for, with trailing zeros beyond cents dropped."""
    number = Decimal(value) / _SCALE
    cents = number.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
    exact: Decimal = cents if cents == number else number
    return exact


def sum_parts(column: Any) -> tuple[Any, Any]:
    """SQL for the sum of a Decimal4 column in two parts (see `whole_sum`): SQLite breaks off where one leaves 64
    bits."""
    units = type_coerce(column, BigInteger)
    return func.sum(units // _PART), func.sum(units % _PART)


def whole_sum(parts: Any, rest: Any) -> int:
    """Ten-thousandths, of what `sum_parts` found; 0 for no rows."""
    return int(parts or 0) * _PART + int(rest or 0)
