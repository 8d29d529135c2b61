"""The loop's own memory, in the compacted topic `genescale-loop-state`: crash counts and parked records.

Everything is keyed by group, topic and partition and stands in the loop-state partition of the same number, so that
whoever takes a partition over finds what its former owner left. The topic is compacted by the log, so reading it from
the start stays cheap. All three logs carry it alike.
"""

from collections.abc import Iterable

from genescale.clock import Clock, rfc3339
from genescale.errors import Retryable
from genescale.events import envelope
from genescale.events.catalogue import CATALOGUE, new_event
from genescale.events.log import EventLog, NewRecord, Record, TopicPartition
from genescale.events.loop_data import BatchStarted, RecordParked
from genescale.events.topics import LOOP_STATE

_SOURCE = "/genescale/loop"
_READ_RECORDS = 1_000
_CATCH_UP_S = 30.0


class LoopState:
    """What the loop of one group has written down, as far as it was read."""

    def __init__(self, log: EventLog, group: str, clock: Clock) -> None:
        self._log, self._group, self._clock = log, group, clock
        self._prefix = f"{group}/".encode()
        self._partitions = log.topics()[LOOP_STATE].partitions
        self._tail = log.tail([LOOP_STATE], "earliest")
        self._started: dict[TopicPartition, BatchStarted] = {}
        self._parked: dict[TopicPartition, dict[int, RecordParked]] = {}

    def refresh(self) -> None:
        """Read everything that was written until now."""
        ends = {TopicPartition(LOOP_STATE, n): bounds.end for n, bounds in self._log.bounds(LOOP_STATE).items()}
        deadline_s = self._clock.monotonic_s() + _CATCH_UP_S
        while True:
            positions = self._tail.positions()
            if all(positions.get(seat, 0) >= end for seat, end in ends.items()):
                return
            found = self._tail.poll(_READ_RECORDS, 1.0)
            for record in found:
                self._take(record)
            if not found and self._only_gaps_left(ends):
                return
            if self._clock.monotonic_s() > deadline_s:
                raise Retryable(f"could not read {LOOP_STATE} to its end within {_CATCH_UP_S:.0f} s")

    def _only_gaps_left(self, ends: dict[TopicPartition, int]) -> bool:
        """Compaction may have removed the last records: then nothing comes although the end is not reached."""
        firsts = self._log.bounds(LOOP_STATE)
        positions = self._tail.positions()
        return all(positions[seat] >= firsts[seat.partition].first for seat in ends)

    def _take(self, record: Record) -> None:
        if record.key is None or not record.key.startswith(self._prefix):
            return
        seat, offset = _parse_key(record.key)
        if record.value is None:
            if offset is None:
                self._started.pop(seat, None)
            else:
                self._parked.get(seat, {}).pop(offset, None)
            return
        data = CATALOGUE.validate(CATALOGUE.upcast(envelope.from_record(record)))
        if isinstance(data, BatchStarted):
            self._started[seat] = data
        elif isinstance(data, RecordParked) and offset is not None:
            self._parked.setdefault(seat, {})[offset] = data

    def started(self, seat: TopicPartition) -> BatchStarted | None:
        """The last batch that was begun on this partition."""
        return self._started.get(seat)

    def parked(self, seat: TopicPartition) -> list[RecordParked]:
        """The records of this partition that wait, oldest first."""
        waiting = self._parked.get(seat, {})
        return [waiting[offset] for offset in sorted(waiting)]

    # ---- what is written ----

    def started_record(self, data: BatchStarted) -> NewRecord:
        """The note that a batch begins, or was handed back clean."""
        return self._record(data, TopicPartition(data.topic, data.partition), None)

    def parked_record(self, data: RecordParked) -> NewRecord:
        """The note that a record waits."""
        seat = TopicPartition(data.record.topic, data.record.partition)
        return self._record(data, seat, data.record.offset)

    def unparked_records(self, waiting: Iterable[RecordParked]) -> list[NewRecord]:
        """Tombstones: these records wait no more."""
        return [
            NewRecord(
                LOOP_STATE,
                _key(self._group, TopicPartition(data.record.topic, data.record.partition), data.record.offset),
                None,
                partition=data.record.partition % self._partitions,
            )
            for data in waiting
        ]

    def _record(self, data: BatchStarted | RecordParked, seat: TopicPartition, offset: int | None) -> NewRecord:
        key = _key(self._group, seat, offset)
        now = rfc3339(self._clock.wall_ms())
        text = key.decode()
        event = new_event(data, id=envelope.derive_id(text, now), source=_SOURCE, time=now, subject=text)
        return envelope.to_record(event, LOOP_STATE, partition=seat.partition % self._partitions)

    def close(self) -> None:
        """Stop reading."""
        self._tail.close()


def _key(group: str, seat: TopicPartition, offset: int | None) -> bytes:
    """`group/topic/partition` for a batch, with `/offset` for a parked record. Topics and groups have no slash."""
    key = f"{group}/{seat.topic}/{seat.partition}"
    return (key if offset is None else f"{key}/{offset}").encode()


def _parse_key(key: bytes) -> tuple[TopicPartition, int | None]:
    _group, topic, partition, *offset = key.decode().split("/")
    return TopicPartition(topic, int(partition)), int(offset[0]) if offset else None
