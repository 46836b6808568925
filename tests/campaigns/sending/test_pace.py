"""The pacer: permits of all workers together, and what is never exceeded."""

import asyncio
import time
from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import Engine

from campaigns.sending.pace import Granted, Pacer, _Arrivals, hold_back, lease
from store.engine import transaction
from tests.factories import make_channel

NOW = 1_800_000_000_000_000


@pytest.fixture
def channel_id(engine: Engine) -> int:
    with transaction(engine) as session:
        return make_channel(session).id or 0


def test_leases_follow_each_other_without_gap_or_overlap(engine: Engine, channel_id: int) -> None:
    granted = [lease(engine, channel_id, "push", count=5, per_second=100, at_us=NOW) for _ in range(3)]
    assert granted == [(5, NOW, 0), (5, NOW + 50_000, NOW + 50_000), (5, NOW + 100_000, NOW + 100_000)]


def test_time_that_nobody_used_is_not_saved_up(engine: Engine, channel_id: int) -> None:
    lease(engine, channel_id, "push", count=5, per_second=100, at_us=NOW)
    later = NOW + 60_000_000
    assert lease(engine, channel_id, "push", count=5, per_second=100, at_us=later) == (5, later, NOW + 50_000)
    assert lease(engine, channel_id, "push", count=1, per_second=100, at_us=later).first_us == later + 50_000


def test_endpoints_and_channels_are_paced_apart(engine: Engine, channel_id: int) -> None:
    with transaction(engine) as session:
        other = make_channel(session).id or 0
    lease(engine, channel_id, "push", count=100, per_second=1, at_us=NOW)
    assert lease(engine, channel_id, "multicast", count=1, per_second=1, at_us=NOW).first_us == NOW
    assert lease(engine, other, "push", count=1, per_second=1, at_us=NOW).first_us == NOW


def test_too_fast_holds_everyone_back_and_never_shortens_a_wait(engine: Engine, channel_id: int) -> None:
    lease(engine, channel_id, "push", count=1, per_second=100, at_us=NOW)
    hold_back(engine, channel_id, "push", seconds=2, at_us=NOW)
    hold_back(engine, channel_id, "push", seconds=1, at_us=NOW)
    assert lease(engine, channel_id, "push", count=1, per_second=100, at_us=NOW).first_us == NOW + 2_000_000


def test_permits_too_old_are_void_so_that_nobody_catches_up_in_a_burst(engine: Engine, channel_id: int) -> None:
    now = NOW

    async def work() -> float:
        nonlocal now
        pacer = Pacer(engine, channel_id, "push", 100, clock_us=lambda: now)
        pacer.answered(await pacer.permit())  # the rest of the lease is for soon; then it stalls for a minute
        now += 60_000_000
        begun = time.monotonic()
        pacer.answered(await pacer.permit())
        return time.monotonic() - begun

    assert asyncio.run(work()) < 30
    anew = lease(engine, channel_id, "push", count=1, per_second=100, at_us=NOW)
    assert anew.first_us == NOW + 60_250_000


def test_calls_that_stalled_on_the_way_count_for_the_second_in_which_line_may_have_counted_them() -> None:
    arrivals, now = _Arrivals(), NOW
    arrivals.lease(Granted(400, NOW, 0), 10_000)  # 100 a second
    for _ in range(100):
        assert arrivals.has_room(now)
        begun = arrivals.begin(now)
        arrivals.end(begun, now + 5_000)
        now += 10_000
    stuck = []
    for _ in range(40):  # LINE answers nothing for 0.4 s: they may all be counted at once, at the end of it
        assert arrivals.has_room(now)
        stuck.append(arrivals.begin(now))
        now += 10_000
    for begun in stuck:
        arrivals.end(begun, now)
    later = 0
    while arrivals.has_room(now) and later < 200:  # now each is answered at once
        arrivals.end(arrivals.begin(now), now + 5_000)
        now += 10_000
        later += 1
    assert 40 + later <= 102, "more than the second's permits, with 1.4 % on top, could be counted in one second"
    assert later >= 60
    assert arrivals.has_room(now + 1_000_000)


def test_latency_that_stays_the_same_costs_nothing() -> None:
    arrivals = _Arrivals()
    under_way: list[int] = []
    arrivals.lease(Granted(400, NOW, 0), 10_000)
    for n in range(400):
        now = NOW + n * 10_000
        while under_way and under_way[0] <= now - 300_000:
            arrivals.end(under_way.pop(0), now)
        assert arrivals.has_room(now)
        under_way.append(arrivals.begin(now))


def test_how_quick_the_way_can_be_is_not_forgotten_over_some_busy_seconds() -> None:
    arrivals = _Arrivals()
    arrivals.end(arrivals.begin(NOW), NOW + 100_000)
    for _ in range(11_000):
        arrivals.end(arrivals.begin(NOW), NOW + 130_000)
    then = NOW + 5_000_000
    arrivals.lease(Granted(1_000, then - 2_000_000, 0), 10_000)  # 100 a second
    while arrivals.has_room(then):
        arrivals.end(arrivals.begin(then - 130_000), then)
    assert not arrivals.has_room(then + 880_000), "with a way of 130 ms they would lie before the second"
    assert arrivals.has_room(then + 905_000)


def test_beside_others_a_worker_leaves_free_what_it_has_on_top_alone() -> None:
    shared, alone, late = _Arrivals(), _Arrivals(), _Arrivals()
    for number in range(10):
        begins = NOW + number * 200_000
        shared.lease(Granted(10, begins, begins), 10_000)  # each second tenth is another's
        late.lease(Granted(10, begins, begins - 100_000 if number else 0), 10_000)  # or nobody's: it asked too late
        alone.lease(Granted(20, begins, begins if number else 0), 10_000)
    for arrivals, allowed in ((shared, 48), (late, 51), (alone, 102)):
        assert _room(arrivals, NOW + 1_900_000) == allowed


def _room(arrivals: _Arrivals, at_us: int) -> int:
    """How many calls may begin at that moment."""
    begun = 0
    while arrivals.has_room(at_us):
        arrivals.begin(at_us)
        begun += 1
    return begun


@pytest.mark.parametrize(
    ("taken_up_to", "at_first", "later"),
    [(NOW, 1, 48), (NOW - 1_000_000, 51, 48)],
    ids=["beside another", "where nobody was before"],
)
def test_a_worker_that_begins_beside_another_waits_until_whoever_had_its_share_is_surely_answered(
    taken_up_to: int, at_first: int, later: int
) -> None:
    arrivals = _Arrivals()
    arrivals.lease(Granted(50, NOW, taken_up_to), 10_000)
    assert _room(arrivals, NOW + 500_000) == at_first
    arrivals = _Arrivals()
    arrivals.lease(Granted(50, NOW, taken_up_to), 10_000)
    arrivals.lease(Granted(50, NOW + 1_000_000, NOW + 1_000_000), 10_000)
    assert _room(arrivals, NOW + 1_500_000) == later


def test_where_nobody_was_before_a_share_may_be_used_at_once() -> None:
    arrivals = _Arrivals()
    arrivals.lease(Granted(25, NOW, NOW - 5_000_000), 10_000)
    arrivals.lease(Granted(25, NOW + 500_000, NOW + 500_000), 10_000)  # another has come
    assert _room(arrivals, NOW + 750_000) == 48


def test_several_workers_together_stay_below_lines_rate_in_every_window(
    engine: Engine, channel_id: int, in_threads: Callable[..., None]
) -> None:
    rate, seconds = 394.0, 1.6  # 98.5 % of 400, as the settings pace 98.5 % of LINE's rates
    calls: list[int] = []
    begun = time.monotonic()

    def is_over() -> bool:
        took = time.monotonic() - begun
        return took > (seconds if len(calls) >= 100 else 60)  # where little else runs, there are 500 by then

    async def work() -> None:
        pacer = Pacer(engine, channel_id, "push", rate)
        while not is_over():
            pacer.answered(await pacer.permit())
            calls.append(time.monotonic_ns())

    in_threads(*[lambda: asyncio.run(work())] * 3)
    times = np.sort(np.array(calls))
    window = np.searchsorted(times, times + 1_000_000_000) - np.arange(len(times))
    assert window.max() <= 400
    assert len(times) >= 100  # it does pace, not block


def test_what_a_dead_worker_had_under_way_stays_within_the_rate() -> None:
    """Two workers share 100 calls a second, LINE takes none of the one's for half a second, it is killed, and LINE then
    takes them all at once. Nobody alive knows of them: its share is taken up a second later."""
    dead, alive, step = _Arrivals(), _Arrivals(), 10_000
    counted: list[int] = []  # when LINE counts a call of the living: at once
    dies_at, stuck, now = NOW + 1_500_000, 0, NOW
    for number in range(40):  # leases of a tenth of a second, in turns until one dies
        whose = dead if number % 2 and now < dies_at else alive
        whose.lease(Granted(10, now, now), step)
        for _ in range(10):
            if whose.has_room(now):
                begun = whose.begin(now)
                if whose is dead and now >= dies_at - 500_000:
                    stuck += 1
                else:
                    whose.end(begun, now + 1_000)
                    counted.append(now)
            now += step
    assert 18 <= stuck <= 30
    times = np.sort(np.array(counted))
    window = np.searchsorted(times, times + 1_000_000) - np.arange(len(times))
    assert window.max() <= 102
    for late_by in range(0, 1_000_000, 50_000):
        inside = (times > dies_at + late_by - 1_000_000) & (times <= dies_at + late_by)
        assert int(inside.sum()) + stuck <= 102
    assert 40 <= int(((times >= dies_at) & (times < dies_at + 1_000_000)).sum()) <= 50
    assert int(((times >= dies_at + 2_000_000) & (times < now)).sum()) >= 45  # and then the whole rate


def test_after_too_fast_a_worker_that_is_alone_goes_on_as_before(engine: Engine, channel_id: int) -> None:
    now, step = NOW, 2_538  # 394 a second is no whole number of microseconds

    async def work() -> None:
        nonlocal now
        pacer = Pacer(engine, channel_id, "push", 394, clock_us=lambda: now)
        async with asyncio.timeout(30):  # a permit that has to wait waits for ever, as time stands still
            for _ in range(3):
                for _ in range(800):
                    now += step
                    pacer.answered(await pacer.permit())
                await pacer.too_fast(1.0)
                now += 1_000_000

    asyncio.run(work())


def test_told_so_of_many_calls_at_once_it_waits_once(engine: Engine, channel_id: int) -> None:
    async def work() -> float:
        pacer = Pacer(engine, channel_id, "push", 100)
        pacer.answered(await pacer.permit())
        begun = time.monotonic()
        # Each waits behind a permit, which waits as LINE asked
        await asyncio.gather(*(step for _ in range(6) for step in (pacer.too_fast(1.0), pacer.permit())))
        return time.monotonic() - begun

    assert 1.0 <= asyncio.run(work()) < 5


class _Worker:
    """Takes the permits of a row as a pacer does, in a time that the test moves on."""

    def __init__(self, engine: Engine, channel_id: int) -> None:
        self.whose = (engine, channel_id, "push")
        self.arrivals = _Arrivals()
        self.permits: list[int] = []

    def calls(self, now_us: int) -> bool:
        """Whether it begins a call at that moment."""
        if not self.permits:
            granted = lease(*self.whose, count=5, per_second=100, at_us=now_us)
            self.arrivals.lease(granted, 10_000)
            self.permits = [granted.first_us + n * 10_000 for n in range(granted.permits)]
        if self.permits[0] > now_us:
            return False
        self.permits.pop(0)
        return self.arrivals.has_room(now_us)

    def is_told(self, now_us: int) -> None:
        self.permits = []
        self.arrivals.lease(hold_back(*self.whose, seconds=1, at_us=now_us), 10_000)


@pytest.mark.parametrize("other", ["none", "goes on", "dies"])
def test_lines_rate_holds_after_too_fast_whatever_the_other_worker_does(
    engine: Engine, channel_id: int, other: str
) -> None:
    """100 calls a second. LINE answers none of the other's last half second before it dies, and counts them later."""
    told, beside = _Worker(engine, channel_id), _Worker(engine, channel_id)
    at, counted, stuck = NOW + 2_000_000, list[int](), 0
    for now in range(NOW, NOW + 5_000_000, 5_000):
        if now == at:
            told.is_told(now)
        for worker in (told, beside):
            is_gone = worker is beside and (other == "none" or (other == "dies" and now >= at))
            if is_gone or not worker.calls(now):
                continue
            begun = worker.arrivals.begin(now)
            if worker is beside and other == "dies" and now >= at - 500_000:
                stuck += 1
            else:
                worker.arrivals.end(begun, now + 1_000)
                counted.append(now)
    times = np.array(counted)
    assert (np.searchsorted(times, times + 1_000_000) - np.arange(len(times))).max() <= 102
    for late_by in range(0, 1_000_000, 50_000):
        inside = (times > at + late_by - 1_000_000) & (times <= at + late_by)
        assert int(inside.sum()) + stuck <= 102
    assert (stuck > 0) == (other == "dies")
    quarters = [int(((times >= at + n * 250_000) & (times < at + (n + 1) * 250_000)).sum()) for n in range(12)]
    assert sum(quarters[:4]) <= 10  # what the other had in hand
    assert sum(quarters[10:]) >= 45  # whoever wasn't told takes the wait for another's time: its share grows later
    if other == "none":
        assert min(quarters[4:]) >= 24
