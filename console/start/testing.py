"""What LINE itself says of messages, how they look on one's own phone, and the coupons that they may show: asked over
the channel's door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select, update
from sqlmodel import Session

from campaigns.content.message import compile_content
from campaigns.sending.recipients import fields_of
from console.frame.line_doors import Coupon, LineDoors
from console.frame.once import retry_key
from console.frame.site import Site
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, Channel, ConsoleLine, Customer, LineAccount

Json = dict[str, Any]
NOT_BOUND = "請先在「開始使用」綁定您自己的 LINE，才能傳給自己試看。"
NOT_FOLLOWING = "您的 LINE 已經不是這個官方帳號的好友，收不到測試訊息。"

account, customer, own = table_of(LineAccount), table_of(Customer), table_of(ConsoleLine)


@dataclass(frozen=True)
class ChannelValidator:
    """The `Validator` of campaigns/content/asking.py over a channel's door."""

    door: LineDoors
    channel: str

    def validate(self, messages: list[Json]) -> None:
        """Raises an ExpectedError with LINE's words."""
        self.door.validate(self.channel, messages)


def validator_of(site: Site, channel_id: int) -> ChannelValidator:
    """Who lets LINE check messages; nothing is sent. Raises BadInput without a door to LINE."""
    return ChannelValidator(_door(site), _name_of(site, channel_id))


def coupons_of(site: Site, channel_id: int, *, most: int) -> list[Coupon]:
    """The channel's coupons on LINE that messages may show now. Raises BadInput, and ExpectedError as LINE says it."""
    return _door(site).coupons(_name_of(site, channel_id), most=most)


def send_to_oneself(
    site: Site, channel_id: int, user_id: int, messages: Sequence[Json], *, form_key: str, actor: str
) -> None:
    """Push messages to the person's own LINE account, filled in for them; it counts in the quota, its links aren't
    tracked. Pressed again, the form `form_key` (console/frame/once.py) sends the same messages no second time.
    Raises BadInput when there is no account or no key, and ExpectedError when LINE doesn't take them."""
    what = f"{channel_id} {user_id} {orjson.dumps(list(messages)).decode()}"
    key = retry_key(form_key, what, site.clock())
    with reading(site.engine) as session:
        to, fields = _oneself(session, channel_id, user_id)
    _door(site).send_test(_name_of(site, channel_id), to, _filled(messages, fields), str(key))
    with transaction(site.engine) as session:
        now, mine = site.clock(), (own.c.user_id == user_id, own.c.channel_id == channel_id)
        session.execute(update(ConsoleLine).where(*mine).values(tested_at=now))
        detail = {"user_id": user_id, "channel_id": channel_id, "messages": len(messages), "retry_key": str(key)}
        session.add(AuditEntry(at=now, actor=actor, action="send test message", detail=detail))


def _door(site: Site) -> LineDoors:
    if site.line is None:
        raise BadInput("this service has no door to LINE")
    return site.line


def _name_of(site: Site, channel_id: int) -> str:
    with reading(site.engine) as session:
        return session.get_one(Channel, channel_id).name


def _oneself(session: Session, channel_id: int, user_id: int) -> tuple[str, Mapping[str, Any]]:
    """(LINE's user id, what fields read as) of the person's own account."""
    columns = (
        *(account.c.line_user_id, account.c.display_name, account.c.is_following),
        *(customer.c.name, customer.c.gender, customer.c.city, customer.c.language),
        *(customer.c.member_id, customer.c.attributes),
    )
    found = session.execute(
        select(*columns)
        .join(own, own.c.line_account_id == account.c.id)
        .join(customer, customer.c.id == account.c.customer_id)
        .where(own.c.user_id == user_id, own.c.channel_id == channel_id)
    ).first()
    if found is None:
        raise BadInput(NOT_BOUND)
    if found.is_following is False:
        raise BadInput(NOT_FOLLOWING)
    return found.line_user_id, fields_of(found)


def _filled(messages: Sequence[Json], fields: Mapping[str, Any]) -> list[Json]:
    made: list[Json] = orjson.loads(compile_content(list(messages))(dict(fields), lambda url: url))
    return made
