"""The platform's state without HTTP: buckets in time, several channels, several threads."""

import threading
import uuid

import pytest

from simulator.channels import ChannelOptions, Friend
from simulator.platform import Platform
from simulator.rates import LINE_RATES, Meter, Rate
from simulator.refusals import Refusal
from tests.conftest import StillClock
from tests.simulator.conftest import AMY, BEN, text_to


class Seconds:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(meter: Meter, tries: int) -> int:
    return sum(meter.take() for _ in range(tries))


def test_a_bucket_holds_its_rate_and_refills_with_time() -> None:
    seconds = Seconds()
    meter = Meter(Rate(200, 1.0), seconds)
    assert taken(meter, 300) == 200
    seconds.now += 0.25
    assert taken(meter, 300) == 50
    seconds.now += 60
    assert taken(meter, 300) == 200  # no more than full, however long the rest
    assert (meter.accepted, meter.refused) == (450, 450)


def test_a_small_bucket_lets_only_its_burst_through() -> None:
    seconds = Seconds()
    meter = Meter(Rate(200, 1.0, burst=10), seconds)
    assert taken(meter, 50) == 10
    seconds.now += 0.0625  # worth 12.5, of which the bucket holds 10
    assert taken(meter, 50) == 10


def test_hourly_limits_refill_by_the_hour() -> None:
    seconds = Seconds()
    meter = Meter(LINE_RATES["narrowcast"], seconds)
    assert taken(meter, 61) == 60
    seconds.now += 59
    assert taken(meter, 1) == 0
    seconds.now += 1
    assert taken(meter, 2) == 1


def test_the_busiest_second_is_remembered_wherever_it_begins() -> None:
    seconds = Seconds()
    meter = Meter(Rate(1000, 1.0), seconds)
    for at, count in ((0.0, 3), (0.6, 5), (1.0, 4), (1.5, 1), (9.0, 2)):
        seconds.now = 1000.0 + at
        taken(meter, count)
    assert meter.peak_in_one_second == 10  # from 0.6 to 1.5; what came at 0.0 is a whole second before 1.0


def test_lines_own_rates_are_in_force_unless_replaced() -> None:
    seconds = Seconds()
    channel = Platform([ChannelOptions(rates={"push": Rate(7, 1.0)})], monotonic=seconds).channels[0]
    assert taken(channel.meter("push"), 10) == 7
    assert taken(channel.meter("multicast"), 500) == 200
    assert taken(channel.meter("reply"), 3000) == 2000


def test_two_channels_share_nothing_but_the_server(clock: StillClock) -> None:
    options = [
        ChannelOptions(name="one", access_token="first", quota=1),
        ChannelOptions(name="two", access_token="second", quota=1),
    ]
    platform = Platform(options, clock=clock)
    one, two = (platform.channel_of(f"Bearer {token}") for token in ("first", "second"))
    for channel in (one, two):
        platform.add_friends([Friend(AMY, "愛咪")], channel=channel)
    key = str(uuid.uuid4())
    platform.send(one, "push", text_to(AMY), key, "r1")
    platform.send(two, "push", text_to(AMY), key, "r2")  # retry keys and quotas are each channel's own
    platform.set_following(AMY, False, channel=one)
    assert platform.profile(two, AMY)["displayName"] == "愛咪"
    with pytest.raises(Refusal) as refusal:
        platform.profile(one, AMY)
    assert refusal.value.status == 404
    assert platform.channel_named("two") is two


def test_one_retry_key_from_many_threads_is_accepted_once(clock: StillClock) -> None:
    platform = Platform(clock=clock)
    platform.add_friends([Friend(AMY, "愛咪"), Friend(BEN, "阿班")])
    channel, key = platform.channels[0], str(uuid.uuid4())
    start = threading.Barrier(16)
    statuses: list[int] = []

    def send(number: int) -> None:
        start.wait()
        try:
            platform.send(channel, "push", text_to(AMY), key, str(number))
            statuses.append(200)
        except Refusal as refusal:
            statuses.append(refusal.status)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 15
    assert channel.used(clock()) == 1


def test_whoever_listens_is_told_of_deliveries_only(clock: StillClock) -> None:
    told: list[tuple[str, ...]] = []
    platform = Platform(clock=clock, on_delivered=lambda _, accepted: told.append(accepted.delivered))
    platform.add_friends([Friend(AMY, "愛咪"), Friend(BEN, "阿班", is_following=False)])
    for who in (AMY, BEN):
        platform.send(platform.channels[0], "push", text_to(who), None, who)
    assert told == [(AMY,)]
