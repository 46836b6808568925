"""Doors to LINE for the channels of the settings. Apart from `channels.py` because the SDK takes a second to import."""

from sqlalchemy import Engine

from bot.line import BulkDoor, LineDoor
from bot.line.audiences import NarrowcastDoor
from bot.line.insight import InsightDoor
from service.channels import channel_ids
from service.settings import ChannelSettings, Settings


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


def narrowcast_doors(engine: Engine, settings: Settings) -> dict[int, NarrowcastDoor]:
    """Channel id -> door for narrowcasts, for every channel that has an access token."""
    ids = channel_ids(engine, settings)
    return {
        ids[channel.name]: NarrowcastDoor(
            api_base=settings.line_api_base,
            access_token=channel.access_token.get_secret_value(),
            timeout_seconds=settings.line_timeout_seconds,
        )
        for channel in settings.channels
        if channel.access_token.get_secret_value()
    }


def insight_doors(engine: Engine, settings: Settings) -> dict[int, InsightDoor]:
    """Channel id -> door for LINE's own figures, for every channel that has an access token."""
    ids = channel_ids(engine, settings)
    return {
        ids[channel.name]: InsightDoor(
            api_base=settings.line_api_base,
            access_token=channel.access_token.get_secret_value(),
            timeout_seconds=settings.line_timeout_seconds,
        )
        for channel in settings.channels
        if channel.access_token.get_secret_value()
    }


def bulk_door(channel: ChannelSettings, settings: Settings) -> BulkDoor:
    """The door for messages by the thousand; make it inside the loop that uses it."""
    return BulkDoor(
        api_base=settings.line_api_base,
        access_token=channel.access_token.get_secret_value(),
        timeout_seconds=settings.line_timeout_seconds,
        connections=settings.send_connections,
    )
