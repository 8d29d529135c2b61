"""Replay: from where, in which group, and without a word to the world."""

from collections.abc import Sequence

import pytest

from genescale.clock import ManualClock
from genescale.errors import Permanent
from genescale.events import envelope
from genescale.events.envelope import Event
from genescale.events.log import NewRecord, Position, TopicPartition, TopicSpec, append_now
from genescale.events.loop_data import Failure
from genescale.events.memory import MemoryLog
from genescale.events.replay import (
    Plan,
    as_replay,
    from_event,
    from_offset,
    from_start,
    from_time,
    group_name,
    is_replay,
    prepare,
)
from genescale.events.runner import LoopSettings, Runner, Subscription
from genescale.events.scan import scan
from genescale.events.topics import DEAD_LETTERS, LOOP_STATE, RESULTS

LANE = "genetic-data-raw"


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        names = (LANE, RESULTS, DEAD_LETTERS, LOOP_STATE)
        self.log.create_topics([TopicSpec(name=name, partitions=2) for name in names])
        self.seen: list[Event] = []
        self.pushed: list[str] = []
        for index in range(6):
            event = Event(id=f"e{index}", source="/g", type="genetic.analysis.request", subject=f"a{index}", data=b"{}")
            record = envelope.to_record(event, LANE, partition=index % 2)
            append_now(self.log, [record])
            self.clock.advance(1)

    def handle(self, events: Sequence[Event], deps: None) -> list[Event]:
        self.seen += events
        self.pushed += [event.id for event in events if not is_replay(event)]
        if any(event.id == "e3" for event in events):
            raise Permanent("e3 is bad")
        return [
            Event(id=envelope.derive_id(event.id, "r"), source="/w", type="t", subject=event.subject)
            for event in events
        ]

    def failed(self, event: Event, failure: Failure, deps: None) -> list[Event]:
        return [Event(id=envelope.derive_id(event.id, "r"), source="/w", type="failed")]

    def subscription(self) -> Subscription[None]:
        return Subscription(
            group="vep-service-group",
            topics=(LANE,),
            outputs=(RESULTS,),
            handle=self.handle,
            failed=self.failed,
            route=lambda event: RESULTS,
            deps=None,
            wake_when_drained=True,
        )

    def run(self, subscription: Subscription[None]) -> None:
        runner = Runner(self.log, subscription, LoopSettings(), self.clock, version="t", seed=1)
        for _ in range(6):
            runner.step(0.1)
        runner.stop()
        runner.close()

    def ids(self, topic: str) -> list[str]:
        return [envelope.from_record(record).id for record in scan(self.log, [topic])]


@pytest.fixture
def world() -> World:
    return World()


def offsets(plan: Plan) -> list[int]:
    return [plan.positions[TopicPartition(LANE, number)] for number in (0, 1)]


def test_from_the_start_a_time_an_offset_and_an_event(world: World) -> None:
    assert offsets(from_start(world.log, [LANE], "a")) == [0, 0]
    third = next(record for record in scan(world.log, [LANE]) if dict(record.headers)["ce_id"] == b"e3")
    assert offsets(from_time(world.log, [LANE], "a", third.timestamp_ms)) == [2, 1]
    assert offsets(from_event(world.log, [LANE], "a", "e3")) == [2, 1]
    by_offset = from_offset(world.log, "a", Position(LANE, 1, 1))
    assert offsets(by_offset) == [3, 1]
    assert by_offset.records == 2
    assert from_start(world.log, [LANE], "a").records == 6


def test_a_place_that_is_not_there_is_said(world: World) -> None:
    with pytest.raises(Permanent, match="no event 'e9' on genetic-data-raw"):
        from_event(world.log, [LANE], "a", "e9")
    with pytest.raises(Permanent, match="holds the offsets 0 to 2"):
        from_offset(world.log, "a", Position(LANE, 1, 9))
    with pytest.raises(Permanent, match="partitions 0 to 1, and no 5"):
        from_offset(world.log, "a", Position(LANE, 5, 0))


def test_an_event_in_structured_mode_is_found(world: World) -> None:
    event = Event(id="structured", source="/g", type="t")
    header = (("content-type", b"application/cloudevents+json"),)
    append_now(world.log, [NewRecord(LANE, None, envelope.to_json(event), header, partition=1)])
    append_now(world.log, [NewRecord(LANE, None, b"junk", header, partition=0)])
    assert offsets(from_event(world.log, [LANE], "a", "structured")) == [3, 3]


@pytest.mark.parametrize("name", ["", "a/b", "ä", "a b", "x" * 201])
def test_a_name_that_no_log_takes_is_refused(name: str) -> None:
    with pytest.raises(Permanent, match="cannot name a replay"):
        group_name(name)


def test_the_group_says_that_it_is_a_replay() -> None:
    assert group_name("june") == group_name("replay-june") == group_name("redeliver-june") == "replay-june"
    assert group_name("june", deliver=True) == group_name("replay-june", deliver=True) == "redeliver-june"


def test_a_working_group_cannot_be_taken_for_a_replay(world: World) -> None:
    with pytest.raises(Permanent, match="is no replay group"):
        as_replay(world.subscription(), "vep-service-group")


def test_replay_has_no_side_effects(world: World) -> None:
    prepare(world.log, from_event(world.log, [LANE], "replay-june", "e2"))
    world.run(as_replay(world.subscription(), "replay-june"))
    assert {event.id for event in world.seen} == {"e2", "e3", "e4", "e5"}
    assert {event.extensions["replay"] for event in world.seen} == {"replay-june"}
    assert world.pushed == []
    assert world.ids(RESULTS) == []
    assert [lag.lag for lag in world.log.lag("replay-june")] == [0, 0]
    assert "vep-service-group" not in world.log.groups()


def test_a_record_that_the_replay_cannot_handle_is_still_seen(world: World) -> None:
    prepare(world.log, from_start(world.log, [LANE], "replay-june"))
    world.run(as_replay(world.subscription(), "replay-june"))
    assert len(world.ids(DEAD_LETTERS)) == 1


def test_deliver_lets_the_effects_out_and_their_ids_are_the_old_ones(world: World) -> None:
    world.run(world.subscription())
    before = world.ids(RESULTS)
    world.seen.clear()
    world.pushed.clear()
    prepare(world.log, from_start(world.log, [LANE], "redeliver-june"))
    world.run(as_replay(world.subscription(), "redeliver-june"))
    assert set(world.pushed) == {f"e{index}" for index in range(6)}
    assert sorted(world.ids(RESULTS)) == sorted(before * 2)


def test_a_group_at_work_is_not_moved(world: World) -> None:
    plan = from_start(world.log, [LANE], "replay-june")
    consumer = world.log.consumer(plan.group, [LANE])
    consumer.poll(1, 0.1)
    with pytest.raises(Permanent):
        prepare(world.log, plan)
