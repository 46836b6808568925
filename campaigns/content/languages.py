"""Which version of a content a person reads: by their language, in the marketer's words or LINE's ("zh-TW", "en").

A small piece of RFC 4647's lookup: same language and, for Chinese, same script, which follows from the region; what
names neither is taken for traditional characters, since the service is made for Taiwan first. Told alike in Python,
for one person, and in SQL, for a whole audience.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, case, func, not_, null, or_

from store.errors import BadInput

_TAG = re.compile(r"([^-]{2,3})(?:-(.*))?", re.DOTALL)  # loose: SQL must be able to say the same
_VERSION = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*", re.ASCII)
_SIMPLIFIED_REGIONS = ("cn", "sg", "my")

Reading = tuple[str, bool]  # language, and whether it is written in simplified characters


@lru_cache(maxsize=1024)
def _read(words: str) -> Reading | None:
    match = _TAG.fullmatch(words.strip(" ").lower().replace("_", "-"))
    if match is None:
        return None
    language, rest = match.group(1), match.group(2) or ""
    return language, language == "zh" and (rest.startswith("hans") or rest[:2] in _SIMPLIFIED_REGIONS)


def check_languages(versions: Collection[str]) -> None:
    """Raise BadInput unless each is a language, and no two are the same to a reader (en and en-US)."""
    seen: dict[Reading, str] = {}
    for version in versions:
        read = _read(version)
        if read is None or not _VERSION.fullmatch(version):
            raise BadInput(f"{version!r} is not a language: write it as LINE does, such as zh-TW, en or ja")
        if read in seen:
            raise BadInput(f"{seen[read]!r} and {version!r} are the same language to a reader: keep one of them")
        seen[read] = version


def version_for(versions: Collection[str], *languages: str | None) -> str | None:
    """Which of `versions` is for somebody of these languages, the most trusted first; None: the plain one.

    Only the first that can be read counts: the next would be a guess. Who reads traditional characters never gets a
    simplified version, nor the other way round.
    """
    for language in languages:
        if language and (wanted := _read(language)) is not None:
            return next((version for version in versions if _read(version) == wanted), None)
    return None


def version_column(versions: Collection[str], *columns: Any) -> Any:
    """SQL for `version_for` of columns that hold languages; NULL: the plain one."""
    if not versions:
        return null()
    chosen: Any = null()
    for column in reversed(columns):
        tag = func.lower(func.replace(func.trim(column), "_", "-"))
        language = case(
            (func.substr(tag, 3, 1).in_(("", "-")), func.substr(tag, 1, 2)),
            (func.substr(tag, 4, 1).in_(("", "-")), func.substr(tag, 1, 3)),
        )
        can_be_read = and_(func.length(language) >= 2, language.not_like("%-%"))
        rest = func.substr(tag, 4)
        is_simplified = or_(func.substr(rest, 1, 4) == "hans", func.substr(rest, 1, 2).in_(_SIMPLIFIED_REGIONS))
        fitting = []
        for version in versions:
            read = _read(version)
            assert read is not None
            script = [is_simplified if read[1] else not_(is_simplified)] if read[0] == "zh" else []
            fitting.append((and_(language == read[0], *script), version))
        chosen = case((can_be_read, case(*fitting)), else_=chosen)
    return chosen
