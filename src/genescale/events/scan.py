"""Reading a stretch of the log that has an end: what stands there now, and no waiting for more."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from genescale.errors import LogUnavailable
from genescale.events.log import EventLog, Record, TopicPartition

_RECORDS_MAX = 1_000
_POLL_S = 1.0
_SILENCE_POLLS_MAX = 10


def ends_of(log: EventLog, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """Where each partition ends now."""
    return {TopicPartition(topic, n): bounds.end for topic in topics for n, bounds in log.bounds(topic).items()}


def scan(
    log: EventLog,
    topics: Sequence[str],
    start: Literal["earliest"] | Mapping[TopicPartition, int] = "earliest",
    *,
    until: Mapping[TopicPartition, int] | None = None,
) -> Iterator[Record]:
    """Every record from `start` to the end as it stands now, or to `until`; order is kept per partition only.

    Raises `LogUnavailable` when records that must be there do not come.
    """
    ends = dict(until) if until is not None else ends_of(log, topics)
    tail = log.tail(topics, start)
    silent = 0
    try:
        while not _reached(tail.positions(), ends):
            records = tail.poll(_RECORDS_MAX, _POLL_S)
            for record in records:
                if record.offset < ends.get(TopicPartition(record.topic, record.partition), 0):
                    yield record
            silent = 0 if records else silent + 1
            if silent and _only_gaps(log, topics, tail.positions, ends):
                return
            if silent >= _SILENCE_POLLS_MAX:
                raise LogUnavailable(f"{', '.join(topics)}: records up to the end did not come; is the log reachable?")
    finally:
        tail.close()


def _reached(positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> bool:
    return all(positions.get(seat, 0) >= end for seat, end in ends.items())


def _only_gaps(
    log: EventLog,
    topics: Sequence[str],
    positions: Callable[[], Mapping[TopicPartition, int]],
    ends: Mapping[TopicPartition, int],
) -> bool:
    """True when what is missing was removed by retention or compaction while we read."""
    firsts = {TopicPartition(topic, n): bounds.first for topic in topics for n, bounds in log.bounds(topic).items()}
    now = positions()
    return all(now.get(seat, 0) >= end or firsts.get(seat, 0) >= end for seat, end in ends.items())
