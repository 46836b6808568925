"""Settings' channels joined to their rows."""

from sqlalchemy import Engine, select

from bot.webhook import ChannelKeys
from service.settings import ChannelSettings, Settings
from store.engine import insert_for, table_of, transaction
from store.errors import BadInput
from store.models import Channel


def channel_ids(engine: Engine, settings: Settings) -> dict[str, int]:
    """Name -> id of every channel of the settings; a new one gets its row here."""
    channel = table_of(Channel)
    names = [c.name for c in settings.channels]
    with transaction(engine) as session:
        for name in names:
            session.execute(insert_for(session, Channel).values(name=name).on_conflict_do_nothing())
        found = session.execute(select(channel.c.name, channel.c.id).where(channel.c.name.in_(names))).all()
        return {row.name: row.id for row in found}


def webhook_keys(engine: Engine, settings: Settings) -> dict[str, ChannelKeys]:
    """What the webhook needs of each channel: its id and the secrets that a signature may be made with."""
    ids = channel_ids(engine, settings)
    return {c.name: ChannelKeys(channel_id=ids[c.name], secrets=c.secrets) for c in settings.channels}


def channel_named(settings: Settings, name: str | None) -> ChannelSettings:
    """The channel of that name, or the only one. Raises BadInput when there is none or the choice is open."""
    if name is None and len(settings.channels) == 1:
        return settings.channels[0]
    for channel in settings.channels:
        if channel.name == name:
            return channel
    known = ", ".join(c.name for c in settings.channels)
    raise BadInput(f"say which channel with --channel; there are: {known}" if name is None else f"no channel {name!r}")
