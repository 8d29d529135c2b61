"""Records that wait for another try, in order of their key, outside their partition.

Only the first record of a key is ever tried; the others queue behind it, so that order per key is kept while the
partition goes on. What stands here stands in the loop's state as well; this is the copy that knows when it is due, on
the monotonic clock.
"""

from collections import deque
from typing import NamedTuple, TypeAlias

import msgspec

from genescale.events.log import Record, TopicPartition
from genescale.events.loop_data import RecordParked


class Waiting(msgspec.Struct, frozen=True):
    """A parked record and when it is due."""

    data: RecordParked
    due_s: float

    @property
    def seat(self) -> TopicPartition:
        """The partition that the record came from."""
        return TopicPartition(self.data.record.topic, self.data.record.partition)


class _Lane(NamedTuple):
    """One key of one partition. A record without a key has no order to keep and gets a lane of its own."""

    seat: TopicPartition
    key: bytes


_Queues: TypeAlias = "dict[_Lane, deque[Waiting]]"


class Parking:
    """All that waits in one loop."""

    def __init__(self) -> None:
        self._queues: _Queues = {}
        self._offsets: set[tuple[TopicPartition, int]] = set()

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, waiting: Waiting) -> None:
        """At the end of its key's queue."""
        self._queues.setdefault(_lane(waiting), deque()).append(waiting)
        self._offsets.add((waiting.seat, waiting.data.record.offset))

    def put_back(self, waiting: Waiting) -> None:
        """The first of its key was tried and waits again."""
        self._queues[_lane(waiting)][0] = waiting

    def done(self, waiting: Waiting, now_s: float) -> None:
        """The first of its key is settled; the next one is due at once."""
        lane = _lane(waiting)
        queue = self._queues[lane]
        queue.popleft()
        self._offsets.discard((waiting.seat, waiting.data.record.offset))
        if not queue:
            del self._queues[lane]
        else:
            queue[0] = Waiting(queue[0].data, now_s)

    def has(self, record: Record) -> bool:
        """True when this very record waits here."""
        return (TopicPartition(record.topic, record.partition), record.offset) in self._offsets

    def holds(self, record: Record) -> bool:
        """True when an earlier record of the same key waits, so that this one must not overtake it."""
        if record.key is None or not self._queues:
            return False
        return _Lane(TopicPartition(record.topic, record.partition), b"k" + record.key) in self._queues

    def due(self, now_s: float) -> list[Waiting]:
        """The first of every key whose time has come, the longest overdue first."""
        heads = (queue[0] for queue in self._queues.values())
        return sorted((head for head in heads if head.due_s <= now_s), key=lambda head: head.due_s)

    def next_due_s(self, default: float) -> float:
        """When the next one is due."""
        return min((queue[0].due_s for queue in self._queues.values()), default=default)

    def waiting(self, seat: TopicPartition) -> list[Waiting]:
        """All that waits from one partition."""
        return [waiting for lane, queue in self._queues.items() if lane.seat == seat for waiting in queue]

    def seats(self) -> set[TopicPartition]:
        """The partitions that have something waiting."""
        return {lane.seat for lane in self._queues}

    def drop(self, seat: TopicPartition, *, read_again_from: int = 0) -> None:
        """The partition went to somebody else, or is read again from an offset: forget what waits from there on."""
        for lane in [lane for lane in self._queues if lane.seat == seat]:
            kept = [waiting for waiting in self._queues[lane] if waiting.data.record.offset < read_again_from]
            if kept:
                self._queues[lane] = deque(kept)
            else:
                del self._queues[lane]
        self._offsets = {place for place in self._offsets if place[0] != seat or place[1] < read_again_from}


def _lane(waiting: Waiting) -> _Lane:
    record = waiting.data.record
    key = b"k" + record.key if record.key is not None else b"o%d" % record.offset
    return _Lane(waiting.seat, key)
