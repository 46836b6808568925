"""The base of every failure we expect: a sentence for the person at the keyboard, and whether trying again may help."""


class ExpectedError(Exception):
    """Something that can go wrong in ordinary use. Its text is one clear sentence: what is wrong, and where.

    The command line prints it and exits with `exit_code`; the web answers with `http_status`.
    """

    exit_code = 1
    http_status = 400
    may_try_again = False
    part: str | None = None  # of what was asked for in several parts, the one that it is about


class BadInput(ExpectedError):
    """What was given cannot be used: a file, an option, a field."""


class NotFound(ExpectedError):
    """A named thing does not exist."""

    http_status = 404


# Of names: two that look the same would be two names.
UNSEEN = "the name holds a full-width space or a sign that can't be seen; leave it out, or write a plain space"
