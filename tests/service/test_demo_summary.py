"""The demo's proof of "nobody twice" must be able to say otherwise."""

import uuid

from service.demo.summary import sent_twice
from simulator.channels import Friend
from simulator.platform import Platform
from tests.conftest import StillClock

AMY, BEN = f"U{1:032x}", f"U{2:032x}"


def test_the_same_content_under_another_key_is_counted_as_sent_twice(clock: StillClock) -> None:
    platform = Platform(clock=clock)
    platform.add_friends([Friend(AMY, "Amy"), Friend(BEN, "Ben")])
    channel = platform.channels[0]

    def push(to: str, text: str) -> None:
        body = {"to": to, "messages": [{"type": "text", "text": text}]}
        platform.send(channel, "push", body, str(uuid.uuid4()), uuid.uuid4().hex)

    push(AMY, "一")
    push(AMY, "二")
    push(BEN, "一")
    assert sent_twice(channel.ledger.entries) == 0
    push(AMY, "一")
    push(AMY, "一")
    assert sent_twice(channel.ledger.entries) == 2
