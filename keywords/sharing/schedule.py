"""Who gets the keyword report when: the brand's choice, the moment of each period, and its words as a LINE message."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import exp
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlmodel import Session

from keywords.report import Report, TermRow
from keywords.sharing.marketers import check_channel, reach_of
from store.choices import checked, chosen, keep_choice
from store.errors import BadInput
from store.locks import SETTINGS, lock_until_end

NAME = "keyword_report"  # its row of BrandSetting
MESSAGE_TERMS = 5  # in each part of the message

Email = Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True, pattern=r"^\S+@\S+$")]


class ReportSettings(BaseModel):
    """When the report is sent, to which marketers by LINE, and into which folder as files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: Literal["never", "week", "month"] = "never"
    weekday: Annotated[int, Field(ge=0, le=6)] = 0  # of a weekly one; 0 is Monday. A monthly one comes on the first
    hour: Annotated[int, Field(ge=0, le=23)] = 9  # local time, from which on
    # by LINE to these accounts of the console (e-mails), who bound a LINE account of their own: see marketers.py
    marketers: Annotated[tuple[Email, ...], Field(max_length=50)] = ()
    channel: str | None = None  # over which channel; None: the one that they bound theirs to, the first of several
    folder: str | None = None  # where files are left, absolute; None: no files

    def due(self, now: datetime, zone: ZoneInfo) -> tuple[str, datetime] | None:
        """The newest period that has begun and its moment (aware), such as 2026-W48 or 2026-11; None: never."""
        local = now.astimezone(zone)
        start = local.replace(hour=self.hour, minute=0, second=0, microsecond=0)
        if self.every == "week":
            moment = start - timedelta(days=(local.weekday() - self.weekday) % 7)
            moment = moment if moment <= local else moment - timedelta(days=7)
            year, week, _ = moment.isocalendar()
            return f"{year}-W{week:02d}", moment
        if self.every == "month":
            moment = start.replace(day=1)
            moment = moment if moment <= local else (moment - timedelta(days=1)).replace(day=1)
            return f"{moment:%Y-%m}", moment
        return None


def settings_from(values: Mapping[str, Any]) -> ReportSettings:
    """The settings with these values, the rest being defaults. Raises BadInput that names the wrong one."""
    made = checked(ReportSettings, values)
    if made.folder is not None and not Path(made.folder).is_absolute():
        raise BadInput(f"the setting folder must be an absolute path, not {made.folder!r}")
    return made


def read_settings(session: Session) -> ReportSettings:
    """What holds now."""
    return settings_from(chosen(session, NAME))


def change_settings(session: Session, changes: Mapping[str, Any], *, actor: str, now: datetime) -> ReportSettings:
    """Choose `changes` (a value of None: back to the default), audited, and return what then holds. The next report is
    that of the first moment after `now`. Raises BadInput, with nothing changed, also for a marketer who can't be
    reached by LINE."""
    settings_from({name: value for name, value in changes.items() if name not in ReportSettings.model_fields})
    lock_until_end(session.connection(), SETTINGS)
    wanted = {name: value for name, value in {**chosen(session, NAME), **changes}.items() if value is not None}
    made = settings_from(wanted)
    if not changes.keys().isdisjoint(("marketers", "channel")):
        if made.channel is not None:
            check_channel(session, made.channel)
        for email in made.marketers:
            reach_of(session, email, channel=made.channel)
    stored = {name: value for name, value in made.model_dump(mode="json").items() if name in wanted}
    keep_choice(session, NAME, stored, changed=changes, actor=actor, now=now)
    return made


def message_of(report: Report, period: str, address: str) -> list[dict[str, str]]:
    """The report in short, as LINE message objects: what brings clicks, what costs them, what to try, and where the
    rest is."""
    up = [row for row in report.terms if row.low > 0][:MESSAGE_TERMS]
    down = [row for row in reversed(report.terms) if row.high < 0][:MESSAGE_TERMS]
    lines = [
        f"關鍵字報告 {period}",
        f"{report.messages:,} 則訊息，{report.recipients:,} 收件人次，{report.clicks:,} 點擊",
        "",
        "▲ 帶來點擊",
        *(map(_line, up) if up else ["（還沒有能下結論的詞）"]),
        "▼ 少了點擊",
        *(map(_line, down) if down else ["（還沒有能下結論的詞）"]),
    ]
    if report.to_try:
        lines += ["◇ 值得再試", "、".join(row.term for row in report.to_try[:MESSAGE_TERMS])]
    return [{"type": "text", "text": "\n".join([*lines, "", f"括號內是 90% 區間。完整報告：{address}"])}]


def _line(row: TermRow) -> str:
    return f"{row.term} ×{exp(row.effect):.2f}（{exp(row.low):.2f}–{exp(row.high):.2f}）"
