"""Two or three gateways, a log and workers that fail anywhere: one answer for each key, and numbers without a gap."""

import random
import threading

import pytest

from genescale.clock import SystemClock
from genescale.errors import LogUnavailable
from genescale.events.sqlite import SqliteLog, SqliteSettings
from genescale.events.topics import TOPICS
from genescale.gateway.submitting import CID_CONFLICT, Taken, single
from support.gateway_rooms import ANALYST


class FailingLog:
    """Appends that are refused, or that succeed and are never heard of."""

    def __init__(self, log, draw):
        self.log, self.draw = log, draw

    def __getattr__(self, name):
        return getattr(self.log, name)

    def append(self, records, fence=None):
        fate = self.draw.random()
        if fate < 0.15:
            raise LogUnavailable("refused")
        future = self.log.append(records, fence)
        if fate < 0.3:
            future.result()
            raise LogUnavailable("lost")
        return future


class World:
    """Three gateways on sound ground, and what may happen to them."""

    def __init__(self, rooms, seed):
        self.rooms, self.draw = rooms, random.Random(seed)
        self.sides = [rooms.side(f"g{n}") for n in range(3)]
        self.sessions = [self.sides[0].index.open("ana", "p1", "h").session for _ in range(3)]
        self.ids = {}

    def submit(self):
        session, cid = self.draw.choice(self.sessions), f"c{self.draw.randrange(25)}"
        side = self.draw.choice(self.sides)
        side.submitting._log = FailingLog(self.rooms.log, self.draw)
        item = self.rooms.admitted(cid, session, priority=6 if self.draw.random() < 0.1 else 5)
        try:
            answer = side.submitting.submit([single(item)])[0]
        except LogUnavailable:
            return
        if answer != CID_CONFLICT:
            assert isinstance(answer, Taken)
            assert self.ids.setdefault((session, cid), answer.group_id) == answer.group_id

    def requested(self):
        return [event.subject for event in self.rooms.on_topic("genetic-data-raw")]

    def work(self):
        for identity in self.draw.sample(self.requested(), k=min(1, len(self.requested()))):
            self.rooms.answer(identity, identity=f"w{self.draw.randrange(3)}")

    def deliver(self):
        self.draw.choice(self.sides).delivery.step()

    def cancel(self):
        for identity in self.draw.sample(sorted(self.ids.values()), k=min(1, len(self.ids))):
            self.draw.choice(self.sides).results.cancel(ANALYST, identity)

    def restart(self):
        number = self.draw.randrange(3)
        self.sides[number] = self.rooms.side(f"g{number}")

    def quiet(self):
        for identity in self.requested():
            self.rooms.answer(identity)
        for side in self.sides:
            side.deliver()


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_faults_leaves_one_answer_for_each_key(rooms, seed):
    world = World(rooms, seed)
    for _ in range(400):
        happens = (world.submit, world.work, world.deliver, world.cancel, world.restart)
        world.draw.choices(happens, (8, 6, 6, 1, 1))[0]()
    world.quiet()
    accepted = set(world.ids.values())
    assert len(accepted) > 20
    assert accepted <= set(world.requested())  # what was accepted is on the log
    heard = []
    for session in world.sessions:
        frames = world.sides[0].index.frames(session, 0, 1_000)
        assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
        heard += [frame.analysis_id for frame in frames]
    assert len(heard) == len(set(heard))
    assert accepted <= set(heard)


def test_gateways_that_run_at_once_on_the_real_log_number_everything_once(rooms, tmp_path):
    clock = SystemClock()
    rooms.log = SqliteLog(tmp_path / "log", SqliteSettings(), clock)
    rooms.stack.callback(rooms.log.close)
    rooms.log.create_topics(TOPICS)
    sides = [rooms.side(f"g{n}") for n in range(2)]
    session = sides[0].index.open("ana", "p1", "h").session
    for side in sides:
        side.held.add(session)
    stop = threading.Event()
    threads = [threading.Thread(target=side.delivery.run, args=(stop,)) for side in sides]
    for thread in threads:
        thread.start()
    try:
        for first in range(0, 200, 20):
            side = sides[(first // 20) % 2]
            items = [single(rooms.admitted(f"c{n}", session)) for n in range(first, first + 20)]
            for answer in side.submitting.submit(items):
                rooms.answer(answer.group_id, session=session)
                if first % 3 == 0:
                    rooms.answer(answer.group_id, session=session, identity="again")
        wait = threading.Event()
        for _ in range(200):
            if all(side.told.get(session) == 200 for side in sides):
                break
            wait.wait(0.05)
    finally:
        stop.set()
        for side in sides:
            side.delivery.wake()
        for thread in threads:
            thread.join()
    frames = sides[0].index.frames(session, 0, 1_000)
    assert [frame.seq for frame in frames] == list(range(1, 201))
    assert len({frame.analysis_id for frame in frames}) == 200
    assert sides[0].told[session] == sides[1].told[session] == 200
