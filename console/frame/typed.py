"""What people type into fields, as programs write it. Knows no database."""

import re
import unicodedata

_NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", re.ASCII)


def as_number(text: str) -> str:
    """A number whose signs may be of full width and whose thousands may stand apart, as programs write it. What is no
    number stays as it is, without blanks around it, for whoever says so: 1,5 is neither 15 nor 1.5."""
    text = text.strip()
    narrow = unicodedata.normalize("NFKC", text)
    return narrow.replace(",", "") if _NUMBER.fullmatch(narrow) else text
