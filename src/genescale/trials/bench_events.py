"""`genescale bench events`: how fast the log and the loop are on this machine, with the disk really asked.

Every figure is taken with real processes on real files, or on three real Kafka brokers. The scratch folder lies on a
disk and not in memory, where an fsync would cost nothing and prove nothing. Each rate is the median of several runs;
the spread stands beside it, because machines are shared.
"""

import json
import os
import random
import signal
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NoReturn

from msgspec import structs

from genescale.clock import Clock
from genescale.events import envelope
from genescale.events.envelope import Event
from genescale.events.log import EventLog, NewRecord, TopicPartition, TopicSpec, append_now, record_bytes, total_lag
from genescale.events.loop_data import Failure
from genescale.events.runner import Runner, Subscription
from genescale.events.topics import DEAD_LETTERS, LOOP_STATE, RESULTS
from genescale.trials.logs import default_loop, kafka_log, sqlite_log
from genescale.trials.report import CannotRun, Report, Row, absent, beside, make_report, row
from genescale.trials.scratch import scratch

TOPIC = "genetic-data-raw"
_GROUP = "bench"
_EVENT_BYTES = 1024
_BATCH = 100
_CONSUMERS = 4
_RUNS = 3
_IN_FLIGHT = 16
_WARM_EVENTS = 5_000

OpenLog = Callable[[], EventLog]


def run(seed: int, kafka: bool, clock: Clock) -> Report:
    """All rows of the area."""
    rows = [
        log_end_to_end(seed, clock),
        append_p50_ms(seed, clock),
        append_24_writers(seed, clock),
        runner_sqlite(seed, clock),
        wakeup_p99_ms(seed, clock),
        recovery_p99_s(seed, clock),
        *kafka_rows(seed, kafka, clock),
    ]
    return make_report("events", seed, rows)


# ---- SQLite ----


def log_end_to_end(seed: int, clock: Clock, events: int = 300_000) -> Row:
    """One producer appends batches of 100 and waits for its acknowledgements; four processes read and commit all."""
    rates: list[float] = []
    for n in range(_RUNS):
        with scratch() as folder:
            rates.append(_end_to_end(lambda: sqlite_log(folder, clock), seed + n, clock, events))
    return row(
        "log_end_to_end",
        round(statistics.median(rates)),
        "events/s",
        "higher",
        goal=60_000,
        samples=[round(rate) for rate in rates],
        note=f"1 KB, 1 producer, {_CONSUMERS} consumer processes, batches of {_BATCH}, fsync before each ack",
    )


def _end_to_end(open_log: OpenLog, seed: int, clock: Clock, events: int) -> float:
    prepare(open_log)
    readers = [Child(lambda: _read_all(open_log, events)) for _ in range(_CONSUMERS)]
    log = open_log()
    while sum(len(member.partitions) for member in log.members(_GROUP)) < log.topics()[TOPIC].partitions:
        clock.sleep(0.01)
    batches = list(make_batches(seed, 20, _BATCH))
    began_s = clock.monotonic_s()
    produce(log, batches, events // _BATCH)
    while total_lag(log.lag(_GROUP)):
        clock.sleep(0.005)
    rate = events / (clock.monotonic_s() - began_s)
    for reader in readers:
        reader.kill()
    log.close()
    return rate


def _read_all(open_log: OpenLog, events: int) -> int:
    log = open_log()
    consumer = log.consumer(_GROUP, [TOPIC])
    seen = 0
    while seen < events:  # the parent ends us when the lag is gone; nobody reads them all alone
        found = consumer.poll(1_000, 1.0)
        if found:
            positions: dict[TopicPartition, int] = {}
            for record in found:
                positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
            consumer.commit(positions)
            seen += len(found)
    return seen


def produce(log: EventLog, batches: Sequence[list[NewRecord]], count: int) -> None:
    """Append `count` batches, a bounded number in flight, and wait for every acknowledgement."""
    waiting = deque(log.append(batches[n % len(batches)]) for n in range(min(_IN_FLIGHT, count)))
    for n in range(len(waiting), count):
        waiting.popleft().result(60)
        waiting.append(log.append(batches[n % len(batches)]))
    for future in waiting:
        future.result(60)


def append_p50_ms(seed: int, clock: Clock, appends: int = 2_000) -> Row:
    """One event at a time, each waited for."""
    with scratch() as folder:
        prepare(lambda: sqlite_log(folder, clock))
        log = sqlite_log(folder, clock)
        [batch] = make_batches(seed, 1, appends)
        took_ms = [timed_append_ms(log, record, clock) for record in batch]
        log.close()
    return row(
        "append_p50_ms",
        round(statistics.median(took_ms), 3),
        "ms",
        "lower",
        goal=1.0,
        samples=[round(value, 3) for value in took_ms],
        note=f"p99 {quantile(took_ms, 0.99):.2f} ms",
    )


def timed_append_ms(log: EventLog, record: NewRecord, clock: Clock) -> float:
    """How long one durable append takes."""
    began_s = clock.monotonic_s()
    append_now(log, [record])
    return (clock.monotonic_s() - began_s) * 1000


def append_24_writers(seed: int, clock: Clock, appends: int = 200) -> Row:
    """24 processes append one event at a time to the same topic: group commit does not cross processes."""
    writers = 24
    with scratch() as folder:

        def write(number: int) -> dict[str, Any]:
            log = sqlite_log(folder, clock)
            [batch] = make_batches(seed + number, 1, appends)
            append_now(log, batch[:1])
            began_s = clock.monotonic_s()
            took_ms = [timed_append_ms(log, record, clock) for record in batch]
            ended_s = clock.monotonic_s()
            log.close()
            return {"began": began_s, "ended": ended_s, "took_ms": took_ms}

        prepare(lambda: sqlite_log(folder, clock))
        children = [Child(lambda number=number: write(number)) for number in range(writers)]
        answers = [child.answer() for child in children]
    took_ms = [value for answer in answers for value in answer["took_ms"]]
    span_s = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
    return row(
        "append_24_writers",
        round(writers * appends / span_s),
        "events/s",
        "higher",
        note=f"{writers} processes, one event per commit; per append p50 {statistics.median(took_ms):.1f} ms, "
        f"p99 {quantile(took_ms, 0.99):.1f} ms",
    )


def wakeup_p99_ms(seed: int, clock: Clock, nudges: int = 400) -> Row:
    """From just before an append to the moment at which an idle consumer in another process holds the record."""
    with scratch() as folder:

        def listen() -> list[float]:
            log = sqlite_log(folder, clock)
            consumer = log.consumer(_GROUP, [TOPIC])
            took_ms: list[float] = []
            while len(took_ms) < nudges:
                records = consumer.poll(10, 10.0)
                took_ms += [(clock.monotonic_s() - float(record.value or b"0")) * 1000 for record in records]
            consumer.close()
            log.close()
            return took_ms

        prepare(lambda: sqlite_log(folder, clock))
        child = Child(listen)
        log = sqlite_log(folder, clock)
        while not log.members(_GROUP):
            clock.sleep(0.01)
        clock.sleep(1.0)
        draw = random.Random(seed)  # noqa: S311 - spacing of a load
        for number in range(nudges):
            clock.sleep(draw.uniform(0.005, 0.045))
            append_now(log, [NewRecord(TOPIC, b"%d" % number, repr(clock.monotonic_s()).encode())])
        took_ms = child.answer()
        log.close()
    return row(
        "wakeup_p99_ms",
        round(quantile(took_ms, 0.99), 2),
        "ms",
        "lower",
        goal=20,
        samples=[round(value, 2) for value in took_ms],
        note=f"durable append included; p50 {statistics.median(took_ms):.2f} ms",
    )


def recovery_p99_s(seed: int, clock: Clock, events: int = 1_000_000, kills: int = 30) -> Row:
    """SIGKILL a process that appends to a log of a million events; how long until a new one has its first ack."""
    draw = random.Random(seed)  # noqa: S311 - moments of the kills
    took_s: list[float] = []
    with scratch() as folder:

        def append_for_ever() -> None:
            log = sqlite_log(folder, clock)
            while True:
                produce(log, batches, 1)

        def append_once() -> float:
            log = sqlite_log(folder, clock)
            append_now(log, batches[0][:1])
            return clock.monotonic_s()

        prepare(lambda: sqlite_log(folder, clock))
        batches = list(make_batches(seed, 20, 500))
        log = sqlite_log(folder, clock)
        produce(log, batches, events // 500)
        log.close()
        for _ in range(kills):
            victim = Child(append_for_ever)
            clock.sleep(draw.uniform(0.1, 0.5))
            victim.kill()
            killed_s = clock.monotonic_s()
            survivor = Child(append_once)
            took_s.append(survivor.answer() - killed_s)
            survivor.kill()
    return row(
        "recovery_p99_s",
        round(quantile(took_s, 0.99), 3),
        "s",
        "lower",
        goal=2.0,
        samples=[round(value, 3) for value in took_s],
        note=f"{events:,} events of 1 KB in the log, {kills} kills; p50 {statistics.median(took_s):.3f} s",
    )


def runner_sqlite(seed: int, clock: Clock, events: int = 100_000) -> Row:
    """The loop with a handler that does nothing but answer: read, decode, handle, append, commit."""
    rates: list[float] = []
    for n in range(_RUNS):
        with scratch() as folder:
            rates.append(_runner_rate(lambda: sqlite_log(folder, clock), seed + n, clock, events))
    return _runner_row("runner_sqlite", rates)


def _runner_row(name: str, rates: list[float]) -> Row:
    return row(
        name,
        round(statistics.median(rates)),
        "events/s",
        "higher",
        goal=25_000,
        samples=[round(rate) for rate in rates],
        note="batches of 500, one output per event, one process",
    )


def _runner_rate(open_log: OpenLog, seed: int, clock: Clock, events: int) -> float:
    prepare(open_log)
    log = open_log()
    batches = list(make_batches(seed, 20, 500))
    subscription = Subscription(
        group=_GROUP, topics=(TOPIC,), outputs=(RESULTS,), handle=_echo, failed=_no_answer, route=_to_results, deps=None
    )
    runner = Runner(log, subscription, default_loop(), clock, version="bench", seed=seed)
    produce(log, batches, _WARM_EVENTS // 500)
    _handle_until(runner, _WARM_EVENTS)
    produce(log, batches, events // 500)
    began_s = clock.monotonic_s()
    _handle_until(runner, _WARM_EVENTS + events)
    rate = events / (clock.monotonic_s() - began_s)
    runner.close()
    log.close()
    return rate


def _handle_until(runner: Runner[None], events: int) -> None:
    while runner.counts.handled < events:
        runner.step(1.0)


def _echo(events: Sequence[Event], _deps: None) -> list[Event]:
    return [
        Event(
            id=envelope.derive_id(event.id, "bench"),
            source="/genescale/bench",
            type="genetic.analysis.result",
            subject=event.subject,
            time=event.time,
            datacontenttype=event.datacontenttype,
            dataschema="urn:genescale:schema:genetic.analysis.result:1",
            extensions=event.extensions,
            data=event.data,
        )
        for event in events
    ]


def _no_answer(_event: Event, _failure: Failure, _deps: None) -> list[Event]:
    return []


def _to_results(_event: Event) -> str:
    return RESULTS


# ---- Kafka ----


def kafka_rows(seed: int, demanded: bool, clock: Clock) -> list[Row]:
    """The figures on three real brokers, or why there are none."""
    if find_spec("confluent_kafka") is None:
        return _no_kafka("confluent-kafka is not installed: install genescale[kafka]", demanded)
    from genescale.trials import kafka_cluster  # noqa: PLC0415 - needs the extra `kafka`

    reason = kafka_cluster.available()
    if reason:
        return _no_kafka(reason, demanded)
    with kafka_cluster.KafkaCluster() as cluster, scratch() as folder:

        def open_log() -> EventLog:
            return kafka_log(cluster.bootstrap, clock, folder)

        return [_append_kafka(open_log, seed, clock), _runner_kafka(cluster.bootstrap, open_log, seed, clock)]


def _no_kafka(reason: str, demanded: bool) -> list[Row]:
    if demanded:
        raise CannotRun(reason)
    return [
        absent("runner_kafka", "events/s", "higher", reason, goal=25_000),
        absent("append_kafka_p99_ms", "ms", "lower", reason, goal=20),
    ]


def _append_kafka(open_log: OpenLog, seed: int, clock: Clock, seconds: int = 15, per_s: int = 200) -> Row:
    """200 events a second, each sent when its time has come, whether or not the one before has been acknowledged."""
    prepare(open_log)
    log = open_log()
    produce(log, list(make_batches(seed, 20, 100)), 500)  # a cold JVM is another figure
    [batch] = make_batches(seed, 1, seconds * per_s)
    took_ms: list[float] = []
    futures: list[Any] = []
    began_s = clock.monotonic_s()
    for number, record in enumerate(batch):
        clock.sleep(max(0.0, began_s + number / per_s - clock.monotonic_s()))
        sent_s = clock.monotonic_s()
        future = log.append([record])
        future.add_done_callback(lambda _done, sent_s=sent_s: took_ms.append((clock.monotonic_s() - sent_s) * 1000))
        futures.append(future)
    for future in futures:
        future.result(60)
    log.close()
    return row(
        "append_kafka_p99_ms",
        round(quantile(took_ms, 0.99), 2),
        "ms",
        "lower",
        goal=20,
        samples=[round(value, 2) for value in took_ms],
        note=f"{per_s}/s, three brokers, acks=all; p50 {statistics.median(took_ms):.2f} ms",
    )


def _runner_kafka(bootstrap_servers: str, open_log: OpenLog, seed: int, clock: Clock, events: int = 100_000) -> Row:
    """The loop on three brokers, and beside it what the client library alone reaches there with the same records."""
    from genescale.trials.bare_kafka import bare_loop_rate  # noqa: PLC0415 - needs the extra `kafka`

    rates = [_runner_rate(open_log, seed + n, clock, events) for n in range(_RUNS)]
    bare = bare_loop_rate(bootstrap_servers, TOPIC, RESULTS, events, clock)
    ours = _runner_row("runner_kafka", rates)
    ours = structs.replace(ours, note=f"{ours.note}; confluent-kafka alone: {bare:,.0f} events/s in the same run")
    return beside(ours, "confluent-kafka alone", bare)


# ---- the load ----


def prepare(open_log: OpenLog) -> None:
    """Topics as the design has them."""
    log = open_log()
    log.create_topics(
        [
            TopicSpec(name=TOPIC),
            TopicSpec(name=RESULTS),
            TopicSpec(name=DEAD_LETTERS),
            TopicSpec(name=LOOP_STATE, cleanup="compact", retention_s=None),
        ]
    )
    log.close()


def make_batches(seed: int, batches: int, size: int) -> Iterator[list[NewRecord]]:
    """Events of 1 KB, attributes and key included, as the gateway writes them."""
    draw = random.Random(seed)  # noqa: S311 - payload of a load
    for _ in range(batches):
        yield [_event(draw) for _ in range(size)]


def _event(draw: random.Random) -> NewRecord:
    identity = envelope.derive_id("bench", str(draw.getrandbits(128)))
    event = Event(
        id=identity,
        source="/genescale/gateway",
        type="genetic.analysis.request",
        subject=identity,
        time="2026-11-21T10:00:00.000Z",
        datacontenttype="application/json",
        dataschema="urn:genescale:schema:genetic.analysis.request:1",
        extensions={"priority": 5, "mode": "normal", "projectid": "bench", "correlationid": identity},
        data=b"",
    )
    bare = record_bytes(envelope.to_record(event, TOPIC))
    frame = b'{"sequence":"%s"}'
    bases = "".join(draw.choices("ACGT", k=_EVENT_BYTES - bare - len(frame % b"")))
    return envelope.to_record(structs.replace(event, data=frame % bases.encode()), TOPIC)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# ---- processes ----


class Child:
    """A forked process that runs one function and sends its answer back as JSON."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            _run_child(work, write)
        os.close(write)

    def answer(self) -> Any:
        """What the function returned. Raises when the process died instead."""
        with os.fdopen(self._read, "rb") as pipe:
            raw = pipe.read()
        os.waitpid(self.pid, 0)
        self.pid = 0
        if not raw:
            raise CannotRun("a process of the benchmark died without an answer; its error stands above")
        return json.loads(raw)

    def kill(self) -> None:
        """SIGKILL, and no answer."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._read)
            self.pid = 0


def _run_child(work: Callable[[], Any], write: int) -> NoReturn:
    status = 1
    try:
        answer = json.dumps(work()).encode()
        with os.fdopen(write, "wb") as pipe:
            pipe.write(answer)
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may escape into the parent's code
        import traceback  # noqa: PLC0415 - only a dying child needs it

        traceback.print_exc()
    finally:
        os._exit(status)
