"""`retarget campaign check`, `layout` and `send-test`: what a campaign says, judged by LINE, built, and seen."""

import asyncio
import json
import uuid
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from campaigns.content.asking import Version, ask_line, versions_of
from campaigns.content.layouts import LAYOUTS, build_layout
from campaigns.content.message import compile_content
from campaigns.planning.schedule import campaign_by_id
from service.channels import channel_named
from service.cli.context import opened_database, print_json, settings_for_command
from service.cli.ids import CampaignId
from service.settings import Settings
from store.engine import reading
from store.errors import BadInput, ExpectedError
from store.models import Channel

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check")(check)
    app.command("layout")(layout)
    app.command("send-test")(send_test)


def check(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """Let LINE check all variants and languages of a campaign, filled in; nothing is sent. Exit code 1: some wrong."""
    from service.doors import line_door  # here, not above: it takes a second to import

    settings = settings_for_command()
    channel_name, versions = _opened(settings, campaign_id)
    verdicts = ask_line(versions, line_door(channel_named(settings, channel_name), settings))
    if as_json:
        print_json([vars(verdict) for verdict in verdicts])
    else:
        table = Table("step", "variant", "language", "LINE says")
        for v in verdicts:
            table.add_row(str(v.step_number), v.variant, v.language or "", v.problem or "fine")
        Console().print(table)
    if any(verdict.problem for verdict in verdicts):
        raise typer.Exit(1)


def layout(
    name: Annotated[str, typer.Argument(help=f"Which: {', '.join(LAYOUTS)}.")],
    field: Annotated[
        list[str] | None, typer.Option(help="name=value; repeat it, also for the items of a list.")
    ] = None,
) -> None:
    """Print a Flex message made from a common layout, as JSON for `campaign create --messages`."""
    fields: dict[str, Any] = {}
    for words in field or []:
        key, sign, value = words.partition("=")
        if not sign:
            raise BadInput(f"--field {words!r} must be name=value")
        model = LAYOUTS.get(name)
        is_list = model is not None and key in model.model_fields and "list" in str(model.model_fields[key].annotation)
        if is_list:
            fields.setdefault(key, []).append(value)
        else:
            fields[key] = value
    typer.echo(json.dumps([build_layout(name, fields)], ensure_ascii=False, indent=2))


def send_test(
    campaign_id: CampaignId,
    to: Annotated[str, typer.Option(help="The LINE user id to send to, such as your own.")],
    name: Annotated[str, typer.Option(help="What {{ name }} reads as.")] = "測試",
    step: Annotated[int, typer.Option(min=1, help="Which step of the campaign.")] = 1,
    variant: Annotated[str | None, typer.Option(help="Which variant; else the first.")] = None,
    language: Annotated[str | None, typer.Option(help="Which of its languages; else the plain one.")] = None,
) -> None:
    """Send a campaign's content to one LINE user now. It counts in the quota; links are not tracked."""
    settings = settings_for_command()
    channel_name, versions = _opened(settings, campaign_id)
    chosen = [
        v
        for v in versions
        if v.step_number == step and variant in (None, v.variant) and v.language == (language or None)
    ]
    if not chosen:
        there = ", ".join(f"{v.step_number} {v.variant} {v.language or ''}".strip() for v in versions)
        raise BadInput(f"the campaign has no such version; it has (step, variant, language): {there}")
    messages = compile_content(chosen[0].messages)({"name": name, "display_name": name}, lambda url: url)
    answer = asyncio.run(_push_once(settings, channel_name, to, messages))
    if answer.outcome != "accepted":
        raise ExpectedError(f"LINE did not take the test message: {answer.problem or answer.outcome}")
    typer.echo(f"sent to {to}; LINE's request id is {answer.request_id}")


def _opened(settings: Settings, campaign_id: int) -> tuple[str, list[Version]]:
    with opened_database(settings) as engine, reading(engine) as session:
        campaign = campaign_by_id(session, campaign_id)
        return session.get_one(Channel, campaign.channel_id).name, versions_of(session, campaign_id)


async def _push_once(settings: Settings, channel_name: str, to: str, messages: bytes) -> Any:
    from service.doors import bulk_door  # here, not above: it takes a second to import

    async with bulk_door(channel_named(settings, channel_name), settings) as door:
        return await door.push(to, messages, str(uuid.uuid4()))
