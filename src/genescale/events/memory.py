"""The log in memory, for tests: the same promises as the others, gone with the process.

It shares the clock with its caller, so that leases and time-outs cost no waiting under a `ManualClock`. One lock
guards everything; that makes it slow and easy to believe.
"""

import threading
import uuid
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from msgspec import structs

from genescale.clock import Clock
from genescale.errors import Fenced, Permanent, TooLarge, UnknownTopic
from genescale.events.assignment import next_step
from genescale.events.kernel import partition_of
from genescale.events.log import (
    AssignmentListener,
    Fence,
    MemberInfo,
    NewRecord,
    PartitionBounds,
    PartitionLag,
    Position,
    Record,
    TailStart,
    TopicPartition,
    TopicSpec,
    record_bytes,
)

_LOOK_S = 0.1  # how soon a waiting reader notices `wake`


@dataclass
class _Partition:
    records: list[Record] = field(default_factory=list[Record])
    end: int = 0
    keyless: int = 0

    @property
    def first(self) -> int:
        return self.records[0].offset if self.records else self.end

    def read(self, offset: int, records_max: int) -> list[Record]:
        start = bisect_left(self.records, offset, key=lambda record: record.offset)
        return self.records[start : start + records_max]


@dataclass
class _Seat:
    owner: str | None = None
    token: int = 0
    position: int | None = None


@dataclass
class _Group:
    members: dict[str, "_Member"] = field(default_factory=dict[str, "_Member"])
    seats: dict[TopicPartition, _Seat] = field(default_factory=dict[TopicPartition, _Seat])
    epoch: int = 0


@dataclass
class _Member:
    topics: tuple[str, ...]
    expires_s: float


class MemoryLog:
    """See `EventLog`."""

    def __init__(self, clock: Clock, *, session_timeout_s: float = 6.0) -> None:
        self.clock = clock
        self.session_timeout_s = session_timeout_s
        self.lock = threading.RLock()
        self.specs: dict[str, TopicSpec] = {}
        self.partitions: dict[TopicPartition, _Partition] = {}
        self.groups_by_name: dict[str, _Group] = {}
        self.waiters: set[threading.Event] = set()

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See `EventLog`."""
        with self.lock:
            for spec in specs:
                known = self.specs.get(spec.name)
                count = known.partitions if known else spec.partitions
                self.specs[spec.name] = structs.replace(spec, partitions=count)
                for partition in range(count):
                    self.partitions.setdefault(TopicPartition(spec.name, partition), _Partition())

    def topics(self) -> dict[str, TopicSpec]:
        """See `EventLog`."""
        with self.lock:
            return dict(self.specs)

    def append(self, records: Sequence[NewRecord], fence: Fence | None = None) -> "Future[list[Position]]":
        """See `EventLog`."""
        future: Future[list[Position]] = Future()
        with self.lock:
            for record in records:
                self._check(record)
            try:
                self._check_fence(fence)
                future.set_result([self._append_one(record) for record in records])
            except Fenced as error:
                future.set_exception(error)
        self.wake_all()
        return future

    def _check(self, record: NewRecord) -> None:
        spec = self.spec(record.topic)
        if record_bytes(record) > spec.record_bytes_max:
            raise TooLarge(
                f"a record of {record_bytes(record):,} bytes is above the {spec.record_bytes_max:,} bytes that topic "
                f"{record.topic!r} takes; store the payload as an object and send its reference"
            )

    def _check_fence(self, fence: Fence | None) -> None:
        if fence is None:
            return
        group = self.groups_by_name.get(fence.group, _Group())
        for seat_name, token in fence.tokens.items():
            seat = group.seats.get(seat_name)
            if seat is None or seat.token > token:
                raise Fenced(f"group {fence.group!r}: {seat_name.topic}/{seat_name.partition} has a new owner")

    def _append_one(self, record: NewRecord) -> Position:
        count = self.specs[record.topic].partitions
        if record.partition is not None:
            number = record.partition
        elif record.key is not None:
            number = partition_of(record.key, count)
        else:
            turn = self.partitions[TopicPartition(record.topic, 0)]
            turn.keyless += 1
            number = turn.keyless % count
        partition = self.partitions[TopicPartition(record.topic, number)]
        stored = Record(
            topic=record.topic,
            partition=number,
            offset=partition.end,
            timestamp_ms=self.clock.wall_ms() if record.timestamp_ms is None else record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        partition.records.append(stored)
        partition.end += 1
        return stored.position

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        outputs: Sequence[str] = (),  # noqa: ARG002 - the one lock makes every fence exact, whatever the topic
        on_assigned: AssignmentListener | None = None,
        on_revoked: AssignmentListener | None = None,
        on_lost: AssignmentListener | None = None,
    ) -> "MemoryConsumer":
        """See `EventLog`."""
        for topic in topics:
            self.spec(topic)
        return MemoryConsumer(self, group, tuple(topics), on_assigned, on_revoked, on_lost)

    def tail(self, topics: Sequence[str], start: TailStart = "latest") -> "MemoryTail":
        """See `EventLog`."""
        positions: dict[TopicPartition, int] = {}
        with self.lock:
            for topic in topics:
                for number, (first, end) in self.bounds(topic).items():
                    seat = TopicPartition(topic, number)
                    if isinstance(start, str):
                        positions[seat] = first if start == "earliest" else end
                    else:
                        positions[seat] = start.get(seat, 0)
        return MemoryTail(self, positions)

    def bounds(self, topic: str) -> dict[int, PartitionBounds]:
        """See `EventLog`."""
        with self.lock:
            found: dict[int, PartitionBounds] = {}
            for number in range(self.spec(topic).partitions):
                partition = self.partitions[TopicPartition(topic, number)]
                found[number] = PartitionBounds(partition.first, partition.end)
            return found

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """See `EventLog`."""
        with self.lock:
            found: dict[int, int] = {}
            for number in range(self.spec(topic).partitions):
                partition = self.partitions[TopicPartition(topic, number)]
                later = (record.offset for record in partition.records if record.timestamp_ms >= timestamp_ms)
                found[number] = next(later, partition.end)
            return found

    def groups(self) -> list[str]:
        """See `EventLog`."""
        with self.lock:
            return sorted(self.groups_by_name)

    def members(self, group: str) -> list[MemberInfo]:
        """See `EventLog`."""
        with self.lock:
            state = self.groups_by_name.get(group, _Group())
            self.expire(state)
            return [
                MemberInfo(name, tuple(sorted(seat for seat, held in state.seats.items() if held.owner == name)))
                for name in sorted(state.members)
            ]

    def lag(self, group: str) -> list[PartitionLag]:
        """See `EventLog`."""
        with self.lock:
            state = self.groups_by_name.get(group, _Group())
            found: list[PartitionLag] = []
            for seat_name in sorted(state.seats):
                first, end = self.bounds(seat_name.topic)[seat_name.partition]
                position = state.seats[seat_name].position
                start = first if position is None else position
                found.append(PartitionLag(*seat_name, position, end, max(0, end - start)))
            return found

    def set_positions(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """See `EventLog`."""
        with self.lock:
            state = self.groups_by_name.setdefault(group, _Group())
            self.expire(state)
            if state.members:
                raise Permanent(
                    f"group {group!r} has {len(state.members)} live members; stop them before moving its positions"
                )
            for seat_name, offset in positions.items():
                self.spec(seat_name.topic)
                state.seats.setdefault(seat_name, _Seat()).position = offset

    def maintain(self) -> dict[str, int]:
        """See `EventLog`."""
        removed = compacted = 0
        with self.lock:
            for seat, partition in self.partitions.items():
                spec = self.specs[seat.topic]
                before = len(partition.records)
                if spec.cleanup == "compact":
                    partition.records = _compact(partition.records)
                    compacted += before - len(partition.records)
                elif spec.retention_s is not None:
                    oldest_ms = self.clock.wall_ms() - spec.retention_s * 1000
                    partition.records = [r for r in partition.records if r.timestamp_ms >= oldest_ms]
                    removed += before - len(partition.records)
        return {"records_removed": removed, "records_compacted": compacted}

    def close(self) -> None:
        """See `EventLog`."""
        self.wake_all()

    # ---- used by the readers below ----

    def spec(self, topic: str) -> TopicSpec:
        """The topic, or `UnknownTopic` that lists what there is."""
        try:
            return self.specs[topic]
        except KeyError:
            raise UnknownTopic(f"no topic {topic!r}; there are: {', '.join(sorted(self.specs)) or 'none'}") from None

    def wake_all(self) -> None:
        """Something changed: let every waiting reader look."""
        for waiter in tuple(self.waiters):
            waiter.set()

    def expire(self, group: _Group) -> None:
        """Drop the members whose lease is over; their seats are free for others."""
        now = self.clock.monotonic_s()
        dead = [name for name, member in group.members.items() if member.expires_s <= now]
        for name in dead:
            self.drop(group, name)

    def drop(self, group: _Group, member: str) -> None:
        """Forget a member and free its seats."""
        group.members.pop(member, None)
        group.epoch += 1
        for seat in group.seats.values():
            if seat.owner == member:
                seat.owner = None


class MemoryConsumer:
    """See `Consumer`."""

    def __init__(
        self,
        log: MemoryLog,
        group: str,
        topics: tuple[str, ...],
        on_assigned: AssignmentListener | None,
        on_revoked: AssignmentListener | None,
        on_lost: AssignmentListener | None,
    ) -> None:
        self._log, self._group, self._topics = log, group, topics
        self._on_assigned, self._on_revoked, self._on_lost = on_assigned, on_revoked, on_lost
        self._tokens: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._woken = threading.Event()
        self._interrupted = False
        self._member = f"memory-{uuid.uuid4()}"

    @property
    def member(self) -> str:
        """See `Consumer`."""
        return self._member

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Consumer`."""
        deadline = self._log.clock.monotonic_s() + timeout_s
        while True:
            self._woken.clear()
            self._log.waiters.add(self._woken)
            self._coordinate()
            found = self._read(records_max)
            left = deadline - self._log.clock.monotonic_s()
            if found or self._interrupted or left <= 0:
                self._interrupted = False
                return found
            self._log.clock.wait(self._woken, min(left, _LOOK_S))

    def _read(self, records_max: int) -> list[Record]:
        found: list[Record] = []
        with self._log.lock:
            for seat in sorted(self._tokens):
                if seat not in self._paused and len(found) < records_max:
                    batch = self._log.partitions[seat].read(self._next[seat], records_max - len(found))
                    if batch:
                        self._next[seat] = batch[-1].offset + 1
                        found += batch
        return found

    def _state(self) -> _Group:
        return self._log.groups_by_name.setdefault(self._group, _Group())

    def _coordinate(self) -> None:
        """Renew the lease, notice what was lost, give up what is too much, claim what is free."""
        with self._log.lock:
            group = self._state()
            now = self._log.clock.monotonic_s()
            self._log.expire(group)
            known = self._member in group.members
            group.members[self._member] = _Member(self._topics, now + self._log.session_timeout_s)
            if not known:
                group.epoch += 1
                self._log.wake_all()
            for topic in self._topics:
                for number in range(self._log.spec(topic).partitions):
                    group.seats.setdefault(TopicPartition(topic, number), _Seat())
            lost = [seat for seat, token in self._tokens.items() if not self._still_mine(group, seat, token)]
            self._forget(lost)
            step = next_step(
                self._member,
                {name: member.topics for name, member in group.members.items()},
                {seat: held.owner for seat, held in group.seats.items()},
            )
        if lost and self._on_lost:
            self._on_lost(lost)
        if step.release:
            self._release(step.release)
        if step.claim:
            self._claim(step.claim)

    def _still_mine(self, group: _Group, seat: TopicPartition, token: int) -> bool:
        return group.seats[seat].owner == self._member and group.seats[seat].token == token

    def _release(self, seats: Iterable[TopicPartition]) -> None:
        if self._on_revoked:
            self._on_revoked(seats)
        with self._log.lock:
            group = self._state()
            for seat in seats:
                if group.seats[seat].owner == self._member:
                    group.seats[seat].owner = None
            self._forget(seats)
        self._log.wake_all()

    def _claim(self, seats: Iterable[TopicPartition]) -> None:
        with self._log.lock:
            group = self._state()
            taken = [seat for seat in seats if group.seats[seat].owner is None]
            for name in taken:
                seat = group.seats[name]
                seat.owner, seat.token = self._member, seat.token + 1
                self._tokens[name] = seat.token
                first = self._log.partitions[name].first
                self._next[name] = first if seat.position is None else max(first, seat.position)
        if taken and self._on_assigned:
            self._on_assigned(taken)

    def _forget(self, seats: Iterable[TopicPartition]) -> None:
        for seat in seats:
            self._tokens.pop(seat, None)
            self._next.pop(seat, None)
            self._paused.discard(seat)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Consumer`."""
        with self._log.lock:
            group = self._state()
            self._log.expire(group)
            for name in positions:
                token = self._tokens.get(name)
                if token is None or not self._still_mine(group, name, token):
                    raise Fenced(f"group {self._group!r}: {name.topic}/{name.partition} has a new owner")
            for name, offset in positions.items():
                group.seats[name].position = offset

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `Consumer`."""
        with self._log.lock:
            seats = self._state().seats
            return {name: seats[name].position if name in seats else None for name in partitions}

    def assignment(self) -> frozenset[TopicPartition]:
        """See `Consumer`."""
        return frozenset(self._tokens)

    def fence(self, partitions: Iterable[TopicPartition]) -> Fence:
        """See `Consumer`."""
        wanted = list(partitions)
        for name in wanted:
            if name not in self._tokens:
                raise Fenced(f"group {self._group!r}: {name.topic}/{name.partition} is not owned by this member")
        return Fence(self._group, {name: self._tokens[name] for name in wanted})

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        self._paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Consumer`."""
        if partition not in self._tokens:
            raise Fenced(f"group {self._group!r}: {partition.topic}/{partition.partition} is not owned by this member")
        self._next[partition] = offset

    def wake(self) -> None:
        """See `Consumer`."""
        self._interrupted = True  # no more: a signal handler must not touch the lock inside an event

    def close(self) -> None:
        """See `Consumer`."""
        if self._tokens and self._on_revoked:
            self._on_revoked(sorted(self._tokens))
        with self._log.lock:
            self._log.drop(self._state(), self._member)
            self._forget(list(self._tokens))
            self._log.waiters.discard(self._woken)
        self._log.wake_all()


class MemoryTail:
    """See `Tail`."""

    def __init__(self, log: MemoryLog, positions: dict[TopicPartition, int]) -> None:
        self._log, self._next = log, positions
        self._woken = threading.Event()
        self._interrupted = False

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Tail`."""
        deadline = self._log.clock.monotonic_s() + timeout_s
        while True:
            self._woken.clear()
            self._log.waiters.add(self._woken)
            found = self._read(records_max)
            left = deadline - self._log.clock.monotonic_s()
            if found or self._interrupted or left <= 0:
                self._interrupted = False
                return found
            self._log.clock.wait(self._woken, min(left, _LOOK_S))

    def _read(self, records_max: int) -> list[Record]:
        found: list[Record] = []
        with self._log.lock:
            for seat, offset in self._next.items():
                if len(found) < records_max:
                    batch = self._log.partitions[seat].read(offset, records_max - len(found))
                    if batch:
                        self._next[seat] = batch[-1].offset + 1
                        found += batch
        return found

    def positions(self) -> dict[TopicPartition, int]:
        """See `Tail`."""
        return dict(self._next)

    def wake(self) -> None:
        """See `Tail`."""
        self._interrupted = True  # no more: a signal handler must not touch the lock inside an event

    def close(self) -> None:
        """See `Tail`."""
        self._log.waiters.discard(self._woken)


def _compact(records: list[Record]) -> list[Record]:
    """The last record of each key, less the tombstones that no later reader needs any more."""
    last = {record.key: record.offset for record in records}
    return [r for r in records if last[r.key] == r.offset and r.value is not None]
