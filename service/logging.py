"""How the service logs: event name plus ids, as lines for people or as JSON. Never people's words, tokens or bodies."""

import logging
import sys

import structlog


def set_up_logging(level: str = "INFO", *, as_json: bool = False) -> None:
    """Send structlog and the standard library's loggers to standard error, from `level` up."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the default shows local variables: words, tokens
        )
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer] if as_json else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever it is when a line is written
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(getattr(logging, level), logging.WARNING), stream=sys.stderr, force=True)
