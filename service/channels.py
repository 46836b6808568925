"""Settings' channels joined to their rows, and to doors to LINE."""

from sqlalchemy import Engine, select

from bot.line import BulkDoor, LineDoor
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


def line_door(channel: ChannelSettings, settings: Settings) -> LineDoor:
    """The door for single calls. Raises LineError when the channel has no access token."""
    return LineDoor(
        api_base=settings.line_api_base,
        access_token=channel.access_token.get_secret_value(),
        timeout_seconds=settings.line_timeout_seconds,
    )


def line_doors(engine: Engine, settings: Settings) -> dict[int, LineDoor]:
    """Channel id -> door, for every channel that has an access token."""
    ids = channel_ids(engine, settings)
    return {ids[c.name]: line_door(c, settings) for c in settings.channels if c.access_token.get_secret_value()}


def bulk_door(channel: ChannelSettings, settings: Settings) -> BulkDoor:
    """The door for messages by the thousand; make it inside the loop that uses it."""
    return BulkDoor(
        api_base=settings.line_api_base,
        access_token=channel.access_token.get_secret_value(),
        timeout_seconds=settings.line_timeout_seconds,
        connections=settings.send_connections,
    )
