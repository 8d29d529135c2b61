"""The log of one machine: SQLite files with the semantics of Kafka.

    <directory>/
      catalogue.db        topics, groups, owners, positions (see `sqlite_groups`)
      topics/NAME.db      the records of one topic           (see `sqlite_file`)
      wake/               pipes of waiting readers           (see `nudge`)
      open.lock           held by every process that has the log open

Several processes use one directory at once. Each has one thread that writes (see `sqlite_writer`); readers open the
files themselves. Outputs are made durable before positions, in two transactions on two files: a crash between the two
means that work is done again, and the ids of the results make that invisible.
"""

import contextlib
import fcntl
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from genescale.clock import Clock
from genescale.errors import Fenced, GenescaleError, Retryable, TooLarge, UnknownTopic
from genescale.events import sqlite_groups as groups
from genescale.events.append_watch import watch_append
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
from genescale.events.nudge import Nudger, Waiter
from genescale.events.sqlite_file import (
    PAGE_BYTES,
    TopicReader,
    TopicWriter,
    assert_sqlite_version,
    compact,
    connect,
    explain,
    lay_out,
    locked,
    remove_before,
)
from genescale.events.sqlite_recovery import recover, refused
from genescale.events.sqlite_scrub import Scrub
from genescale.events.sqlite_writer import WriteFile, Writer
from genescale.store.durable import sync_folder

T = TypeVar("T")

_DEAF_LOOK_S = 0.05  # how often a reader looks where the file system has no pipes
_SCRUB_BYTES = 2 * 1024 * 1024  # per call of `maintain`: 3 GB a day, for about 20 ms of a core a minute
_UPKEEP_ROWS = 5_000  # rows per transaction of the retention, so that nobody waits long behind it


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be set; `config` documents each field for users."""

    session_timeout_s: float = 6.0  # a paused owner is replaced after this long
    heartbeat_s: float = 1.0  # a third of the session or less, so that one late beat costs nothing
    poll_interval_max_s: float = 300.0  # an owner that handles one batch longer than this is taken for stuck
    checkpoint_bytes: int = 16 * 1024 * 1024  # how large a write-ahead log grows before it is folded in
    queue_records_max: int = 50_000  # records waiting for the disk, per process; above it `append` waits too
    answer_timeout_s: float = 60.0  # how long a caller waits for the writer before it says so


class SqliteLog:
    """See `EventLog`. Open it after a fork, never before."""

    def __init__(self, directory: Path, settings: SqliteSettings, clock: Clock) -> None:
        assert_sqlite_version()
        self.directory, self.settings, self.clock = directory, settings, clock
        self.repairs: list[str] = []  # what recovery cut back, for the log line of whoever opened it
        self._open_lock = self._enter()
        self._specs: dict[str, TopicSpec] = {}
        self._lock = threading.Lock()
        self._writers: dict[str, tuple[WriteFile, TopicWriter]] = {}
        self._consumers: set[SqliteConsumer] = set()
        self._nudger = Nudger(directory / "wake")
        self._scrub = Scrub(lambda: self.topics().values(), self.open_reader)
        self._catalogue = WriteFile(self.catalogue_path, connect(self.catalogue_path))
        self._reader = connect(self.catalogue_path, read_only=True)
        self._reader_lock = threading.Lock()
        self._checkpointer = _Checkpointer(settings.checkpoint_bytes, self._give_up)
        self._writer = Writer(
            clock,
            records_max=settings.queue_records_max,
            beat=self._beat,
            beat_s=settings.heartbeat_s,
            name="genescale-log-writer",
        )

    # ---- opening: recovery happens while nobody else is in ----

    @property
    def catalogue_path(self) -> Path:
        """The file with topics and groups."""
        return self.directory / "catalogue.db"

    def topic_path(self, topic: str) -> Path:
        """The file of one topic."""
        return self.directory / "topics" / f"{topic}.db"

    def _enter(self) -> int:
        """Take part in the log. Whoever finds it empty of others looks for damage first."""
        try:
            new = not self.directory.exists()
            (self.directory / "topics").mkdir(parents=True, exist_ok=True)
            if new:  # its own name must be durable before anything in it is promised
                sync_folder(self.directory.parent)
            descriptor = os.open(self.directory / "open.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise explain(error, self.directory) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return descriptor
        try:
            self.repairs += recover(self.catalogue_path, self.directory / "topics")
        except BaseException:
            os.close(descriptor)
            raise
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def _give_up(self, error: GenescaleError) -> None:
        self._writer.give_up(error)

    # ---- topics ----

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See `EventLog`."""
        wanted = list(specs)
        self.run_in_catalogue(lambda: self._create(wanted))

    def _create(self, specs: list[TopicSpec]) -> None:
        known = groups.read_topics(self._catalogue.connection)
        for spec in specs:
            if "/" in spec.name or spec.name.startswith("."):
                raise UnknownTopic(f"{spec.name!r} cannot be the name of a topic: letters, digits, . _ - only")
            if spec.name in known:
                spec = msgspec.structs.replace(spec, partitions=known[spec.name].partitions)  # noqa: PLW2901
            else:
                lay_out(self.topic_path(spec.name), spec)
            if known.get(spec.name) != spec:
                groups.write_topic(self._catalogue.connection, spec)

    def topics(self) -> dict[str, TopicSpec]:
        """See `EventLog`."""
        self._specs = self.read_catalogue(groups.read_topics)
        return dict(self._specs)

    def spec(self, topic: str) -> TopicSpec:
        """The topic, or `UnknownTopic` that lists what there is."""
        spec = self._specs.get(topic) or self.topics().get(topic)
        if spec is None:
            raise UnknownTopic(f"no topic {topic!r}; there are: {', '.join(sorted(self._specs)) or 'none'}")
        return spec

    # ---- appending ----

    def append(self, records: Sequence[NewRecord], fence: Fence | None = None) -> "Future[list[Position]]":
        """See `EventLog`."""
        by_topic: dict[str, list[NewRecord]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        for topic, batch in by_topic.items():
            self._check_sizes(self.spec(topic), batch)
        if not by_topic:
            return _resolved([])
        futures = {topic: self._append_to(topic, batch, fence) for topic, batch in by_topic.items()}
        if len(futures) == 1:
            return next(iter(futures.values()))
        return _gathered(records, futures)

    def _check_sizes(self, spec: TopicSpec, records: Sequence[NewRecord]) -> None:
        for record in records:
            if record_bytes(record) > spec.record_bytes_max:
                raise TooLarge(
                    f"a record of {record_bytes(record):,} bytes is above the {spec.record_bytes_max:,} bytes that "
                    f"topic {spec.name!r} takes; store the payload as an object and send its reference"
                )

    def _append_to(self, topic: str, records: list[NewRecord], fence: Fence | None) -> "Future[list[Position]]":
        file, writer = self._topic_writer(topic)

        def work() -> list[Position]:
            if fence is not None:
                writer.check_fence(fence)
            return [Position(topic, *place) for place in writer.append(records, self.clock.wall_ms())]

        future = self._writer.submit(file, work, records=len(records))
        watch_append([topic] * len(records), future, self.clock)
        return future

    def _topic_writer(self, topic: str) -> tuple[WriteFile, TopicWriter]:
        with self._lock:
            found = self._writers.get(topic)
            if found is None:
                path = self.topic_path(topic)
                writer = TopicWriter(path, self.spec(topic))
                file = WriteFile(path, writer.connection)
                file.on_begin, file.on_rollback = writer.begin, writer.abandon
                file.on_commit = lambda: self._committed(file, topic)
                found = self._writers[topic] = (file, writer)
            return found

    def _committed(self, file: WriteFile, topic: str) -> None:
        self._nudger.nudge(topic)
        self._checkpointer.consider(file)

    # ---- reading ----

    def tail(self, topics: Sequence[str], start: TailStart = "latest") -> "SqliteTail":
        """See `EventLog`."""
        return SqliteTail(self, topics, start)

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        outputs: Sequence[str] = (),
        on_assigned: AssignmentListener | None = None,
        on_revoked: AssignmentListener | None = None,
        on_lost: AssignmentListener | None = None,
    ) -> "SqliteConsumer":
        """See `EventLog`."""
        for topic in (*topics, *outputs):
            self.spec(topic)
        return SqliteConsumer(self, group, tuple(topics), tuple(outputs), on_assigned, on_revoked, on_lost)

    def open_reader(self, topic: str) -> TopicReader:
        """A reader of one topic for the thread that asks."""
        return TopicReader(self.topic_path(topic), self.spec(topic))

    def bounds(self, topic: str) -> dict[int, PartitionBounds]:
        """See `EventLog`."""
        with contextlib.closing(self.open_reader(topic)) as reader, reader.snapshot():
            return {number: reader.bounds(number) for number in range(reader.spec.partitions)}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """See `EventLog`."""
        with contextlib.closing(self.open_reader(topic)) as reader, reader.snapshot():
            return {number: reader.offset_at(number, timestamp_ms) for number in range(reader.spec.partitions)}

    # ---- groups ----

    def groups(self) -> list[str]:
        """See `EventLog`."""
        return self.read_catalogue(groups.group_names)

    def members(self, group: str) -> list[MemberInfo]:
        """See `EventLog`."""
        now_s = self.clock.monotonic_s()
        return self.read_catalogue(lambda db: groups.members(db, group, now_s))

    def lag(self, group: str) -> list[PartitionLag]:
        """See `EventLog`."""
        positions = self.read_catalogue(lambda db: groups.positions(db, group))
        bounds = {topic: self.bounds(topic) for topic in {seat.topic for seat in positions}}
        found: list[PartitionLag] = []
        for seat, position in positions.items():
            first, end = bounds[seat.topic][seat.partition]
            start = first if position is None else position
            found.append(PartitionLag(*seat, position, end, max(0, end - start)))
        return found

    def set_positions(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """See `EventLog`."""
        for seat in positions:
            self.spec(seat.topic)
        db = self._catalogue.connection
        now_s = self.clock.monotonic_s()
        self.run_in_catalogue(lambda: groups.set_positions(db, group, positions, now_s))

    def run_in_catalogue(self, work: Callable[[], T]) -> T:
        """Run `work` in a transaction of the catalogue and wait for it."""
        return self._answer(self._writer.submit(self._catalogue, work))

    def read_catalogue(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run a read on the catalogue."""
        try:
            with self._reader_lock:
                return work(self._reader)
        except apsw.Error as error:
            raise explain(error, self.catalogue_path) from error

    @property
    def catalogue(self) -> apsw.Connection:
        """The writer thread's connection, for work passed to `run_in_catalogue`."""
        return self._catalogue.connection

    def raise_fence(self, topic: str, fence: Fence) -> None:
        """From now on refuse what former owners still want to append to `topic`."""
        file, writer = self._topic_writer(topic)
        self._answer(self._writer.submit(file, lambda: writer.raise_fence(fence)))

    def nudge_group(self, group: str) -> None:
        """Let the other members look at their group."""
        self.run_in_catalogue(lambda: self._nudger.nudge(group_channel(group)))

    def _answer(self, future: "Future[T]") -> T:
        try:
            return future.result(self.settings.answer_timeout_s)
        except TimeoutError:
            raise Retryable(
                f"the log in {self.directory} did not answer for {self.settings.answer_timeout_s:.0f} s; is its disk "
                "stuck, or a process stopped while it held a file?"
            ) from None

    def _beat(self) -> None:
        """Called by the writer thread about every heartbeat: prolong the leases of members that still poll.

        A lease need not survive a power cut, and is durable all the same: a file in which some transactions were never
        synced could not be told from a damaged one afterwards (see `store.wal`).
        """
        now_s = self.clock.monotonic_s()
        with self._lock:
            alive = [consumer.membership for consumer in self._consumers if consumer.polled_lately(now_s)]
        if not alive or self._writer.broken:
            return
        expires_s = now_s + self.settings.session_timeout_s
        with contextlib.suppress(Retryable):
            self._writer.submit(self._catalogue, lambda: groups.renew(self._catalogue.connection, alive, expires_s))
        self._checkpointer.consider(self._catalogue)

    def enlist(self, consumer: "SqliteConsumer") -> None:
        """Keep this consumer's lease alive."""
        with self._lock:
            self._consumers.add(consumer)

    def discharge(self, consumer: "SqliteConsumer") -> None:
        """Stop keeping it alive."""
        with self._lock:
            self._consumers.discard(consumer)

    # ---- upkeep and end ----

    def maintain(self) -> dict[str, int]:
        """See `EventLog`. Removes what is past its retention, compacts, folds write-ahead logs in, looks for damage.

        Raises `LogDamaged` when it comes upon damage, after the rest is done.
        """
        removed = compacted = 0
        for spec in self.topics().values():
            file, writer = self._topic_writer(spec.name)
            for partition in range(spec.partitions):
                if spec.cleanup == "compact":
                    compacted += self._answer(
                        self._writer.submit(file, lambda n=partition, db=writer.connection: compact(db, n))
                    )
                elif spec.retention_s is not None:
                    removed += self._retain(file, writer, partition, spec.retention_s)
        folded = self._checkpointer.fold_all([self._catalogue, *(file for file, _ in self._writers.values())])
        self.read_catalogue(self._check_catalogue)
        self._scrub.step(_SCRUB_BYTES)
        return {"records_removed": removed, "records_compacted": compacted, "logs_folded": folded}

    def _check_catalogue(self, db: apsw.Connection) -> None:
        found = db.pragma("quick_check")  # pyright: ignore[reportUnknownMemberType] - as in sqlite_file
        if found != "ok":
            raise refused(self.catalogue_path, str(found), "is damaged")

    def _retain(self, file: WriteFile, writer: TopicWriter, partition: int, retention_s: int) -> int:
        cutoff_ms = self.clock.wall_ms() - retention_s * 1000
        removed = 0
        while True:
            job = self._writer.submit(
                file, lambda: remove_before(writer.connection, partition, cutoff_ms, _UPKEEP_ROWS)
            )
            count = self._answer(job)
            removed += count
            if count < _UPKEEP_ROWS:
                return removed

    def close(self) -> None:
        """See `EventLog`."""
        for consumer in tuple(self._consumers):
            consumer.close()
        self._writer.close()
        self._checkpointer.close()
        for file, _ in self._writers.values():
            file.connection.close()
        self._catalogue.connection.close()
        self._reader.close()
        self._nudger.close()
        with contextlib.suppress(OSError):
            os.close(self._open_lock)


def group_channel(group: str) -> str:
    """The channel on which a group's members call each other; topics cannot have such a name."""
    return f"group={uuid.uuid5(uuid.NAMESPACE_URL, group)}"


class _Cursor:
    """Positions in several partitions, read in turn so that a busy partition does not starve the others."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log
        self._readers: dict[str, TopicReader] = {}
        self._turn = 0
        self.next: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()

    def reader(self, topic: str) -> TopicReader:
        found = self._readers.get(topic)
        if found is None:
            found = self._readers[topic] = self._log.open_reader(topic)
        return found

    def read(self, records_max: int) -> list[Record]:
        found: list[Record] = []
        for topic in sorted({seat.topic for seat in self.next}):
            reader = self.reader(topic)
            seats = [seat for seat in self.next if seat.topic == topic and seat not in self.paused]
            self._turn += 1
            start = self._turn % len(seats) if seats else 0
            with reader.snapshot():
                for seat in (*seats[start:], *seats[:start]):
                    if len(found) >= records_max:
                        break
                    batch = reader.read(seat.partition, self.next[seat], records_max - len(found))
                    if batch:
                        self.next[seat] = batch[-1].offset + 1
                        found += batch
        return found

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


class SqliteTail:
    """See `Tail`."""

    def __init__(self, log: SqliteLog, topics: Sequence[str], start: TailStart) -> None:
        self._log = log
        self._cursor = _Cursor(log)
        self._interrupted = False
        self._closed = False
        # Registered before the first look, so that nothing committed in between is slept through.
        self._waiter = Waiter(log.directory / "wake", list(topics))
        for topic in topics:
            for number, (first, end) in log.bounds(topic).items():
                seat = TopicPartition(topic, number)
                if isinstance(start, str):
                    self._cursor.next[seat] = first if start == "earliest" else end
                else:
                    self._cursor.next[seat] = start.get(seat, 0)

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Tail`."""
        deadline = self._log.clock.monotonic_s() + timeout_s
        while True:
            found = self._cursor.read(records_max)
            left = deadline - self._log.clock.monotonic_s()
            if found or self._interrupted or left <= 0:
                self._interrupted = False
                return found
            self._waiter.wait(min(left, _DEAF_LOOK_S) if self._waiter.deaf else left)

    def positions(self) -> dict[TopicPartition, int]:
        """See `Tail`."""
        return dict(self._cursor.next)

    def wake(self) -> None:
        """See `Tail`."""
        self._interrupted = True
        self._waiter.wake()

    def close(self) -> None:
        """See `Tail`."""
        if not self._closed:
            self._closed = True
            self._cursor.close()
            self._waiter.close()


class SqliteConsumer:
    """See `Consumer`."""

    def __init__(
        self,
        log: SqliteLog,
        group: str,
        topics: tuple[str, ...],
        outputs: tuple[str, ...],
        on_assigned: AssignmentListener | None,
        on_revoked: AssignmentListener | None,
        on_lost: AssignmentListener | None,
    ) -> None:
        self._log, self._outputs = log, outputs
        self._on_assigned, self._on_revoked, self._on_lost = on_assigned, on_revoked, on_lost
        self.membership = groups.Membership(group, f"{os.getpid()}-{uuid.uuid4().hex[:12]}", topics)
        self._partitions = {topic: log.spec(topic).partitions for topic in topics}
        self._tokens: dict[TopicPartition, int] = {}
        self._cursor = _Cursor(log)
        self._epoch = -1
        self._next_look_s = 0.0
        self._last_poll_s = log.clock.monotonic_s()
        self._interrupted = False
        self._closed = False
        self._waiter = Waiter(log.directory / "wake", [*topics, group_channel(group)])

    @property
    def member(self) -> str:
        """See `Consumer`."""
        return self.membership.member

    def polled_lately(self, now_s: float) -> bool:
        """False when the caller has not come back for so long that it must be taken for stuck."""
        return now_s - self._last_poll_s < self._log.settings.poll_interval_max_s

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Consumer`."""
        clock = self._log.clock
        deadline = clock.monotonic_s() + timeout_s
        while True:
            now_s = self._last_poll_s = clock.monotonic_s()
            self._coordinate(now_s)
            found = self._cursor.read(records_max)
            now_s = clock.monotonic_s()
            if found or self._interrupted or now_s >= deadline:
                self._interrupted = False
                return found
            until = min(deadline, self._next_look_s, now_s + _DEAF_LOOK_S if self._waiter.deaf else deadline)
            self._waiter.wait(until - now_s)

    # ---- membership ----

    def _coordinate(self, now_s: float) -> None:
        """Follow the group: notice what was lost, give up what is too much, claim what is free."""
        group = self.membership.group
        if self._epoch >= 0:
            epoch = self._log.read_catalogue(lambda db: groups.epoch(db, group))
            if epoch == self._epoch and now_s < self._next_look_s:
                return
            self._next_look_s = now_s + self._log.settings.heartbeat_s
            if self._log.read_catalogue(lambda db: groups.is_quiet(db, group, self._epoch, now_s)):
                return
        first = self._epoch < 0
        outlook = self._look(now_s)
        self._epoch = outlook.epoch
        self._next_look_s = now_s + self._log.settings.heartbeat_s
        if first:
            self._log.enlist(self)
        if outlook.lost:
            self._forget(outlook.lost)
            if self._on_lost:
                self._on_lost(outlook.lost)
        if outlook.claimed:
            self._begin(outlook.claimed)
        if outlook.release:
            self._release(outlook.release)
        if first or outlook.release:
            self._log.nudge_group(group)

    def _look(self, now_s: float) -> groups.Outlook:
        lease_s = self._log.settings.session_timeout_s
        return self._log.run_in_catalogue(
            lambda: groups.look(self._log.catalogue, self.membership, self._tokens, self._partitions, now_s, lease_s)
        )

    def _release(self, seats: Sequence[TopicPartition]) -> None:
        if self._on_revoked:
            self._on_revoked(seats)
        self._forget(seats)
        self._log.run_in_catalogue(lambda: groups.release(self._log.catalogue, self.membership, seats))

    def _begin(self, taken: Mapping[TopicPartition, groups.Claimed]) -> None:
        """Shut the former owners out of the outputs, then start to read where the group stands."""
        fence = Fence(self.membership.group, {seat: claimed.token for seat, claimed in taken.items()})
        for output in self._outputs:
            self._log.raise_fence(output, fence)
        for seat, claimed in taken.items():
            first, end = self._cursor.reader(seat.topic).bounds(seat.partition)
            # Past the end only after a power cut in a topic that is not power-safe: its tail went, the position stayed.
            self._cursor.next[seat] = first if claimed.position is None else min(max(first, claimed.position), end)
            self._tokens[seat] = claimed.token
        if self._on_assigned:
            self._on_assigned(sorted(taken))

    def _forget(self, seats: Iterable[TopicPartition]) -> None:
        for seat in seats:
            self._tokens.pop(seat, None)
            self._cursor.next.pop(seat, None)
            self._cursor.paused.discard(seat)

    # ---- positions ----

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Consumer`."""
        if not positions:
            return
        self._owned(positions)
        self._log.run_in_catalogue(lambda: groups.commit(self._log.catalogue, self.membership, self._tokens, positions))

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `Consumer`."""
        known = self._log.read_catalogue(lambda db: groups.positions(db, self.membership.group))
        return {seat: known.get(seat) for seat in partitions}

    def assignment(self) -> frozenset[TopicPartition]:
        """See `Consumer`."""
        return frozenset(self._tokens)

    def fence(self, partitions: Iterable[TopicPartition]) -> Fence:
        """See `Consumer`."""
        wanted = self._owned(partitions)
        return Fence(self.membership.group, {seat: self._tokens[seat] for seat in wanted})

    def _owned(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        wanted = list(partitions)
        for seat in wanted:
            if seat not in self._tokens:
                raise Fenced(
                    f"group {self.membership.group!r}: {seat.topic}/{seat.partition} is not owned by this member"
                )
        return wanted

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        self._cursor.paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        self._cursor.paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Consumer`."""
        self._owned([partition])
        self._cursor.next[partition] = offset

    def wake(self) -> None:
        """See `Consumer`."""
        self._interrupted = True
        self._waiter.wake()

    def close(self) -> None:
        """See `Consumer`."""
        if self._closed:
            return
        self._closed = True
        if self._tokens and self._on_revoked:
            self._on_revoked(sorted(self._tokens))
        self._log.discharge(self)
        if self._epoch >= 0:
            with contextlib.suppress(Retryable):  # a log that takes nothing now: the lease will end by itself
                self._log.run_in_catalogue(lambda: groups.leave(self._log.catalogue, self.membership))
                self._log.nudge_group(self.membership.group)
        self._forget(list(self._tokens))
        self._cursor.close()
        self._waiter.close()


class _Checkpointer:
    """Folds write-ahead logs into their files, in a thread of its own. A lock makes one process of all the owner."""

    def __init__(self, bytes_max: int, on_failure: Callable[[GenescaleError], None]) -> None:
        self._bytes_max, self._on_failure = bytes_max, on_failure
        self._wanted: dict[Path, WriteFile] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def consider(self, file: WriteFile) -> None:
        """Called after a commit: start folding when the log has grown enough."""
        if file.wal_pages * PAGE_BYTES < self._bytes_max or self._closed:
            return
        with self._changed:
            self._wanted[file.path] = file
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="genescale-checkpoint", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                _, file = self._wanted.popitem()
            try:
                self.fold(file)
            except GenescaleError as error:  # from here on every caller of the log is told
                self._on_failure(error)

    def fold(self, file: WriteFile) -> bool:
        """Fold one log in, unless another process is doing it. True when all of it went in."""
        try:
            return self._fold(file)
        except (apsw.Error, OSError) as error:
            reason = explain(error, file.path)
            if isinstance(reason, Retryable):  # a long reader, or a full disk: next time
                return False
            raise reason from error

    def _fold(self, file: WriteFile) -> bool:
        descriptor = os.open(file.path.with_name(file.path.name + ".checkpoint"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        try:
            with contextlib.closing(connect(file.path)) as connection:
                frames, folded = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                if frames * PAGE_BYTES > 2 * self._bytes_max:
                    # Readers kept the log from starting over; wait for them once, with the writers' queue held.
                    with locked(file.lock_path):
                        frames, folded = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                return frames == folded
        finally:
            os.close(descriptor)

    def fold_all(self, files: Iterable[WriteFile]) -> int:
        """Fold these now; how many went in whole."""
        return sum(self.fold(file) for file in files)

    def close(self) -> None:
        """Stop the thread; a fold under way is finished first."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join()


def _resolved(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future


def _gathered(
    records: Sequence[NewRecord], futures: Mapping[str, "Future[list[Position]]"]
) -> "Future[list[Position]]":
    """One future for a batch that spans topics: positions in the order of the batch, or the first error."""
    combined: Future[list[Position]] = Future()
    left = len(futures)
    lock = threading.Lock()

    def one_done(_future: "Future[list[Position]]") -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        try:
            positions = {topic: iter(future.result()) for topic, future in futures.items()}
            combined.set_result([next(positions[record.topic]) for record in records])
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            combined.set_exception(error)

    for future in futures.values():
        future.add_done_callback(one_done)
    return combined
