"""What the brand has chosen for all its campaigns: checked, stored, audited, and read whenever one fires.

Stored is only what was chosen, as one row of BrandSetting; what was not follows the defaults here.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlmodel import Session

from campaigns.planning.quiet import QuietHours
from campaigns.planning.workdays import Workdays, check_country
from store.choices import checked
from store.engine import insert_for, table_of
from store.errors import BadInput
from store.locks import SETTINGS, lock_until_end
from store.models import AuditEntry, BrandSetting

NAME = "campaigns"  # its row of BrandSetting
CHANGED = "change campaign settings"  # the audit entry of a change

setting = table_of(BrandSetting)

CAP_DAYS = {"cap_day": 1, "cap_week": 7, "cap_month": 30}  # frequency cap -> calendar days, today among them
Cap = Annotated[int, Field(ge=1, le=1_000)]


def _as_quiet_hours(words: str) -> str:
    try:
        return str(QuietHours.from_words(words))
    except BadInput as error:
        raise ValueError(str(error)) from error


def _known_country(code: str) -> str:
    try:
        check_country(code)
    except BadInput as error:
        raise ValueError(str(error)) from error
    return code


class CampaignSettings(BaseModel):
    """The brand's rules for every campaign."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quiet_hours: Annotated[str, AfterValidator(_as_quiet_hours)] | None = None  # "22:00-08:00"; None: none
    country: Annotated[str, AfterValidator(_known_country)] = "TW"  # whose holidays and make-up workdays hold
    holidays: tuple[date, ...] = ()  # days off of the brand's own
    workdays: tuple[date, ...] = ()  # days that it works although the country doesn't
    keep_line_audiences: bool = False  # what narrowcasts uploaded stays at LINE; else it is deleted once they are over

    # A run whose people block the account at a surely higher rate goes slower, step by step, or is paused; None: not
    block_slow_percent: Annotated[Decimal, Field(gt=0, lt=100)] | None = Decimal(2)
    block_limit_percent: Annotated[Decimal, Field(gt=0, lt=100)] | None = Decimal(5)
    ads_consent: str | None = None  # the customers' attribute that says consent to ads; None: nobody's data leaves
    ads_email: str = "email"  # the attributes that hold what ad platforms match people by
    ads_phone: str = "phone"
    ads_zip: str = "zip"
    cap_day: Cap | None = None  # messages that one person may get on a day, over all campaigns; None: no limit
    cap_week: Cap | None = None  # on a day and the six before it
    cap_month: Cap | None = None  # on a day and the 29 before it
    global_holdout_days: Annotated[int, Field(ge=7, le=366)] = 90  # then others are held out
    global_holdout_percent: Annotated[Decimal, Field(ge=0, le=50, decimal_places=2)] = Decimal(0)  # get no campaign
    needs_opt_in: bool = False  # marketing goes only to people with recorded consent; else to all who don't refuse
    needs_approval: bool = False  # a campaign of the console is sent when a second person has approved it
    collision_minutes: Annotated[int, Field(ge=0, le=43_200)] = 60  # so long a higher priority claims a person

    def caps(self) -> dict[str, int | None]:
        """The frequency caps by the reason to skip that each is."""
        return {"cap_day": self.cap_day, "cap_week": self.cap_week, "cap_month": self.cap_month}

    def quiet(self) -> QuietHours | None:
        """The quiet hours; None when there are none."""
        return None if self.quiet_hours is None else QuietHours.from_words(self.quiet_hours)

    def calendar(self) -> Workdays:
        """The brand's working days."""
        return Workdays(self.country, frozenset(self.holidays), frozenset(self.workdays))

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it: days as text."""
        return self.model_dump(mode="json")


def settings_from(values: Mapping[str, Any]) -> CampaignSettings:
    """The settings with these values, the rest being defaults. Raises BadInput that names the wrong one."""
    return checked(CampaignSettings, values)


def read_settings(session: Session) -> CampaignSettings:
    """What holds now."""
    return settings_from(chosen(session))


def chosen(session: Session) -> dict[str, Any]:
    """Only what the brand has chosen, by name."""
    return dict(session.scalar(select(setting.c.value).where(setting.c.name == NAME)) or {})


def change_settings(session: Session, changes: Mapping[str, Any], *, actor: str, now: datetime) -> CampaignSettings:
    """Choose `changes` (a value of None: back to the default), note it in the audit trail, and return what then holds.
    The next firing takes it up. Raises BadInput, with nothing changed."""
    settings_from({name: value for name, value in changes.items() if value is not None or name not in _names()})
    lock_until_end(session.connection(), SETTINGS)
    wanted = {name: value for name, value in {**chosen(session), **changes}.items() if value is not None}
    made = settings_from(wanted)
    stored = {name: value for name, value in made.as_dict().items() if name in wanted}
    row = {"value": stored, "updated_at": now, "updated_by": actor}
    session.execute(
        insert_for(session, BrandSetting)
        .values(name=NAME, **row)
        .on_conflict_do_update(index_elements=["name"], set_=row)
    )
    detail = {"changed": sorted(changes)}
    session.add(AuditEntry(at=now, actor=actor, action=CHANGED, detail=detail))
    return made


def _names() -> set[str]:
    return set(CampaignSettings.model_fields)
