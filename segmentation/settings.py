"""What the brand has chosen for its segments, in place of the defaults: checked, stored, and read by every run.

Stored is only what was chosen; what was not follows the defaults, those of the environment among them.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select
from sqlmodel import Session

from segmentation import nesl
from segmentation.activity import Activity
from segmentation.engine import DEFAULT_CYCLE_DAYS, Request
from segmentation.loyalty import MAX_PERIODS, Loyalty
from segmentation.rfm import Scoring
from store.engine import insert_for, table_of
from store.errors import BadInput
from store.locks import SETTINGS, lock_until_end
from store.models import AuditEntry, BrandSetting

NAME = "segments"  # its row of BrandSetting

setting = table_of(BrandSetting)

MOST_DAYS = 36_500
Days = Annotated[int, Field(ge=1, le=MOST_DAYS)]
_activity = Activity()


class SegmentSettings(BaseModel):
    """How segments are computed. Thresholds of None: today's quantiles; `high_from` of None: above the mean score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cycle: Days | Literal["auto"] = DEFAULT_CYCLE_DAYS  # the brand's purchase cycle; auto: the median gap of its orders
    cycle_weight: Annotated[int, Field(ge=1, le=100)] = nesl.CYCLE_WEIGHT  # of it in a person's own, in gaps
    look_back_days: Days | None = None  # None: all history
    r_days: tuple[int, int, int, int] | None = None
    f_orders: tuple[int, int, int, int] | None = None
    m_amount: tuple[Decimal, Decimal, Decimal, Decimal] | None = None
    high_from: Annotated[int, Field(ge=2, le=5)] | None = None
    loyalty_months: Annotated[int, Field(ge=1, le=MAX_PERIODS)] = Loyalty().periods
    activity_new_days: int = _activity.new_days
    activity_returned_days: int = _activity.returned_days
    activity_active_to: Decimal = _activity.active_to
    activity_low_to: Decimal = _activity.low_to
    activity_silent_to: Decimal = _activity.silent_to
    activity_weight: int = _activity.weight

    @model_validator(mode="after")
    def _fits_the_models(self) -> "SegmentSettings":
        self.scoring()
        self.activity()
        return self

    def scoring(self) -> Scoring:
        """How scores are given. Raises BadInput."""
        return Scoring(self.r_days, self.f_orders, self.m_amount, self.high_from)

    def activity(self) -> Activity:
        """The ranges of customer states. Raises BadInput."""
        return Activity(**{name: getattr(self, f"activity_{name}") for name in asdict(_activity)})

    def request(self, as_of: date, zone: ZoneInfo) -> Request:
        """What the engine is asked for: all models."""
        return Request(
            as_of=as_of,
            zone=zone,
            cycle_days=None if self.cycle == "auto" else self.cycle,
            look_back_days=self.look_back_days,
            scoring=self.scoring(),
            propose_cycle=True,
            models="all",
            cycle_weight=self.cycle_weight,
            loyalty=Loyalty(self.loyalty_months),
            activity=self.activity(),
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it: decimals as text."""
        return self.model_dump(mode="json")


def settings_from(values: Mapping[str, Any]) -> SegmentSettings:
    """The settings with these values, the rest being defaults. Raises BadInput that names the wrong one."""
    try:
        return SegmentSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        if first["type"] == "extra_forbidden":
            raise BadInput(
                f"there is no setting {name!r}; the settings are {', '.join(SegmentSettings.model_fields)}"
            ) from error
        wrong = "these must be four numbers" if first["type"] in ("missing", "too_long", "tuple_type") else first["msg"]
        raise BadInput(f"the setting {name} can't be {values.get(name)!r}: {wrong}") from error


def read_settings(session: Session, defaults: Mapping[str, Any]) -> SegmentSettings:
    """What holds now: the brand's choice over `defaults` (of the environment) over our own."""
    return settings_from({**defaults, **chosen(session)})


def chosen(session: Session) -> dict[str, Any]:
    """Only what the brand has chosen, by name."""
    return dict(session.scalar(select(setting.c.value).where(setting.c.name == NAME)) or {})


def changed_at(session: Session) -> datetime | None:
    """When the brand last chose (aware UTC); None: never."""
    found: datetime | None = session.scalar(select(setting.c.updated_at).where(setting.c.name == NAME))
    return found


def change_settings(
    session: Session, changes: Mapping[str, Any], *, defaults: Mapping[str, Any], actor: str, now: datetime
) -> SegmentSettings:
    """Choose `changes` (a value of None: back to the default), note it in the audit trail, and return what then holds.
    The next run takes it up. Raises BadInput, with nothing changed, when the settings can't hold together."""
    unknown = {name: value for name, value in changes.items() if name not in SegmentSettings.model_fields}
    settings_from(unknown)  # names the first one that there isn't
    lock_until_end(session.connection(), SETTINGS)
    wanted = {**chosen(session), **changes}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    made = settings_from({**defaults, **wanted})
    stored = {name: value for name, value in made.as_dict().items() if name in wanted}
    row = {"value": stored, "updated_at": now, "updated_by": actor}
    session.execute(
        insert_for(session, BrandSetting)
        .values(name=NAME, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row)
    )
    session.add(AuditEntry(at=now, actor=actor, action="change segment settings", detail={"changed": sorted(changes)}))
    return made
