"""What the brand has chosen for its copy: words that are blocked or need approval, lengths, when a word is worn.

Stored is only what was chosen, as one row of BrandSetting; what was not follows the defaults here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlmodel import Session

from keywords.copy.data import FORMS, Claim, Template, claims, template_of
from store.choices import checked, chosen, keep_choice
from store.locks import SETTINGS, lock_until_end

NAME = "copy"  # its row of BrandSetting
# LINE, Messaging API reference: a text message's text and a Flex message's altText, in UTF-16 units
LINE_TEXT_UNITS, LINE_ALT_UNITS = 5_000, 1_500

Words = tuple[Annotated[str, Field(min_length=1, max_length=40)], ...]
Text = Annotated[int, Field(ge=10, le=LINE_TEXT_UNITS)]


def _checked_template(line: str) -> str:
    template_of(line)
    return line


class CopySettings(BaseModel):
    """The brand's rules for copy, beside the shipped ones. Lengths are in UTF-16 units, as LINE counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocked: Words = ()  # no line with one of these is ever proposed
    approval: Words = ()  # a line with one says that a person must approve it
    cleared: Words = ()  # shipped words that need approval, but not here: the brand has its proof or licence
    # "form | text" with slots; where a form has some, the shipped ones only fill what they leave
    templates: tuple[Annotated[str, AfterValidator(_checked_template)], ...] = ()
    message_units: Text = 200
    line_units: Text = 60
    headline_units: Text = 30
    alt_units: Annotated[int, Field(ge=10, le=LINE_ALT_UNITS)] = 100
    worn_days: Annotated[int, Field(ge=1, le=90)] = 14  # a term is worn that in so many days went to the same segment …
    worn_messages: Annotated[int, Field(ge=1, le=100)] = 3  # … with so many messages

    def units(self, form: str) -> int:
        """The most UTF-16 units of a line of `form`, one of FORMS."""
        assert form in FORMS, form
        return int(getattr(self, f"{form}_units"))

    def own_templates(self, form: str) -> list[Template]:
        """The brand's own of `form`; it may have none."""
        return [found for found in map(template_of, self.templates) if found.form == form]

    def claims(self) -> list[Claim]:
        """All words to look for, the brand's own first. A shipped block can't be cleared."""
        own = [Claim(word, "blocked", "品牌的禁用詞 the brand's own list") for word in self.blocked]
        own += [Claim(word, "approval", "品牌的審核詞 the brand's own list") for word in self.approval]
        shipped = [claim for claim in claims() if claim.level == "blocked" or claim.word not in self.cleared]
        return [*own, *shipped]


def settings_from(values: Mapping[str, Any]) -> CopySettings:
    """The settings with these values, the rest being defaults. Raises BadInput that names the wrong one."""
    return checked(CopySettings, values)


def read_settings(session: Session) -> CopySettings:
    """What holds now."""
    return settings_from(chosen(session, NAME))


def change_settings(session: Session, changes: Mapping[str, Any], *, actor: str, now: datetime) -> CopySettings:
    """Choose `changes` (a value of None: back to the default), note it in the audit trail, and return what then holds.
    Raises BadInput, with nothing changed."""
    settings_from({name: value for name, value in changes.items() if value is not None})
    settings_from({name: None for name in changes if name not in CopySettings.model_fields})
    lock_until_end(session.connection(), SETTINGS)
    wanted = {name: value for name, value in {**chosen(session, NAME), **changes}.items() if value is not None}
    made = settings_from(wanted)
    stored = {name: value for name, value in made.model_dump(mode="json").items() if name in wanted}
    keep_choice(session, NAME, stored, changed=changes, actor=actor, now=now)
    return made
