"""Retention and compaction, for the logs that do it themselves (a Kafka broker does it in its own time)."""

import pytest

from contracts.conftest import World, make_topic
from contracts.test_event_log import group_name, read
from genescale.events.log import EventLog, NewRecord, TopicPartition, append_now

pytestmark = pytest.mark.parametrize("world", ["memory", "sqlite"], indirect=True)

OLD_MS = 1_000_000


def test_retention_removes_what_is_too_old_and_never_reuses_an_offset(world: World, log: EventLog) -> None:
    topic = make_topic(log, retention_s=3600)
    append_now(log, [NewRecord(topic, None, b"old", partition=0, timestamp_ms=OLD_MS) for _ in range(5)])
    append_now(log, [NewRecord(topic, None, b"new", partition=0)])
    append_now(log, [NewRecord(topic, None, b"old", partition=1, timestamp_ms=OLD_MS)])
    assert log.maintain()["records_removed"] == 6
    assert log.bounds(topic)[0] == (5, 6)
    assert log.bounds(topic)[1] == (1, 1)
    [position] = append_now(world.open(), [NewRecord(topic, None, b"next", partition=1)])
    assert position.offset == 1
    assert {record.value for record in read(log.tail([topic], "earliest"), 2)} == {b"new", b"next"}


def test_a_group_behind_the_retention_goes_on_at_the_oldest_record(log: EventLog) -> None:
    topic, group = make_topic(log, retention_s=3600, partitions=1), group_name()
    log.set_positions(group, {TopicPartition(topic, 0): 0})
    append_now(log, [NewRecord(topic, None, b"old", timestamp_ms=OLD_MS, partition=0) for _ in range(5)])
    append_now(log, [NewRecord(topic, None, b"new", partition=0)])
    log.maintain()
    consumer = log.consumer(group, [topic])
    assert [record.value for record in read(consumer, 1)] == [b"new"]
    consumer.close()


def test_compaction_keeps_the_last_value_of_each_key(log: EventLog) -> None:
    topic = make_topic(log, cleanup="compact", retention_s=None, partitions=1)
    for n in range(3):
        append_now(log, [NewRecord(topic, key, b"%d" % n) for key in (b"a", b"b", b"c")])
    append_now(log, [NewRecord(topic, b"b", None)])
    assert log.maintain()["records_compacted"] >= 6
    kept = read(log.tail([topic], "earliest"), 2)
    assert {(record.key, record.value) for record in kept if record.value} == {(b"a", b"2"), (b"c", b"2")}
    [position] = append_now(log, [NewRecord(topic, b"d", b"v")])
    assert position.offset == 10, "an offset is never used twice, even when the last record was compacted away"
