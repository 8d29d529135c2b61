"""Reading the topics of the log of one machine: positions, and a reader outside of any group. Called by `sqlite`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from genescale.clock import Clock
from genescale.events.log import PartitionBounds, Record, TailStart, TopicPartition
from genescale.events.nudge import Waiter
from genescale.events.sqlite_file import TopicReader

DEAF_LOOK_S = 0.05  # how often a reader looks where the file system has no pipes


class ReadLog(Protocol):
    """What a reader needs of the log."""

    @property
    def directory(self) -> Path: ...
    @property
    def clock(self) -> Clock: ...
    def open_reader(self, topic: str) -> TopicReader: ...
    def bounds(self, topic: str) -> dict[int, PartitionBounds]: ...


class Cursor:
    """Positions in several partitions, read in turn so that a busy partition does not starve the others."""

    def __init__(self, log: ReadLog) -> None:
        self._log = log
        self._readers: dict[str, TopicReader] = {}
        self._turn = 0
        self.next: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()

    def reader(self, topic: str) -> TopicReader:
        """The open reader of a topic."""
        found = self._readers.get(topic)
        if found is None:
            found = self._readers[topic] = self._log.open_reader(topic)
        return found

    def read(self, records_max: int) -> list[Record]:
        """The next records of all partitions that are not paused, and move behind them."""
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
        """Close the readers."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


class SqliteTail:
    """See `Tail`."""

    def __init__(self, log: ReadLog, topics: Sequence[str], start: TailStart) -> None:
        self._log = log
        self._cursor = Cursor(log)
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
            self._waiter.wait(min(left, DEAF_LOOK_S) if self._waiter.deaf else left)

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
