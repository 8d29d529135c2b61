"""What a person and a monitoring system get to see of the loop: counters, one line per failure, spans of sampled work.

Apart from the loop so that it reads as what it does. Per event this costs a set look-up, unless the event is traced.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, TypeAlias

from genescale.events.envelope import Event
from genescale.events.log import Record, TopicPartition
from genescale.events.loop_data import Failure
from genescale.observability import logs, metrics, traces

Reason: TypeAlias = Literal["retryable", "permanent", "crash", "invalid"]

_SAMPLED = "-01"  # the last field of a traceparent: somebody upstream records this trace

_log = logs.get_logger(__name__)


class LoopWatch:
    """The watch over one group's loop."""

    def __init__(self, group: str) -> None:
        self._group = group

    def batch(self, spans: Mapping[TopicPartition, tuple[int, int]], seconds: float) -> None:
        """A batch is done: its results are durable and its positions committed."""
        for seat, (start, upto) in spans.items():
            metrics.EVENTS_CONSUMED.inc(upto - start, topic=seat.topic, group=self._group)
        metrics.LOOP_BATCH_SECONDS.observe(seconds, group=self._group)

    @contextmanager
    def handling(self, events: Sequence[Event]) -> Generator[None]:
        """Around the handler: a span for each event of a recorded trace."""
        traced = [event for event in events if str(event.extensions.get("traceparent", "")).endswith(_SAMPLED)]
        with ExitStack() as spans:
            for event in traced:
                parent = traces.from_extensions(event.extensions)
                spans.enter_context(traces.span("genescale.loop.handle", parent, event_id=event.id, batch=len(events)))
            yield

    def failed(self, record: Record, event: Event, failure: Failure, reason: Reason, *, retried: bool) -> None:
        """One try of one event failed."""
        metrics.EVENTS_FAILED.inc(topic=record.topic, group=self._group, reason=reason)
        correlation = event.extensions.get("correlationid")
        with logs.correlated(
            analysis_id=event.subject,
            event_id=event.id,
            correlationid=None if correlation is None else str(correlation),
        ):
            _log.warning(
                "an event waits for another try" if retried else "an event was given up",
                group=self._group,
                position=str(record.position),
                error=failure.error,
                reason=failure.message,
                stack_hash=failure.stack_hash,
            )

    def parked(self, record: Record) -> None:
        """A record waits outside its partition."""
        metrics.EVENTS_PARKED.inc(topic=record.topic, group=self._group)

    def dead_lettered(self, record: Record, failure: Failure) -> None:
        """A record became a dead letter."""
        metrics.EVENTS_DEAD_LETTERED.inc(topic=record.topic, group=self._group)
        _log.error(
            "a record became a dead letter", group=self._group, position=str(record.position), error=failure.error
        )

    def partitions(self, what: str, seats: Sequence[TopicPartition]) -> None:
        """Partitions came or went."""
        _log.info(what, group=self._group, partitions=len(seats), topics=sorted({seat.topic for seat in seats}))
