"""What only a real Kafka can show: other processes, dead brokers, TLS, ACLs, foreign transactions."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource, ResourceType

from genescale.clock import SystemClock
from genescale.errors import Fenced, GenescaleError, LogUnavailable, Permanent, Retryable
from genescale.events.kafka import KafkaLog
from genescale.events.log import (
    Consumer,
    NewRecord,
    Record,
    Tail,
    TopicPartition,
    TopicSpec,
    append_now,
    total_lag,
)
from genescale.sensitive import Sensitive
from genescale.trials.kafka_cluster import KafkaCluster, available
from support.kafka import KafkaWorld, TidyLog, settings_for, shared_cluster, unique
from support.require import missing

pytestmark = pytest.mark.kafka

PATIENCE_S = 60.0
PROTOCOLS = ["classic", "consumer"]


@pytest.fixture
def shared() -> KafkaCluster:
    return shared_cluster()


@pytest.fixture(scope="module")
def fragile() -> Iterator[KafkaCluster]:
    """Brokers that a test may kill."""
    if reason := available():
        missing("Apache Kafka", reason)
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture
def opened() -> Iterator[Callable[..., KafkaLog]]:
    logs: list[KafkaLog] = []

    def open_log(cluster: KafkaCluster, user: str = "admin", **changes: object) -> KafkaLog:
        logs.append(TidyLog(settings_for(cluster, user, **changes)))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()


def make_topic(log: KafkaLog, partitions: int = 4, **spec: object) -> str:
    name = unique("topic")
    log.create_topics([TopicSpec(name=name, partitions=partitions, **spec)])  # pyright: ignore[reportArgumentType]
    return name


def numbered(topic: str, numbers: Iterable[int]) -> list[NewRecord]:
    return [NewRecord(topic, b"key-%d" % n, b"%d" % n) for n in numbers]


def read(reader: Consumer | Tail, count: int) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} records came"
        found += reader.poll(500, 0.2)
    return found


def own(consumer: Consumer, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(consumer.assignment()) != count:
        assert time.monotonic() < deadline, f"owns {consumer.assignment()}, not {count}"
        consumer.poll(1, 0.05)


def after(records: Iterable[Record]) -> dict[TopicPartition, int]:
    return {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}


# ---- topics ----


def test_topics_are_created_as_the_design_wants(shared: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    log = opened(shared)
    spec = TopicSpec(name=unique("spec"), partitions=5, retention_s=3600, power_safe=False, record_bytes_max=300_000)
    compacted = TopicSpec(name=unique("spec"), partitions=2, retention_s=None, cleanup="compact")
    log.create_topics([spec, compacted])
    assert {name: log.topics()[name] for name in (spec.name, compacted.name)} == {
        spec.name: spec,
        compacted.name: compacted,
    }
    admin = shared.admin()
    resource = ConfigResource(ResourceType.TOPIC, compacted.name)
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["min.insync.replicas"].value == "2"
    assert config["unclean.leader.election.enable"].value == "false"
    partitions = admin.list_topics(compacted.name, timeout=10).topics[compacted.name].partitions
    assert [len(partition.replicas) for partition in partitions.values()] == [3, 3]


def test_many_records_below_a_small_limit_all_fit(shared: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    """The brokers' limit is on whole batches: good records must not be refused because they travel together."""
    log = opened(shared)
    topic = make_topic(log, record_bytes_max=1_000)
    batch = [NewRecord(topic, b"k", b"%900d" % n) for n in range(200)]
    assert len(append_now(log, batch)) == 200


def test_a_partition_that_does_not_exist_is_refused(shared: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    log = opened(shared)
    topic = make_topic(log)
    with pytest.raises(Permanent, match="4 partitions"):
        append_now(log, [NewRecord(topic, None, b"v", partition=4)])


# ---- groups ----


class Member:
    """A consumer in another process."""

    def __init__(self, cluster: KafkaCluster, protocol: str, group: str, topic: str) -> None:
        script = Path(__file__).parent.parent / "support" / "kafka_member.py"
        command = [sys.executable, str(script), cluster.bootstrap, protocol, group, topic]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> dict[str, object]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the member process ended"
        return json.loads(line)

    def tell(self, word: str) -> dict[str, object]:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_survivor_takes_over_from_a_killed_process(
    shared: KafkaCluster, opened: Callable[..., KafkaLog], protocol: str
) -> None:
    log = opened(shared, group_protocol=protocol, session_timeout_s=3.0, heartbeat_s=0.3)
    topic, group = make_topic(log), unique("group")
    append_now(log, numbered(topic, range(40)))
    member = Member(shared, protocol, group, topic)
    got: list[Record] = []
    try:
        assert member.hear()["owned"] == 4
        survivor = log.consumer(group, [topic])
        while len(survivor.assignment()) != 2:
            got += survivor.poll(500, 0.2)
            member.tell("poll")
        assert sorted(len(info.partitions) for info in log.members(group)) == [2, 2]
    finally:
        member.kill()
    deadline = time.monotonic() + PATIENCE_S
    while len(got) < 40:
        assert time.monotonic() < deadline, f"{len(got)} records, owns {survivor.assignment()}"
        got += survivor.poll(500, 0.2)
    survivor.commit(after(got))
    assert total_lag(log.lag(group)) == 0
    assert len({record.position for record in got}) == 40
    survivor.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_process_that_was_stopped_too_long_is_fenced(
    shared: KafkaCluster, opened: Callable[..., KafkaLog], protocol: str
) -> None:
    log = opened(shared, group_protocol=protocol, session_timeout_s=3.0, heartbeat_s=0.3)
    topic, group = make_topic(log), unique("group")
    append_now(log, numbered(topic, range(40)))
    member = Member(shared, protocol, group, topic)
    try:
        assert member.hear()["owned"] == 4
        member.process.send_signal(signal.SIGSTOP)
        other = log.consumer(group, [topic])
        own(other, 4)
        member.process.send_signal(signal.SIGCONT)
        assert member.tell("commit")["outcome"] == "Fenced"
        assert total_lag(log.lag(group)) == 40
        other.close()
        deadline = time.monotonic() + PATIENCE_S
        while member.tell("poll")["owned"] != 4:
            assert time.monotonic() < deadline, "it must come back by itself"
    finally:
        member.kill()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_listener_raises_loses_no_record(shared: KafkaCluster, protocol: str) -> None:
    world = KafkaWorld(protocol)
    log = world.open()
    topic = unique("topic")
    log.create_topics([TopicSpec(name=topic, partitions=4)])
    append_now(log, numbered(topic, range(200)))
    failures = iter([RuntimeError("first"), RuntimeError("second")])

    def fail(_: object) -> None:
        for failure in failures:
            raise failure

    consumer = log.consumer(unique("group"), [topic], on_assigned=fail)
    seen: list[Record] = []
    raised = 0
    deadline = time.monotonic() + PATIENCE_S
    while len(seen) < 200:
        assert time.monotonic() < deadline, f"{len(seen)} records"
        try:
            seen += consumer.poll(7, 0.2)
        except RuntimeError:
            raised += 1
    assert raised >= 1
    assert len({record.position for record in seen}) == len(seen) == 200
    consumer.close()
    world.close()


def test_a_foreign_transaction_leaves_no_lag_behind(shared: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    """Its markers take offsets that nobody ever sees; a scaler that counted them would never reach zero."""
    log = opened(shared)
    topic, group = make_topic(log, partitions=2), unique("group")
    producer = Producer({"bootstrap.servers": shared.bootstrap, "transactional.id": unique("tx")})
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in range(20):
        producer.produce(topic, b"v", partition=n % 2)
    producer.commit_transaction(30)
    consumer = log.consumer(group, [topic])
    got = read(consumer, 20)
    consumer.poll(1, 0.5)
    consumer.commit(after(got))
    assert total_lag(log.lag(group)) == 0
    consumer.close()


def test_a_fence_that_was_lost_is_refused_in_this_process(
    shared: KafkaCluster, opened: Callable[..., KafkaLog]
) -> None:
    log = opened(shared)
    topic = make_topic(log)
    consumer = log.consumer(unique("group"), [topic])
    own(consumer, 4)
    fence = consumer.fence(consumer.assignment())
    append_now(log, numbered(topic, range(3)), fence)
    consumer.close()
    with pytest.raises(Fenced):
        append_now(log, numbered(topic, range(3)), fence)
    assert sum(bounds.end for bounds in log.bounds(topic).values()) == 3


# ---- dead brokers ----


def test_no_acknowledged_record_is_lost_when_a_broker_dies(
    fragile: KafkaCluster, opened: Callable[..., KafkaLog]
) -> None:
    log = opened(fragile)
    topic, group = make_topic(log, partitions=6), unique("group")
    log.warm([topic])
    acknowledged: set[int] = set()
    over = threading.Event()

    def produce() -> None:
        start = 0
        while not over.is_set():
            append_now(log, numbered(topic, range(start, start + 20)))
            acknowledged.update(range(start, start + 20))
            start += 20
            time.sleep(0.01)

    handled: list[bytes | None] = []
    consumer = log.consumer(group, [topic])
    own(consumer, 6)
    producing = threading.Thread(target=produce)
    producing.start()
    began, killed, back = time.monotonic(), False, False
    while time.monotonic() - began < 10 or total_lag(log.lag(group)):
        assert time.monotonic() - began < PATIENCE_S, "the group never caught up"
        if not killed and time.monotonic() - began > 1:
            fragile.kill(2)
            killed = True
        if not back and time.monotonic() - began > 6:
            fragile.restart(2)
            back = True
        if not over.is_set() and time.monotonic() - began > 9:
            over.set()
            producing.join()
        try:
            batch = consumer.poll(500, 0.2)
            handled += [record.value for record in batch]
            consumer.commit(after(batch))
        except (Retryable, Fenced):
            continue
    consumer.close()
    stored = [record.value for record in read(log.tail([topic], "earliest"), len(acknowledged))]
    wanted = {b"%d" % n for n in acknowledged}
    assert len(acknowledged) > 100
    assert set(stored) == wanted
    assert len(stored) == len(wanted), "the idempotent producer wrote something twice"
    assert set(handled) == wanted


def test_too_few_copies_are_said_and_overcome(fragile: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    log = opened(fragile, min_insync_replicas=3, delivery_timeout_s=3.0)
    topic = make_topic(log)
    append_now(log, numbered(topic, range(4)))
    fragile.kill(3)
    with pytest.raises(LogUnavailable, match=r"min\.insync\.replicas"):
        append_now(log, numbered(topic, range(40)))
    fragile.restart(3)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            append_now(log, numbered(topic, range(40)))
            break
        except Retryable:
            assert time.monotonic() < deadline, "it must go on once the copies are back"


# ---- TLS, SCRAM, ACLs ----


@pytest.fixture(scope="module")
def secure() -> Iterator[KafkaCluster]:
    if reason := available(secure=True):
        missing("Apache Kafka with TLS", reason)
    users = {"worker": "worker-secret", "stranger": "stranger-secret", "watcher": "watcher-secret"}
    with KafkaCluster(secure=True, users=users) as cluster:
        cluster.allow("worker", "read", "topic", "in")
        cluster.allow("worker", "write", "topic", "out")
        cluster.allow("worker", "read", "group", "workers-", prefixed=True)
        cluster.allow("watcher", "read", "topic", "in")
        admin = KafkaLog(settings_for(cluster), SystemClock())
        admin.create_topics([TopicSpec(name="in", partitions=4), TopicSpec(name="out", partitions=4)])
        append_now(admin, numbered("in", range(20)))
        admin.close()
        yield cluster


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_three_acls_serve_a_worker(secure: KafkaCluster, opened: Callable[..., KafkaLog], protocol: str) -> None:
    log = opened(secure, "worker", group_protocol=protocol)
    group = f"workers-{protocol}"
    log.warm(["out"])
    consumer = log.consumer(group, ["in"], outputs=["out"])
    got = read(consumer, 20)
    append_now(log, numbered("out", range(20)), consumer.fence(consumer.assignment()))
    consumer.commit(after(got))
    assert total_lag(log.lag(group)) == 0
    consumer.close()


def test_who_may_not_is_told_the_topic(secure: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    log = opened(secure, "stranger")
    with pytest.raises(Permanent, match=r"'out'.*ACL"):
        append_now(log, numbered("out", range(1)))
    with pytest.raises(Permanent, match=r"'in'.*ACL"):
        log.consumer("workers-x", ["in"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_may_not_is_told_the_group(secure: KafkaCluster, opened: Callable[..., KafkaLog], protocol: str) -> None:
    log = opened(secure, "watcher", group_protocol=protocol)
    consumer = log.consumer("somebody-elses", ["in"])
    with pytest.raises(Permanent, match=r"'somebody-elses'.*ACL"):
        read(consumer, 1)
    consumer.close()


def test_a_tail_needs_no_right_to_any_group(secure: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    tail = opened(secure, "watcher").tail(["in"], "earliest")
    assert len(read(tail, 20)) == 20
    tail.close()


def test_a_wrong_password_is_called_by_its_name(secure: KafkaCluster, opened: Callable[..., KafkaLog]) -> None:
    log = opened(secure, "worker", sasl_password=Sensitive("wrong"), request_timeout_s=3.0)
    with pytest.raises(Permanent, match="password"):
        log.warm()


def test_nobody_there_is_retryable(opened: Callable[..., KafkaLog]) -> None:
    class Nowhere:
        secure = False
        bootstrap = "127.0.0.1:9"

    log = opened(Nowhere(), request_timeout_s=1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(GenescaleError) as raised:
        log.topics()
    assert isinstance(raised.value, LogUnavailable)


def test_what_nobody_closed_is_closed_with_the_log(shared: KafkaCluster) -> None:
    """A forgotten consumer that the garbage collector frees would hang the process in its destructor."""
    log = KafkaLog(settings_for(shared), SystemClock())
    topic = unique("forgotten")
    log.create_topics([TopicSpec(name=topic, partitions=1)])
    log.consumer(unique("group"), [topic]).poll(1, 0.1)
    log.tail([topic], "earliest").poll(1, 0.1)
    assert len(log.open_readers) == 2
    log.close()
    assert not log.open_readers
