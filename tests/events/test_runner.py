"""The consume loop on a log in memory, with a clock that only moves when told: every outcome of one event."""

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import pytest

from genescale.clock import ManualClock, SystemClock, rfc3339
from genescale.errors import DiskFull, LogBroken, Permanent, Retryable
from genescale.events import envelope
from genescale.events.catalogue import CATALOGUE
from genescale.events.envelope import Event
from genescale.events.log import Fence, NewRecord, Position, Record, TopicSpec, append_now
from genescale.events.loop_data import BatchStarted, Failure, RecordDeadlettered
from genescale.events.memory import MemoryLog
from genescale.events.retry import RetryPolicy
from genescale.events.runner import LoopSettings, Runner, Subscription
from genescale.events.topics import DEAD_LETTERS, LOOP_STATE, RESULTS
from genescale.events.watch import LoopWatch, Reason

TOPIC = "genetic-data-raw"
GROUP = "vep-service-group"
Handler = Callable[[Event], list[Event]]


def answer(event: Event, status: str = "success") -> Event:
    return Event(
        id=envelope.derive_id(event.id, "result"),
        source="/genescale/worker",
        type="genetic.analysis.result",
        subject=event.subject,
        data=json.dumps({"status": status}).encode(),
    )


class Recorder(LoopWatch):
    """Keeps what the loop says of failures."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(GROUP)
        self._told = told

    def failed(self, record: Record, event: Event, failure: Failure, reason: Reason, *, retried: bool) -> None:
        super().failed(record, event, failure, reason, retried=retried)
        self._told.append(f"{event.id} {failure.error} {reason} {'waits' if retried else 'given up'}")


class World:
    """A log, a clock, and one loop whose handler a test chooses."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        specs = [TopicSpec(name=name, partitions=4) for name in (TOPIC, RESULTS, DEAD_LETTERS)]
        self.log.create_topics([*specs, TopicSpec(name=LOOP_STATE, partitions=4, cleanup="compact", retention_s=None)])
        self.handler: Handler = lambda event: [answer(event)]
        self.batches: list[list[str]] = []
        self.seen: list[str] = []
        self.told: list[str] = []

    def handle(self, events: Sequence[Event], deps: None) -> list[Event]:
        self.batches.append([event.id for event in events])
        results: list[Event] = []
        for event in events:
            results += self.handler(event)
        self.seen += [event.id for event in events]
        return results

    def failed(self, event: Event, failure: Failure, deps: None) -> list[Event]:
        return [answer(event, "failed")]

    def runner(self, **settings: object) -> Runner[None]:
        chosen = {"retry": RetryPolicy(base_s=1.0, attempts_max=3), **settings}
        subscription = Subscription(
            group=GROUP,
            topics=(TOPIC,),
            outputs=(RESULTS,),
            handle=self.handle,
            failed=self.failed,
            route=lambda event: RESULTS,
            deps=None,
            wake_when_drained=True,
        )
        return Runner(
            self.log,
            subscription,
            LoopSettings(**chosen),  # pyright: ignore[reportArgumentType]
            self.clock,
            version="test",
            seed=1,
            watch=Recorder(self.told),
        )

    def submit(self, *ids: str, key: str | None = None) -> None:
        events = [
            Event(id=identity, source="/test", type="genetic.analysis.request", subject=key or identity, data=b"{}")
            for identity in ids
        ]
        append_now(self.log, [envelope.to_record(event, TOPIC) for event in events])

    def events_on(self, topic: str) -> list[Event]:
        tail = self.log.tail([topic], "earliest")
        return [envelope.from_record(record) for record in tail.poll(10_000, 0) if record.value is not None]

    def answers(self) -> dict[str, str]:
        return {event.subject or "": event.data_object()["status"] for event in self.events_on(RESULTS)}

    def letters(self) -> list[RecordDeadlettered]:
        return [CATALOGUE.read(event, RecordDeadlettered) for event in self.events_on(DEAD_LETTERS)]

    def lag(self) -> int:
        return sum(lag.lag for lag in self.log.lag(GROUP))


@pytest.fixture
def world() -> World:
    return World()


def settle(runner: Runner[None], world: World, steps: int = 200) -> None:
    for _ in range(steps):
        runner.step(1.0)


def test_what_is_read_is_answered_and_committed(world: World) -> None:
    world.submit(*(f"e{n}" for n in range(50)))
    runner = world.runner()
    runner.step(1.0)
    assert world.answers() == {f"e{n}": "success" for n in range(50)}
    assert world.lag() == 0
    assert len(world.batches) == 1, "one batch, one call"


def test_a_batch_is_never_larger_than_the_setting(world: World) -> None:
    world.submit(*(f"e{n}" for n in range(50)))
    runner = world.runner(batch_records_max=8)
    settle(runner, world, 20)
    assert max(len(batch) for batch in world.batches) <= 8
    assert len(world.answers()) == 50


def test_a_permanent_failure_is_an_answer_and_a_dead_letter(world: World) -> None:
    def handler(event: Event) -> list[Event]:
        if event.id == "bad":
            raise Permanent("REF does not match the reference at NC_012920.1:3243; is the file on another assembly?")
        return [answer(event)]

    world.handler = handler
    world.submit("good-1", "bad", "good-2")
    runner = world.runner()
    runner.step(1.0)
    assert world.answers() == {"good-1": "success", "bad": "failed", "good-2": "success"}
    [letter] = world.letters()
    assert (letter.failure.error, letter.attempts, letter.group) == ("Permanent", 1, GROUP)
    assert "another assembly" in letter.failure.message
    assert envelope.from_record(letter.record.record()).id == "bad"
    assert world.lag() == 0


def test_a_retryable_failure_parks_its_key_and_blocks_nobody(world: World) -> None:
    failing = {"slow-1"}

    def handler(event: Event) -> list[Event]:
        if event.id in failing:
            raise Retryable("the model server is restarting", after_s=5.0)
        return [answer(event)]

    world.handler = handler
    runner = world.runner(retry=RetryPolicy(base_s=1.0, attempts_max=10))
    world.submit("slow-1", key="slow")
    world.submit(*(f"e{n}" for n in range(20)))
    runner.step(1.0)
    world.submit("slow-2", "slow-3", key="slow")
    runner.step(1.0)
    assert set(world.answers()) == {f"e{n}" for n in range(20)}
    assert world.lag() == 0, "what waits is not lag: it was copied to the loop's state"
    failing.clear()
    settle(runner, world, 30)
    slow = [identity for identity in world.seen if identity.startswith("slow")]
    assert slow == ["slow-1", "slow-2", "slow-3"], "order per key is kept"
    assert world.answers()["slow"] == "success"


def test_an_after_time_is_honoured(world: World) -> None:
    tries: list[float] = []

    def handler(event: Event) -> list[Event]:
        tries.append(world.clock.monotonic_s())
        raise Retryable("rate limited", after_s=100.0)

    world.handler = handler
    world.submit("e")
    runner = world.runner(retry=RetryPolicy(base_s=1.0, attempts_max=3, age_max_s=1e6))
    settle(runner, world, 500)
    assert len(tries) == 3
    assert all(later - earlier >= 100.0 for earlier, later in itertools.pairwise(tries))


def test_tries_are_bounded_and_the_end_is_an_answer(world: World) -> None:
    def handler(event: Event) -> list[Event]:
        raise ConnectionError("refused")

    world.handler = handler
    world.submit("e")
    runner = world.runner()
    settle(runner, world)
    assert len(world.batches) == 3
    assert world.answers() == {"e": "failed"}
    [letter] = world.letters()
    assert (letter.attempts, letter.failure.error) == (3, "ConnectionError")
    assert letter.first_failure is not None
    assert letter.failure.stack_hash
    assert world.told[-1] == "e ConnectionError retryable given up"


def test_age_is_bounded_too(world: World) -> None:
    def handler(event: Event) -> list[Event]:
        raise Retryable("not now", after_s=50.0)

    world.handler = handler
    world.submit("e")
    runner = world.runner(retry=RetryPolicy(attempts_max=1000, age_max_s=200.0))
    settle(runner, world, 1000)
    assert world.answers() == {"e": "failed"}
    assert len(world.batches) < 10


def test_what_is_no_event_becomes_a_dead_letter(world: World) -> None:
    append_now(world.log, [NewRecord(TOPIC, b"k", b"garbage", (("content-type", b"text/plain"),))])
    world.submit("good")
    runner = world.runner()
    runner.step(1.0)
    [letter] = world.letters()
    assert letter.record.value == b"garbage"
    assert (letter.attempts, letter.failure.error) == (0, "InvalidEvent")
    assert world.answers() == {"good": "success"}
    assert world.lag() == 0


def test_retries_stay_within_their_budget(world: World) -> None:
    """A dependency that is down must not be hammered by everything that failed on it."""

    def handler(event: Event) -> list[Event]:
        raise Retryable("down")

    world.handler = handler
    world.submit(*(f"e{n}" for n in range(200)))
    runner = world.runner(retry=RetryPolicy(base_s=0.01, cap_s=0.02, attempts_max=1000, age_max_s=1e6))
    began = world.clock.monotonic_s()
    for _ in range(50):
        runner.step(0.1)
    passed_s = world.clock.monotonic_s() - began
    assert runner.counts.retried <= 10 + 200 * 0.1 + passed_s * 1.0 + 1


def test_parked_records_survive_the_loop(world: World) -> None:
    failing = True

    def handler(event: Event) -> list[Event]:
        if failing:
            raise Retryable("not yet", after_s=5.0)
        return [answer(event)]

    world.handler = handler
    world.submit("a", "b")
    first = world.runner(retry=RetryPolicy(attempts_max=10))
    first.step(0.1)
    assert world.lag() == 0
    first.stop()
    first.close()
    assert world.lag() > 0, "a drained lane leaves lag behind, so that somebody is woken"
    failing = False
    second = world.runner(retry=RetryPolicy(attempts_max=10))
    settle(second, world, 30)
    assert world.answers() == {"a": "success", "b": "success"}
    assert world.lag() == 0
    third = world.runner()
    settle(third, world, 5)
    assert sum(event.subject == "a" for event in world.events_on(RESULTS)) == 1, "settled records are not parked again"


def test_the_third_death_with_a_record_in_hand_is_its_last(world: World) -> None:
    class Died(BaseException):
        """Stands for the end of the process: nothing after it runs."""

    deaths = 0

    def handler(event: Event) -> list[Event]:
        nonlocal deaths
        if event.id == "poison":
            deaths += 1
            raise Died
        return [answer(event)]

    world.handler = handler
    world.submit(*(f"before-{n}" for n in range(30)), "poison", *(f"after-{n}" for n in range(30)))
    for _ in range(20):
        runner = world.runner(batch_records_max=100)
        try:
            for _ in range(200):
                runner.step(0.1)
            break
        except Died:
            world.clock.advance(10)  # its lease ends
    assert deaths == 3
    assert world.answers()["poison"] == "failed"
    assert sum(status == "success" for status in world.answers().values()) == 60
    [letter] = world.letters()
    assert (letter.failure.error, letter.attempts) == ("Crashed", 3)
    assert world.lag() == 0


def test_a_clean_stop_is_not_counted_as_a_death(world: World) -> None:
    for n in range(5):
        world.submit(f"e{n}")
        runner = world.runner()
        runner.step(0.1)
        runner.stop()
        runner.close()
    notes = [CATALOGUE.read(event, BatchStarted) for event in world.events_on(LOOP_STATE)]
    assert max(note.crashes for note in notes) == 0
    assert len(world.answers()) == 5


def test_a_full_disk_is_waited_for_and_nothing_is_skipped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submit("e")
    runner = world.runner()
    real = world.log.append
    left = 4

    def full(records: Sequence[NewRecord], fence: object = None) -> object:
        nonlocal left
        left -= 1
        if left > 0:
            raise DiskFull("no space left", after_s=1.0)
        return real(records, fence)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(world.log, "append", full)
    settle(runner, world, 10)
    assert world.answers() == {"e": "success"}
    assert world.lag() == 0


def test_a_broken_log_ends_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submit("e")
    runner = world.runner()

    def broken(records: Sequence[NewRecord], fence: object = None) -> object:
        raise LogBroken("fsync failed")

    monkeypatch.setattr(world.log, "append", broken)
    with pytest.raises(LogBroken):
        runner.run()
    assert world.lag() == 1


def test_a_fenced_loop_drops_its_batch_and_the_other_does_it(world: World) -> None:
    """The worker that slept through its lease while it had a batch in hand."""
    world.submit(*(f"e{n}" for n in range(20)))
    sleeper, other = world.runner(), world.runner()

    def sleepy(event: Event) -> list[Event]:
        world.handler = lambda later: [answer(later)]
        world.clock.advance(60)
        other.step(0.1)
        other.step(0.1)
        return [answer(event)]

    world.handler = sleepy
    sleeper.step(0.1)
    assert sleeper.counts.fenced == 1
    assert len(world.events_on(RESULTS)) == 20, "what the sleeper still wanted to write was refused"
    settle(sleeper, world, 5)
    assert world.lag() == 0


def test_two_loops_share_the_work(world: World) -> None:
    one, two = world.runner(batch_records_max=5), world.runner(batch_records_max=5)
    for _ in range(5):
        one.step(0.1)
        two.step(0.1)
    world.submit(*(f"e{n}" for n in range(100)))
    for _ in range(40):
        one.step(0.1)
        two.step(0.1)
    assert one.counts.handled + two.counts.handled == 100
    assert min(one.counts.handled, two.counts.handled) > 20
    assert len(world.answers()) == 100


def test_the_error_of_a_stranger_does_not_quote_the_input(world: World) -> None:
    sequence = "ACGTTGCAACGTTGCAACGTTGCAACGTTGCA"

    def handler(event: Event) -> list[Event]:
        raise ValueError(f"cannot parse {sequence}")

    world.handler = handler
    world.submit("e")
    runner = world.runner(retry=RetryPolicy(attempts_max=1))
    settle(runner, world, 50)
    [letter] = world.letters()
    assert sequence not in msgspec.json.encode(letter).decode()


def test_times_on_the_log_come_from_the_clock(world: World) -> None:
    world.submit("e")
    runner = world.runner()
    runner.step(0.1)
    notes = world.events_on(LOOP_STATE)
    assert notes[0].time == rfc3339(ManualClock().wall_ms())


def storm_of_stops() -> int:
    """A child runs the loop, the parent sends SIGTERM as fast as it can. The exit status of the child, -1: it hung."""
    ready, say_ready = os.pipe()
    if (pid := os.fork()) == 0:
        world = World()
        world.clock = SystemClock()  # pyright: ignore[reportAttributeAccessIssue]
        world.log.clock = world.clock
        runner = world.runner(poll_s=0.01)
        signal.signal(signal.SIGTERM, lambda *_: runner.stop())
        os.write(say_ready, b"!")
        runner.run()
        os._exit(0)
    os.read(ready, 1)
    os.close(ready)
    os.close(say_ready)
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        os.kill(pid, signal.SIGTERM)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1


def test_signals_that_come_while_a_signal_is_handled_do_not_hang_the_loop() -> None:
    assert [storm_of_stops() for _ in range(5)] == [0] * 5


def test_an_append_that_is_only_slow_is_not_made_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kafka that is away for minutes delivers what it was given; more copies would only fill the queue."""
    world.submit("e")
    runner = world.runner(append_timeout_s=0.05)
    real = world.log.append
    made: list[Future[list[Position]]] = []

    def slow(records: Sequence[NewRecord], fence: Fence | None = None) -> Future[list[Position]]:
        made.append(Future())
        threading.Timer(0.2, lambda: made[-1].set_result(real(records, fence).result())).start()
        return made[-1]

    monkeypatch.setattr(world.log, "append", slow)
    runner.step(0.1)
    assert len(made) == 2, "the note before the batch and its outputs, each once"
    assert world.answers() == {"e": "success"}
