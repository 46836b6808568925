"""What the brand has chosen, a row of BrandSetting for each group of settings: read, and kept with an audit entry."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlmodel import Session

from store.engine import insert_for, table_of
from store.errors import BadInput
from store.models import AuditEntry, BrandSetting

Settings = TypeVar("Settings", bound=BaseModel)

setting = table_of(BrandSetting)


def checked(model: type[Settings], values: Mapping[str, Any]) -> Settings:
    """The settings of `model` with these values, the rest being defaults. Raises BadInput that names the wrong one."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise BadInput(f"there is no setting {name!r}; the settings are {known}") from error
        raise BadInput(f"the setting {name} can't be {values.get(name)!r}: {first['msg']}") from error


def chosen(session: Session, name: str) -> dict[str, Any]:
    """What was chosen in group `name`, by setting; what was not follows the defaults."""
    return dict(session.scalar(select(setting.c.value).where(setting.c.name == name)) or {})


def chosen_at(session: Session, name: str) -> datetime | None:
    """When the brand last chose in group `name` (aware UTC); None: never."""
    found: datetime | None = session.scalar(select(setting.c.updated_at).where(setting.c.name == name))
    return found


def keep_choice(
    session: Session, name: str, value: Mapping[str, Any], *, changed: Collection[str], actor: str, now: datetime
) -> None:
    """Put `value` in place of what was chosen in group `name`, and note which settings `changed` in the audit trail."""
    row = {"value": dict(value), "updated_at": now, "updated_by": actor}
    session.execute(
        insert_for(session, BrandSetting)
        .values(name=name, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row)
    )
    detail = {"changed": sorted(changed)}
    session.add(AuditEntry(at=now, actor=actor, action=f"change {name.replace('_', ' ')} settings", detail=detail))
