"""The log port: what every event log promises, whatever it is made of.

Three adapters keep these promises: `memory` (tests), `sqlite` (one machine) and `kafka` (a cluster). One contract
suite, `tests/contracts/test_event_log.py`, runs against all three. The words are Kafka's: a *topic* has
*partitions*, a record has an *offset* in its partition, a *group* has a committed *position* per partition, *lag* is
how far the position is behind the end.

The promises, in the order in which they matter:

1. The future of `append` is resolved only when the records survive a power cut.
2. Records of one key go to one partition and keep their order.
3. At any time at most one member of a group may write on behalf of a partition (`fence`), and positions move only by
   the hand of the current owner. A log that cannot refuse a late write (Kafka) leaves it to be dropped by result id.
4. A position says what is done. `commit` after the results are durable, and lag is true.
5. A record that cannot be trusted is never handed out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Literal, NamedTuple, Protocol, TypeAlias

import msgspec

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where one record lies. Printed as `topic/partition/offset`, the `ref` of the realtime protocol."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the design wants it. The same table makes SQLite files, Kafka topics and manifests."""

    name: str
    partitions: int = 24
    retention_s: int | None = 7 * 86_400  # None keeps for ever
    cleanup: Literal["delete", "compact"] = "delete"
    power_safe: bool = True  # False: survives a crash of the process, not of the machine
    record_bytes_max: int = 1_048_576


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """What a producer hands over. `value` None is a tombstone: in a compacted topic it removes the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None  # None: chosen by the key, as Kafka's clients do
    timestamp_ms: int | None = None  # None: now


class Record(msgspec.Struct, frozen=True, gc=False):
    """What a consumer gets."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def position(self) -> Position:
        """Where this record lies."""
        return Position(self.topic, self.partition, self.offset)


class Fence(msgspec.Struct, frozen=True):
    """The right to write on behalf of partitions. Tokens only grow; a write with an old one raises `Fenced`."""

    group: str
    tokens: dict[TopicPartition, int]


class PartitionBounds(NamedTuple):
    """`first` is the oldest offset still held, `end` the offset that the next record will get."""

    first: int
    end: int


class PartitionLag(NamedTuple):
    """How far a group is behind on one partition. `position` None: it never committed; lag counts from the start."""

    topic: str
    partition: int
    position: int | None
    end: int
    lag: int


class MemberInfo(NamedTuple):
    """One live consumer of a group."""

    member: str
    partitions: tuple[TopicPartition, ...]


TailStart: TypeAlias = Literal["earliest", "latest"] | Mapping[TopicPartition, int]
AssignmentListener: TypeAlias = Callable[[Iterable[TopicPartition]], None]


class Consumer(Protocol):
    """One member of a group. Used from one thread; `wake` alone also from another, or from a signal handler."""

    @property
    def member(self) -> str:
        """This member's name, unique in its group."""
        ...

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """Up to `records_max` records in offset order per partition; [] after `timeout_s`, or at once after `wake`.

        Joins the group on the first call; hands partitions over when the group changes, calling the listeners.
        Keeps the membership alive: a caller that never polls again is dropped when the session ends.
        """
        ...

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Set the group's positions (the next offset to read). Durable on return. Raises `Fenced` if any was lost."""
        ...

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The group's positions as they stand in the log."""
        ...

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member owns, as far as it knows."""
        ...

    def fence(self, partitions: Iterable[TopicPartition]) -> Fence:
        """The right to append on behalf of these partitions. Raises `Fenced` when one is not owned any more."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Keep owning these, read nothing from them."""
        ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Read from them again, from where reading stopped."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read this owned partition from `offset` on; the committed position does not move."""
        ...

    def wake(self) -> None:
        """Make a waiting `poll` return now."""
        ...

    def close(self) -> None:
        """Leave the group at once, so that the others need not wait for the session to end."""
        ...


class Tail(Protocol):
    """A reader that belongs to no group: delivery, projections, `events tail`. Leaves no trace in the log."""

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """Up to `records_max` records in offset order per partition; [] after `timeout_s` or `wake`."""
        ...

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset that would be read from each partition."""
        ...

    def wake(self) -> None:
        """Make a waiting `poll` return now. Safe from any thread."""
        ...

    def close(self) -> None:
        """Let go of files and sockets."""
        ...


class EventLog(Protocol):
    """The log itself. Safe to use from several threads of one process."""

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Make these topics exist. One that exists keeps its partitions; other settings follow the spec."""
        ...

    def topics(self) -> dict[str, TopicSpec]:
        """Every topic that exists."""
        ...

    def append(self, records: Sequence[NewRecord], fence: Fence | None = None) -> "Future[list[Position]]":
        """Write a batch. The future gives the positions, in order, once every record is durable.

        All records of one topic in one call become visible together. `DiskFull`: nothing was written, reading goes on.
        `Fenced`: nothing was written. Raises `UnknownTopic` and `TooLarge` at once, before anything is written.
        """
        ...

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        outputs: Sequence[str] = (),
        on_assigned: AssignmentListener | None = None,
        on_revoked: AssignmentListener | None = None,
        on_lost: AssignmentListener | None = None,
    ) -> Consumer:
        """A new member of `group`. A group without a position starts at the oldest record.

        `outputs` are the topics that this consumer appends to under its `fence`: from the moment it owns a partition,
        the former owner's appends to them are refused. `on_revoked` is called while the partitions are still owned
        (commit there); `on_lost` when they are gone already.
        """
        ...

    def tail(self, topics: Sequence[str], start: TailStart = "latest") -> Tail:
        """Read without a group. A mapping gives the first offset per partition; partitions it omits start at 0."""
        ...

    def bounds(self, topic: str) -> dict[int, PartitionBounds]:
        """First and end offset of every partition."""
        ...

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Per partition the first offset whose timestamp is at or after this one; the end when there is none."""
        ...

    def groups(self) -> list[str]:
        """The groups that have members or positions."""
        ...

    def members(self, group: str) -> list[MemberInfo]:
        """Who is in the group now, and what they own."""
        ...

    def lag(self, group: str) -> list[PartitionLag]:
        """How far the group is behind, per partition of every topic it reads or has read."""
        ...

    def set_positions(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Move the positions of a group that has no live members (replay). Raises `Permanent` when it has some."""
        ...

    def maintain(self) -> dict[str, int]:
        """Retention, compaction and other upkeep, where the log does not do it by itself. Returns what was done."""
        ...

    def close(self) -> None:
        """Finish what was accepted, then let go of threads and files."""
        ...


def record_bytes(record: NewRecord) -> int:
    """The size that counts against `record_bytes_max`: key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value)
    return size


def append_now(
    log: EventLog, records: Sequence[NewRecord], fence: Fence | None = None, timeout_s: float = 60.0
) -> list[Position]:
    """Append and wait until it is durable."""
    return log.append(records, fence).result(timeout_s)


def total_lag(lags: Iterable[PartitionLag]) -> int:
    """The one number that scaling reads."""
    return sum(lag.lag for lag in lags)
