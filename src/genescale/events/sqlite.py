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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from genescale.clock import Clock
from genescale.errors import GenescaleError, Retryable, TooLarge, UnknownTopic
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
    TailStart,
    TopicPartition,
    TopicSpec,
    record_bytes,
)
from genescale.events.nudge import Nudger
from genescale.events.sqlite_checkpoint import Checkpointer
from genescale.events.sqlite_consumer import SqliteConsumer, group_channel
from genescale.events.sqlite_file import (
    TopicReader,
    TopicWriter,
    assert_sqlite_version,
    compact,
    connect,
    explain,
    lay_out,
    remove_before,
)
from genescale.events.sqlite_recovery import recover, refused
from genescale.events.sqlite_scrub import Scrub
from genescale.events.sqlite_settings import SqliteSettings
from genescale.events.sqlite_tail import SqliteTail
from genescale.events.sqlite_writer import WriteFile, Writer
from genescale.store.durable import sync_folder

T = TypeVar("T")

_SCRUB_BYTES = 2 * 1024 * 1024  # per call of `maintain`: 3 GB a day, for about 20 ms of a core a minute
_UPKEEP_ROWS = 5_000  # rows per transaction of the retention, so that nobody waits long behind it


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
        self._checkpointer = Checkpointer(settings.checkpoint_bytes, self._give_up)
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

    def tail(self, topics: Sequence[str], start: TailStart = "latest") -> SqliteTail:
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
    ) -> SqliteConsumer:
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

    def enlist(self, consumer: SqliteConsumer) -> None:
        """Keep this consumer's lease alive."""
        with self._lock:
            self._consumers.add(consumer)

    def discharge(self, consumer: SqliteConsumer) -> None:
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
