"""What is wrong with a draft, and where it is to be mended."""

import re

from campaigns.content.message import InvalidMessage
from console.campaigns.message_parts import WrongMessage
from console.words.catalog import translate
from console.words.refusals import told
from store.errors import ExpectedError

_PLACE = re.compile(r"messages\[(\d+)\]\.?(.*)", re.DOTALL)


class WrongStep(Exception):
    """What is wrong (`why`: in Chinese, or what a room refused), in which `step` of the editor and at which `field` of
    its form; None: with all of it. `place`: which message of several (0 the first), where that is its content, and
    `version` which of its versions."""

    def __init__(
        self, step: str, why: str | ExpectedError, field: str | None = None, *, place: int = 0, version: str = ""
    ) -> None:
        super().__init__(str(why))
        self.step, self.why, self.field, self.place, self.version = step, why, field, place, version

    def told(self, language: str) -> str:
        """The reason in the language of the page."""
        if isinstance(self.why, str):
            return told(self.why, language)
        why = content_told(self.why, language)
        return translate("還不能發送：{why}", language, why=f"{self.version} {why}" if self.version else why)


def content_told(error: ExpectedError, language: str) -> str:
    """Why a content can't be sent, in the language of the page; messages are counted from 1, as the editor does."""
    if isinstance(error, WrongMessage):
        return f"{translate('第 {n} 則', language, n=error.number)} {content_told(error.reason, language)}"
    if isinstance(error, InvalidMessage):
        return told(InvalidMessage([(_place(at, language), why) for at, why in error.problems]), language)
    return told(error, language)


def _place(place: str, language: str) -> str:
    match = _PLACE.fullmatch(place)
    return f"{translate('第 {n} 則', language, n=int(match[1]) + 1)} {match[2]}".strip() if match else place
