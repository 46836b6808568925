"""What the editor's page of contents shows besides the draft's values: kinds, links, and how long each field is as LINE
counts it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlmodel import Session

from campaigns.content.counting import grapheme_length
from campaigns.content.flex import MAX_BUBBLE_BYTES, MAX_CAROUSEL_BYTES
from campaigns.content.layouts import LAYOUTS
from campaigns.content.message import MAX_MESSAGES, links_in
from console.campaigns.draft_content import MOST_LANGUAGES, MOST_VARIANTS, contents_of
from console.campaigns.draft_steps import content_of, later_steps
from console.campaigns.draft_values import NAMES
from console.campaigns.message_kinds import KINDS, QUICK_REPLIES, Field, Kind, all_fields, row_fields
from console.campaigns.message_parts import CARD, JSON, KINDS_IN_ORDER, is_list, messages_of, part_messages
from console.campaigns.shapes import ROWS
from console.frame.site import Site
from store.errors import BadInput, ExpectedError
from store.models import CampaignDraft

CARD_LIMITS = {"alt": Field("alt", "", 400), "button": Field("button", "", 40, grapheme_length)}


@dataclass(frozen=True)
class Length:
    """How long a field is, and may be; of JSON in bytes, else in characters, as LINE counts them."""

    length: int
    most: int
    is_bytes: bool = False


def what_facts(_session: Session, _site: Site, one: CampaignDraft, place: int) -> dict[str, Any]:
    """What edit_what.html needs."""
    variants, links = content_of(one.values, place)["variants"], {}
    for _, content in contents_of(variants):
        try:
            links.update({url: one.values["topics"].get(url, "") for url in links_in(messages_of(content))})
        except ExpectedError:
            continue  # told beside the preview
    return {
        "variants": variants,
        "steps_in_all": 1 + len(later_steps(one.values)),
        "links": links,
        "kinds": KINDS_IN_ORDER,
        "forms_of_kinds": KINDS,
        "quick": QUICK_REPLIES,
        "layouts": LAYOUTS,
        "names": NAMES,
        "is_list": is_list,
        "lengths": lengths_of(variants),
        "most": {"messages": MAX_MESSAGES, "variants": MOST_VARIANTS, "languages": MOST_LANGUAGES},
    }


def lengths_of(variants: list[dict[str, Any]]) -> dict[str, Length]:
    """Name of a field -> its length, of all fields that have a limit."""
    found: dict[str, Length] = {}
    for name, content in contents_of(variants):
        for m, part in enumerate(content["messages"]):
            found |= _of_part(f"{name}-m{m}-", part)
        found |= _of_form(f"{name}-q-", QUICK_REPLIES, {ROWS: content.get("replies", [])})
    return found


def _of_part(prefix: str, part: Mapping[str, Any]) -> dict[str, Length]:
    if part["kind"] == JSON:
        return _of_flex(prefix, dict(part))
    if part["kind"] == CARD:
        fields = part.get("fields", {})
        return dict(_of_fields(f"{prefix}field-", list(CARD_LIMITS.items()), fields))
    return _of_form(prefix, KINDS[part["kind"]], part)


def _of_form(prefix: str, kind: Kind, values: Mapping[str, Any]) -> dict[str, Length]:
    found = dict(_of_fields(prefix, list(all_fields(kind)), values))
    for r, row in enumerate(values.get(ROWS, []) if kind.rows else []):
        assert kind.rows is not None
        found |= dict(_of_fields(f"{prefix}r{r}-", list(row_fields(kind.rows)), row))
    return found


def _of_fields(prefix: str, fields: list[tuple[str, Field]], values: Mapping[str, Any]) -> Iterator[tuple[str, Length]]:
    for name, field in fields:
        slot = name.removesuffix(field.name)
        beside = {key.removeprefix(slot): value for key, value in values.items() if key.startswith(slot)}
        if (most := field.limit(beside)) is not None:
            yield prefix + name, Length(field.count(values.get(name, "")), most)


def _of_flex(prefix: str, part: dict[str, Any]) -> dict[str, Length]:
    """Of Flex the bytes count; of other JSON its texts do, which the check tells."""
    try:
        messages = part_messages(part)
    except BadInput:
        return {}
    contents = [one["contents"] for one in messages if isinstance(one, dict) and isinstance(one.get("contents"), dict)]
    if len(messages) != 1 or not contents:
        return {}
    most = MAX_CAROUSEL_BYTES if contents[0].get("type") == "carousel" else MAX_BUBBLE_BYTES
    try:
        return {f"{prefix}json": Length(len(orjson.dumps(contents[0])), most, is_bytes=True)}
    except TypeError:  # half a character, or too large a number: the check says so
        return {}
