"""Appends are counted when they are durable, and only then."""

from concurrent.futures import Future

from genescale.clock import ManualClock
from genescale.errors import DiskFull
from genescale.events.append_watch import watch_append
from genescale.events.log import Position
from genescale.observability import metrics


def appended(topic: str) -> float:
    for line in metrics.render().decode().splitlines():
        if line.startswith(f'genescale_events_appended_total{{topic="{topic}"}}'):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_records_are_counted_by_topic_when_they_are_durable() -> None:
    future: Future[list[Position]] = Future()
    watch_append(["watch-a", "watch-b", "watch-a"], future, ManualClock())
    assert appended("watch-a") == 0
    future.set_result([])
    assert (appended("watch-a"), appended("watch-b")) == (2, 1)


def test_what_was_refused_is_not_counted() -> None:
    future: Future[list[Position]] = Future()
    watch_append(["watch-c"], future, ManualClock())
    future.set_exception(DiskFull("no space left"))
    assert appended("watch-c") == 0
