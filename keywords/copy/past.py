"""The past messages behind suggestions, in their own words: what was learned keeps only the keys of its texts."""

from dataclasses import replace

from sqlalchemy import select
from sqlmodel import Session

from keywords.copy.suggestion import Suggestion, Suggestions
from keywords.effects.results import text_key
from store.engine import table_of
from store.models import MessageResult


def in_words(session: Session, found: Suggestions) -> Suggestions:
    """The suggestions with each past message's text in place of its key. Reads only the results of their runs. One
    whose results are gone since is left out."""
    runs = {past.run_id for row in (*found.terms, *found.phrases) for past in row.behind}
    result = table_of(MessageResult)
    sent = session.scalars(select(result.c.message_text).where(result.c.run_id.in_(runs)).distinct())
    texts = {text_key(text): text for text in sent}

    def told(row: Suggestion) -> Suggestion:
        return replace(
            row, behind=tuple(replace(past, text=texts[past.text]) for past in row.behind if past.text in texts)
        )

    return replace(found, terms=[told(row) for row in found.terms], phrases=[told(row) for row in found.phrases])
