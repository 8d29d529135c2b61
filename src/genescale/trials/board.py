"""A page of memory that the processes of a run share: orders from the conductor, progress from everybody else.

Every cell has one writer at a time, so that nothing needs a lock. It also carries the wall clock's jumps and the
failpoints that are armed, so that a running process can be told to die at one without being restarted.
"""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable

from genescale.events import failpoint

SLOTS = 64
PRODUCERS_MAX = 8
_SINGLE = ("wall_jump_ms", "allowed", "shown", "producers_stop")
_PER_PRODUCER = ("acked", "duplicates_wanted", "duplicates_sent")
_PER_SLOT = (*failpoint.NAMES, "last_words", "retryable", "permanent")
POISON = len(failpoint.NAMES) + 1  # the last words of a process that an input killed


class Board:
    """Numbered cells with names. Make it before the first fork."""

    def __init__(self) -> None:
        cells = len(_SINGLE) + len(_PER_PRODUCER) * PRODUCERS_MAX + len(_PER_SLOT) * SLOTS
        self._cells = memoryview(mmap.mmap(-1, 8 * cells)).cast("q")

    def get(self, name: str) -> int:
        """A cell of the whole run."""
        return self._cells[_SINGLE.index(name)]

    def put(self, name: str, value: int) -> None:
        """Set a cell of the whole run."""
        self._cells[_SINGLE.index(name)] = value

    def of_producer(self, number: int, name: str) -> int:
        """A cell of one producer."""
        return self._cells[self._producer_cell(number, name)]

    def put_producer(self, number: int, name: str, value: int) -> None:
        """Set a cell of one producer."""
        self._cells[self._producer_cell(number, name)] = value

    def of_slot(self, slot: int, name: str) -> int:
        """A cell of one process."""
        return self._cells[self._slot_cell(slot, name)]

    def put_slot(self, slot: int, name: str, value: int) -> None:
        """Set a cell of one process."""
        self._cells[self._slot_cell(slot, name)] = value

    def clear_slot(self, slot: int) -> None:
        """Ready for the next process."""
        for name in _PER_SLOT:
            self.put_slot(slot, name, 0)

    def _producer_cell(self, number: int, name: str) -> int:
        return len(_SINGLE) + number * len(_PER_PRODUCER) + _PER_PRODUCER.index(name)

    def _slot_cell(self, slot: int, name: str) -> int:
        return len(_SINGLE) + PRODUCERS_MAX * len(_PER_PRODUCER) + slot * len(_PER_SLOT) + _PER_SLOT.index(name)

    def death_at(self, slot: int) -> Callable[[str], None]:
        """The hook for `failpoint.arm`: SIGKILL when the conductor has armed the name in this slot."""
        cells = {name: self._slot_cell(slot, name) for name in failpoint.NAMES}

        def hook(name: str) -> None:
            left = self._cells[cells[name]]
            if left:
                self._cells[cells[name]] = left - 1
                if left == 1:
                    self.die(slot, failpoint.NAMES.index(name) + 1)

        return hook

    def die(self, slot: int, last_words: int) -> None:
        """End this process as if somebody had pulled it out, and leave the reason."""
        self.put_slot(slot, "last_words", last_words)
        os.kill(os.getpid(), signal.SIGKILL)


class JumpingClock:
    """The machine's clock with a wall that somebody sets: monotonic time is not touched, as on a real machine."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def wall_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000 + self._board.get("wall_jump_ms")

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """See `Clock`."""
        return event.wait(timeout_s)
