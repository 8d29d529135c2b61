"""How many events were made durable, and how long it took: counted in one place for every log that keeps its word."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future

from genescale.clock import Clock
from genescale.events.log import Position
from genescale.observability import metrics


def watch_append(topics: Iterable[str], future: "Future[list[Position]]", clock: Clock) -> None:
    """Count the records of this append by topic when they are durable. Call it with the future just made."""
    began_s = clock.monotonic_s()
    counts = Counter(topics)

    def done(finished: "Future[list[Position]]") -> None:
        if finished.cancelled() or finished.exception() is not None:
            return
        seconds = clock.monotonic_s() - began_s
        for topic, count in counts.items():
            metrics.EVENTS_APPENDED.inc(count, topic=topic)
            metrics.APPEND_SECONDS.observe(seconds, topic=topic)

    future.add_done_callback(done)
