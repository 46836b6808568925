"""The model that writes copy, where the settings name one."""

from keywords.copy.writer import Writer
from service.settings import Settings


def writer_of(settings: Settings) -> Writer | None:
    """The writer behind COPY_MODEL_URL; None without one."""
    if not settings.copy_model_url:
        return None
    key = settings.copy_model_key.get_secret_value()
    return Writer(settings.copy_model_url, settings.copy_model_name, key, settings.copy_model_timeout_seconds)
