"""Reads old records again, a little at a time, so that damage is found before somebody needs what it hit.

Reading is all it takes: the checksums of page, record and place are looked at by whoever reads. A disk that loses bits
loses them in files that nobody has opened for weeks, and a backup made in the meantime is a backup of the damage.
"""

from collections.abc import Callable, Iterable
from contextlib import closing

from genescale.events.log import TopicPartition, TopicSpec
from genescale.events.sqlite_file import TopicReader

_RECORDS_PER_READ = 64


class Scrub:
    """A walk over all records of a log, and round again. Used from one thread at a time."""

    def __init__(self, topics: Callable[[], Iterable[TopicSpec]], open_reader: Callable[[str], TopicReader]) -> None:
        self._topics, self._open_reader = topics, open_reader
        self._left: list[TopicPartition] = []  # of this round, the next one last
        self._offset = 0  # where to go on in the next one

    def step(self, bytes_max: int) -> int:
        """Read on from where the last step ended, to about `bytes_max` or the end of the round; how many records.

        Raises `LogDamaged` at the first record that cannot be trusted, and goes on behind its partition next time.
        """
        if not self._left:
            seats = [TopicPartition(spec.name, number) for spec in self._topics() for number in range(spec.partitions)]
            self._left = seats[::-1]
        records = 0
        while self._left and bytes_max > 0:
            with closing(self._open_reader(self._left[-1].topic)) as reader:
                topic = self._left[-1].topic
                while self._left and self._left[-1].topic == topic and bytes_max > 0:
                    count, size = self._read(reader)
                    records += count
                    bytes_max -= size
        return records

    def _read(self, reader: TopicReader) -> tuple[int, int]:
        seat = self._left[-1]
        try:
            with reader.snapshot():
                offset = max(self._offset, reader.bounds(seat.partition).first)
                found = reader.read(seat.partition, offset, _RECORDS_PER_READ)
        except BaseException:
            self._next_partition()
            raise
        if len(found) < _RECORDS_PER_READ:
            self._next_partition()
        else:
            self._offset = found[-1].offset + 1
        return len(found), sum(len(record.key or b"") + len(record.value or b"") for record in found)

    def _next_partition(self) -> None:
        self._left.pop()
        self._offset = 0
