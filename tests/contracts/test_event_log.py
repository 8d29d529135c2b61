"""What every event log promises. The same suite runs against memory, SQLite and Apache Kafka."""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest

from contracts.conftest import World, make_topic
from genescale.errors import Fenced, GenescaleError, Permanent, TooLarge, UnknownTopic
from genescale.events.kernel import partition_of
from genescale.events.log import Consumer, EventLog, NewRecord, Record, Tail, TopicPartition, TopicSpec, append_now

PATIENCE_S = 30.0


def group_name() -> str:
    return f"group-{uuid.uuid4()}"


def records(topic: str, keys: Iterable[str]) -> list[NewRecord]:
    return [NewRecord(topic, key.encode(), f"value-{n}-{key}".encode()) for n, key in enumerate(keys)]


def keys(count: int) -> list[str]:
    return [f"key-{n}" for n in range(count)]


def read(reader: Consumer | Tail, count: int, *, records_max: int = 100) -> list[Record]:
    """Poll until `count` records are there."""
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} records came"
        found += reader.poll(records_max, 0.2)
    return found


def poll_until(condition: Callable[[], bool], *consumers: Consumer) -> None:
    """Let the group settle: everybody polls, nobody reads much."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the group did not settle"
        for consumer in consumers:
            consumer.poll(1, 0.05)


def own(consumer: Consumer, count: int) -> None:
    poll_until(lambda: len(consumer.assignment()) == count, consumer)


def next_positions(found: Iterable[Record]) -> dict[TopicPartition, int]:
    positions: dict[TopicPartition, int] = {}
    for record in found:
        seat = TopicPartition(record.topic, record.partition)
        positions[seat] = max(positions.get(seat, 0), record.offset + 1)
    return positions


# ---- topics and appending ----


def test_a_record_comes_back_as_it_was_sent(log: EventLog, topic: str) -> None:
    headers = (("ce_id", b"1"), ("ce_empty", b""), ("ce_id", b"twice"))
    sent = NewRecord(topic, b"key", b"\x00\xffvalue", headers, timestamp_ms=1_700_000_000_123)
    [position] = append_now(log, [sent])
    [got] = read(log.tail([topic], "earliest"), 1)
    assert (got.key, got.value, got.headers, got.timestamp_ms) == (b"key", b"\x00\xffvalue", headers, 1_700_000_000_123)
    assert got.position == position
    assert str(position) == f"{topic}/{position.partition}/{position.offset}"


def test_missing_and_empty_are_not_the_same(log: EventLog, topic: str) -> None:
    append_now(log, [NewRecord(topic, None, None, partition=0), NewRecord(topic, b"", b"", partition=0)])
    got = read(log.tail([topic], "earliest"), 2)
    assert [(record.key, record.value) for record in got] == [(None, None), (b"", b"")]


def test_the_key_chooses_the_partition_as_kafka_does(log: EventLog, topic: str) -> None:
    for position, key in zip(append_now(log, records(topic, keys(40))), keys(40), strict=True):
        assert position.partition == partition_of(key.encode(), 4)


def test_offsets_are_dense_and_keep_the_order_of_a_key(log: EventLog, topic: str) -> None:
    names = [f"key-{n % 5}" for n in range(200)]
    for start in range(0, 200, 50):
        append_now(log, records(topic, names[start : start + 50]))
    got = read(log.tail([topic], "earliest"), 200)
    offsets: dict[int, list[int]] = defaultdict(list)
    values: dict[bytes, list[bytes]] = defaultdict(list)
    for record in got:
        offsets[record.partition].append(record.offset)
        values[record.key or b""].append(record.value or b"")
    assert all(found == list(range(len(found))) for found in offsets.values())
    for key, found in values.items():
        assert found == [f"value-{n % 50}-{key.decode()}".encode() for n in range(200) if names[n].encode() == key]


def test_positions_come_in_the_order_of_the_batch(log: EventLog, topic: str) -> None:
    batch = [NewRecord(topic, None, b"%d" % n, partition=n % 4) for n in range(20)]
    positions = append_now(log, batch)
    assert [(p.partition, p.offset) for p in positions] == [(n % 4, n // 4) for n in range(20)]


def test_an_empty_batch_is_fine(log: EventLog) -> None:
    assert append_now(log, []) == []


def test_one_batch_may_span_topics(log: EventLog, topic: str) -> None:
    other = make_topic(log)
    positions = append_now(
        log, [NewRecord(topic, b"a", b"1"), NewRecord(other, b"b", b"2"), NewRecord(topic, b"a", b"3")]
    )
    assert [position.topic for position in positions] == [topic, other, topic]
    assert positions[2].offset == positions[0].offset + 1


def test_an_unknown_topic_is_refused_by_name(log: EventLog) -> None:
    with pytest.raises(UnknownTopic, match="no-such-topic"):
        append_now(log, [NewRecord("no-such-topic", b"k", b"v")])
    with pytest.raises(UnknownTopic, match="no-such-topic"):
        log.bounds("no-such-topic")


def test_a_record_above_the_limit_is_refused_and_nothing_is_written(log: EventLog) -> None:
    topic = make_topic(log, record_bytes_max=10_000)
    with pytest.raises(TooLarge, match="reference"):
        append_now(log, [NewRecord(topic, b"k", b"small"), NewRecord(topic, b"k", b"x" * 10_001)])
    assert all(bounds.end == 0 for bounds in log.bounds(topic).values())


def test_creating_a_topic_again_keeps_its_partitions_and_records(log: EventLog, topic: str) -> None:
    append_now(log, records(topic, keys(10)))
    log.create_topics([TopicSpec(name=topic, partitions=9, retention_s=60)])
    spec = log.topics()[topic]
    assert (spec.partitions, spec.retention_s) == (4, 60)
    assert sum(bounds.end for bounds in log.bounds(topic).values()) == 10


def test_another_handle_sees_what_was_acknowledged(world: World, log: EventLog, topic: str) -> None:
    append_now(log, records(topic, keys(10)))
    other = world.open()
    assert topic in other.topics()
    assert len(read(other.tail([topic], "earliest"), 10)) == 10
    append_now(other, records(topic, keys(5)))
    assert sum(bounds.end for bounds in log.bounds(topic).values()) == 15


def test_appends_of_many_threads_all_arrive_once(log: EventLog, topic: str) -> None:
    def produce(who: int) -> None:
        for n in range(20):
            append_now(log, [NewRecord(topic, b"%d" % who, b"%d-%d" % (who, n))])

    threads = [threading.Thread(target=produce, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [record.value for record in read(log.tail([topic], "earliest"), 80)]
    assert sorted(got) == sorted(b"%d-%d" % (who, n) for who in range(4) for n in range(20))
    for who in range(4):
        mine = [value for value in got if value and value.startswith(b"%d-" % who)]
        assert mine == [b"%d-%d" % (who, n) for n in range(20)]


# ---- tailing ----


def test_a_tail_from_latest_sees_only_what_comes(log: EventLog, topic: str) -> None:
    append_now(log, records(topic, keys(10)))
    tail = log.tail([topic], "latest")
    append_now(log, [NewRecord(topic, b"new", b"new")])
    assert [record.value for record in read(tail, 1)] == [b"new"]
    tail.close()


def test_a_tail_from_positions_starts_there(log: EventLog, topic: str) -> None:
    append_now(log, [NewRecord(topic, None, b"%d" % n, partition=0) for n in range(10)])
    tail = log.tail([topic], {TopicPartition(topic, 0): 7})
    assert [record.value for record in read(tail, 3)] == [b"7", b"8", b"9"]
    assert tail.positions()[TopicPartition(topic, 0)] == 10


def test_a_tail_wakes_for_another_process(world: World, log: EventLog, topic: str) -> None:
    tail = log.tail([topic], "latest")
    assert tail.poll(10, 0) == []
    timer = threading.Timer(0.2, lambda: append_now(world.open(), [NewRecord(topic, b"k", b"v")]))
    timer.start()
    began = time.monotonic()
    assert len(tail.poll(10, PATIENCE_S)) == 1
    assert time.monotonic() - began < PATIENCE_S / 2
    timer.join()


def test_wake_ends_a_waiting_poll(log: EventLog, topic: str) -> None:
    tail = log.tail([topic], "latest")
    timer = threading.Timer(0.2, tail.wake)
    timer.start()
    began = time.monotonic()
    assert tail.poll(10, PATIENCE_S) == []
    assert time.monotonic() - began < PATIENCE_S / 2
    timer.join()


def test_offsets_at_a_time(log: EventLog, topic: str) -> None:
    stamps = [1_000_000, 2_000_000, 3_000_000]
    append_now(log, [NewRecord(topic, None, b"v", partition=0, timestamp_ms=stamp) for stamp in stamps])
    assert log.offsets_at(topic, 1_500_000)[0] == 1
    assert log.offsets_at(topic, 2_000_000)[0] == 1
    assert log.offsets_at(topic, 9_000_000)[0] == 3
    assert log.offsets_at(topic, 0)[1] == 0


# ---- groups ----


def test_a_group_starts_at_the_oldest_record(log: EventLog, topic: str) -> None:
    append_now(log, records(topic, keys(30)))
    consumer = log.consumer(group_name(), [topic])
    assert len(read(consumer, 30)) == 30
    consumer.close()


def test_a_group_goes_on_where_it_committed(log: EventLog, topic: str) -> None:
    group = group_name()
    append_now(log, records(topic, keys(30)))
    first = log.consumer(group, [topic])
    got = read(first, 30)
    first.commit(next_positions(got))
    first.close()
    append_now(log, records(topic, ["late"]))
    second = log.consumer(group, [topic])
    assert [record.key for record in read(second, 1)] == [b"late"]
    second.close()


def test_what_was_not_committed_comes_again(log: EventLog, topic: str) -> None:
    group = group_name()
    append_now(log, records(topic, keys(30)))
    first = log.consumer(group, [topic])
    read(first, 30)
    first.close()
    second = log.consumer(group, [topic])
    assert len(read(second, 30)) == 30
    second.close()


def test_lag_counts_what_is_not_committed(log: EventLog, topic: str) -> None:
    group = group_name()
    append_now(log, records(topic, keys(30)))
    consumer = log.consumer(group, [topic])
    got = read(consumer, 30)
    assert sum(lag.lag for lag in log.lag(group)) == 30
    assert all(lag.position is None for lag in log.lag(group))
    consumer.commit(next_positions(got))
    assert sum(lag.lag for lag in log.lag(group)) == 0
    append_now(log, records(topic, keys(7)))
    lags = log.lag(group)
    assert sum(lag.lag for lag in lags) == 7
    assert all(lag.topic == topic and lag.lag == lag.end - (lag.position or 0) for lag in lags)
    assert group in log.groups()
    consumer.close()


def test_lag_is_there_when_nobody_reads(log: EventLog, topic: str) -> None:
    group = group_name()
    consumer = log.consumer(group, [topic])
    append_now(log, records(topic, keys(12)))
    got = read(consumer, 12)
    consumer.commit(next_positions(got))
    consumer.close()
    append_now(log, records(topic, keys(5)))
    assert sum(lag.lag for lag in log.lag(group)) == 5
    assert log.members(group) == []


def test_two_members_share_and_a_survivor_takes_all(world: World, log: EventLog, topic: str) -> None:
    group = group_name()
    one, two = log.consumer(group, [topic]), world.open().consumer(group, [topic])
    own(one, 4)
    poll_until(lambda: len(one.assignment()) == len(two.assignment()) == 2, one, two)
    assert not one.assignment() & two.assignment()
    assert sorted(len(member.partitions) for member in log.members(group)) == [2, 2]
    two.close()
    own(one, 4)
    one.close()


def test_a_rebalance_loses_and_doubles_nothing_that_was_committed(world: World, log: EventLog, topic: str) -> None:
    group = group_name()
    append_now(log, records(topic, keys(400)))
    seen: list[Record] = []
    one = log.consumer(group, [topic])
    two = world.open().consumer(group, [topic])
    deadline = time.monotonic() + PATIENCE_S
    while sum(lag.lag for lag in log.lag(group)) or len(seen) < 400:
        assert time.monotonic() < deadline
        for consumer in (one, two):
            batch = consumer.poll(20, 0.05)
            if batch:
                consumer.commit(next_positions(batch))
                seen += batch
    assert len(seen) == len({record.position for record in seen}) == 400
    one.close()
    two.close()


def test_listeners_hear_of_partitions_while_they_are_still_owned(world: World, log: EventLog, topic: str) -> None:
    group = group_name()
    append_now(log, records(topic, keys(40)))
    got: list[Record] = []
    revoked: set[TopicPartition] = set()
    assigned: set[TopicPartition] = set()

    def on_revoked(seats: Iterable[TopicPartition]) -> None:
        mine = set(seats)
        revoked.update(mine)
        one.commit({seat: at for seat, at in next_positions(got).items() if seat in mine})

    one = log.consumer(group, [topic], on_assigned=assigned.update, on_revoked=on_revoked)
    got += read(one, 40)
    assert assigned == {TopicPartition(topic, n) for n in range(4)}
    two = world.open().consumer(group, [topic])
    poll_until(lambda: len(two.assignment()) == 2, one, two)
    assert len(revoked) == 2
    assert two.poll(100, 0.3) == [], "what the first member committed while it still owned must not come again"
    one.close()
    two.close()


def test_groups_do_not_disturb_each_other(log: EventLog, topic: str) -> None:
    append_now(log, records(topic, keys(10)))
    one, two = log.consumer(group_name(), [topic]), log.consumer(group_name(), [topic])
    assert len(read(one, 10)) == len(read(two, 10)) == 10
    one.close()
    two.close()


def test_pause_resume_and_seek(log: EventLog, topic: str) -> None:
    append_now(log, [NewRecord(topic, None, b"%d" % n, partition=n % 2) for n in range(10)])
    consumer = log.consumer(group_name(), [topic])
    own(consumer, 4)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer.seek(zero, 0)
    consumer.seek(one, 0)
    consumer.pause([zero])
    assert {record.partition for record in read(consumer, 5)} == {1}
    assert consumer.poll(10, 0.1) == []
    consumer.resume([zero])
    assert [record.value for record in read(consumer, 5)] == [b"0", b"2", b"4", b"6", b"8"]
    consumer.seek(zero, 3)
    assert [record.value for record in read(consumer, 2)] == [b"6", b"8"]
    consumer.close()


def test_wake_ends_a_consumers_poll(log: EventLog, topic: str) -> None:
    consumer = log.consumer(group_name(), [topic])
    own(consumer, 4)
    timer = threading.Timer(0.2, consumer.wake)
    timer.start()
    began = time.monotonic()
    assert consumer.poll(10, PATIENCE_S) == []
    assert time.monotonic() - began < PATIENCE_S / 2
    timer.join()
    consumer.close()


def test_committed_gives_what_stands_in_the_log(log: EventLog, topic: str) -> None:
    consumer = log.consumer(group_name(), [topic])
    own(consumer, 4)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    append_now(log, [NewRecord(topic, None, b"v", partition=0)])
    consumer.commit({zero: 1})
    assert consumer.committed([zero, one]) == {zero: 1, one: None}
    consumer.close()


def test_positions_of_a_group_move_only_without_members(log: EventLog, topic: str) -> None:
    group = group_name()
    append_now(log, [NewRecord(topic, None, b"%d" % n, partition=0) for n in range(5)])
    zero = TopicPartition(topic, 0)
    log.set_positions(group, {zero: 3})
    consumer = log.consumer(group, [topic])
    assert [record.value for record in read(consumer, 2)] == [b"3", b"4"]
    with pytest.raises(Permanent, match="live members"):
        log.set_positions(group, {zero: 0})
    consumer.close()
    log.set_positions(group, {zero: 1})
    again = log.consumer(group, [topic])
    assert len(read(again, 4)) == 4
    again.close()


# ---- fencing ----


def test_a_member_that_slept_too_long_is_fenced(world: World, log: EventLog, topic: str) -> None:
    """The paused worker: its lease ends, another takes over, and what it still does must not count."""
    group = group_name()
    output = make_topic(log)
    append_now(log, records(topic, keys(20)))
    lost: set[TopicPartition] = set()
    zombie_log = world.open()
    zombie = zombie_log.consumer(group, [topic], outputs=[output], on_lost=lost.update)
    got = read(zombie, 20)
    old = zombie.fence(zombie.assignment())
    other = log.consumer(group, [topic], outputs=[output])
    own(other, 4)

    if world.refuses_late_writes:
        with pytest.raises(Fenced):
            append_now(zombie_log, [NewRecord(output, b"k", b"late")], old)
        assert all(bounds.end == 0 for bounds in log.bounds(output).values())
    with pytest.raises(Fenced):
        zombie.commit(next_positions(got))
    assert sum(lag.lag for lag in log.lag(group)) == 20
    append_now(log, [NewRecord(output, b"k", b"current")], other.fence(other.assignment()))
    other.close()
    poll_until(lambda: len(lost) == len(zombie.assignment()) == 4, zombie)
    assert lost == {TopicPartition(topic, n) for n in range(4)}
    zombie.close()


def test_a_fence_needs_ownership(log: EventLog, topic: str) -> None:
    consumer = log.consumer(group_name(), [topic])
    with pytest.raises(Fenced):
        consumer.fence([TopicPartition(topic, 0)])
    with pytest.raises(GenescaleError):
        consumer.commit({TopicPartition(topic, 0): 1})
    consumer.close()


# ---- retention and compaction ----


def test_the_first_offset_is_zero_and_the_end_counts(log: EventLog, topic: str) -> None:
    append_now(log, [NewRecord(topic, None, b"v", partition=2) for _ in range(3)])
    assert log.bounds(topic)[2] == (0, 3)
    assert log.bounds(topic)[0] == (0, 0)
