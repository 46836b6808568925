"""What all tables share: names of tables and constraints, keys, references, JSON columns."""
# No `from __future__ import annotations` here: SQLModel needs real annotations.

import re
from typing import Any

from sqlalchemy import JSON, MetaData
from sqlalchemy.orm import declared_attr
from sqlmodel import Field, SQLModel

from store.types import BigId

SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
).naming_convention


class Row(SQLModel):
    """Base of all tables: the table's name is the class's name in snake_case."""

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def key() -> Any:
    return Field(default=None, primary_key=True, sa_type=BigId)


def ref(target: str, *, index: bool = False, nullable: bool = False, primary_key: bool = False) -> Any:
    default: Any = None if nullable else ...
    return Field(default, foreign_key=target, sa_type=BigId, index=index, nullable=nullable, primary_key=primary_key)


def json_of(default: Any) -> Any:
    return Field(default_factory=default, sa_type=JSON)
