"""`retarget simulator`: the LINE look-alike by itself, for trying the service without a LINE account."""

import asyncio
import signal
from datetime import datetime, timedelta
from typing import Annotated

import click
import typer

from service.cli.context import settings_for_command
from service.settings import Settings
from simulator.channels import ChannelOptions
from simulator.faults import Fault, FaultKind
from simulator.platform import utc_now
from simulator.population import Action, ActionKind, Population
from simulator.server import Simulator, loop_factory, walk_young_objects_only
from store.errors import BadInput

FOLLOWS_PER_SECOND = 50


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulator")(run_simulator)


def run_simulator(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the control API asks for no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 4010,
    webhook_url: Annotated[
        str, typer.Option(help="Where webhooks go. Default: /webhook of the configured PUBLIC_BASE_URL.")
    ] = "",
    channel_secret: Annotated[str, typer.Option(help="Default: LINE_CHANNEL_SECRET, or the simulator's own.")] = "",
    access_token: Annotated[str, typer.Option(help="Default: LINE_CHANNEL_ACCESS_TOKEN, or the simulator's own.")] = "",
    people: Annotated[int, typer.Option(min=0, help="How many people follow the account from the start.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people and the same reactions.")] = 1,
    quota: Annotated[int | None, typer.Option(min=0, help="Messages a month; left out: no limit.")] = None,
    time_scale: Annotated[
        float, typer.Option(min=0.001, help="Seconds of the people's time in one second: 600 taps within seconds.")
    ] = 600.0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that every sending request takes.")] = 0.0,
) -> None:
    """Serve a LINE look-alike with people living in it, until Ctrl-C."""
    settings = settings_for_command()
    options = _channel_options(settings, channel_secret, access_token, quota)
    population = Population(seed, born=utc_now(), zone=settings.timezone)
    population.invent(people)
    simulator = Simulator(
        [options],
        population=population,
        webhook_url=webhook_url or f"{settings.public_base_url}/webhook",
        time_scale=time_scale,
        are_friends=False,
        has_ordinary_life=True,
        seed=seed,
    )
    simulator.life.add(_follows(population, utc_now()))
    if latency:
        simulator.faults.replace([Fault("*", FaultKind.LATENCY, seconds=latency)])
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(simulator, options, host, port))
    except OSError as error:
        raise BadInput(f"can't listen on {host}:{port}: {error.strerror or error}") from error


def _channel_options(settings: Settings, secret: str, access_token: str, quota: int | None) -> ChannelOptions:
    """The first configured channel, overruled by the command line; the simulator's own values where both are empty."""
    configured = settings.channels[0]
    own = ChannelOptions()
    return ChannelOptions(
        name=configured.name,
        secret=secret or configured.secret.get_secret_value() or own.secret,
        access_token=access_token or configured.access_token.get_secret_value() or own.access_token,
        quota=quota,
    )


def _follows(population: Population, start: datetime) -> list[Action]:
    """Everyone adds the account one after the other: LINE tells a service of its friends by these webhooks only."""
    return [
        Action(start + timedelta(seconds=2 + number / FOLLOWS_PER_SECOND), ActionKind.FOLLOW, who, person.customer_id)
        for number, (who, person) in enumerate(population.people.items())
    ]


async def _serve(simulator: Simulator, options: ChannelOptions, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def say_where(actual: int) -> None:
        click.echo(f"模擬 LINE 平台 · simulated LINE platform: http://{host}:{actual}")
        click.echo(f"事件送往 · webhooks go to: {simulator.platform.channels[0].webhook.url}")
        click.echo("請放入 .env · put into .env:")
        click.echo(f"  LINE_API_BASE=http://{host}:{actual}")
        click.echo(f"  LINE_CHANNEL_SECRET={options.secret}")
        click.echo(f"  LINE_CHANNEL_ACCESS_TOKEN={options.access_token}")

    walk_young_objects_only()
    await simulator.serve(host, port, say_where, stop)
