"""Reading to the end: records that vanish end the reading, records that do not come are an error."""

from collections.abc import Callable
from typing import Any

import pytest

from genescale.clock import ManualClock
from genescale.errors import LogUnavailable
from genescale.events.log import NewRecord, Record, TopicPartition, TopicSpec, append_now
from genescale.events.memory import MemoryLog
from genescale.events.scan import scan


class SilentTail:
    """A tail to which nothing comes."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.closed = False
        self._during = during

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        self._during()
        return []

    def positions(self) -> dict[TopicPartition, int]:
        return {TopicPartition("t", 0): 0}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog(ManualClock())
    log.create_topics([TopicSpec(name="t", partitions=1)])
    append_now(log, [NewRecord("t", None, b"%d" % index) for index in range(5)])
    return log


def test_it_ends_where_the_log_ended(log: MemoryLog) -> None:
    seen = []
    for record in scan(log, ["t"]):
        append_now(log, [NewRecord("t", None, b"later")])
        seen.append(record.value)
    assert seen == [b"0", b"1", b"2", b"3", b"4"]


def test_start_and_end_are_kept(log: MemoryLog) -> None:
    seat = TopicPartition("t", 0)
    assert [record.offset for record in scan(log, ["t"], {seat: 1}, until={seat: 3})] == [1, 2]
    assert list(scan(log, ["t"], {seat: 3}, until={seat: 3})) == []


def test_records_that_do_not_come_are_an_error_and_the_tail_is_closed(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail: Any = SilentTail(lambda: None)
    monkeypatch.setattr(log, "tail", lambda *_: tail)
    with pytest.raises(LogUnavailable, match="did not come"):
        list(scan(log, ["t"]))
    assert tail.closed


def test_records_that_retention_took_meanwhile_are_not_waited_for(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail: Any = SilentTail(log.partitions[TopicPartition("t", 0)].records.clear)
    monkeypatch.setattr(log, "tail", lambda *_: tail)
    assert list(scan(log, ["t"])) == []
