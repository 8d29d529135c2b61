"""Time as an argument: whatever waits takes a `Clock`, so that tests never do.

Two kinds of time that must not be mixed: the *wall* tells people and other machines when something happened and may
jump; the *monotonic* clock measures leases, retries and time-outs, and never does.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of the program may know about time."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC. Never used for order, leases or identity."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only grow; comparable between the processes of one machine until it reboots."""
        ...

    def sleep(self, seconds: float) -> None:
        """Give up the processor for this long."""
        ...

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Wait until `event` is set or the time is over; True when it was set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """See `Clock`."""
        return event.wait(timeout_s)


class ManualClock:
    """A clock that moves only when it is told to, or when somebody sleeps on it. An hour of back-off costs nothing."""

    def __init__(self, wall_ms: int = 1_700_000_000_000, monotonic_s: float = 1_000.0) -> None:
        self._wall_ms = float(wall_ms)
        self._monotonic_s = monotonic_s
        self._on_advance: list[Callable[[], None]] = []

    def wall_ms(self) -> int:
        """See `Clock`."""
        return int(self._wall_ms)

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return self._monotonic_s

    def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.advance(seconds)

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """True when `event` is already set; otherwise the whole time-out passes at once."""
        if not event.is_set() and timeout_s is not None:
            self.advance(timeout_s)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Both clocks move forward together."""
        self._monotonic_s += seconds
        self._wall_ms += seconds * 1000
        for listener in self._on_advance:
            listener()

    def jump_wall(self, seconds: float) -> None:
        """The wall is set by somebody, the monotonic clock is not."""
        self._wall_ms += seconds * 1000

    def on_advance(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every move, so that a fake log can wake its waiters."""
        self._on_advance.append(listener)


def rfc3339(wall_ms: int) -> str:
    """The text form that CloudEvents and people use: UTC, milliseconds, `Z`."""
    return datetime.fromtimestamp(wall_ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
