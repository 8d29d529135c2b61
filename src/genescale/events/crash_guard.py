"""Finding the record that kills its worker, by counting deaths before they happen: a pure state machine.

An input that crashes the process leaves no exception, only a successor that is about to read the same input. So the
loop notes durably what it is about to handle, and the successor reads the note:

    level 0   no crash is suspected; one note covers many batches ahead, which costs almost nothing
    level 1   one death in a covered range: its records are handled in small batches, each with an exact note
    level 2   another death in such a small batch: its records are handled one by one
    level 3   a third death with exactly this record in hand: it is not handled again, it becomes a dead letter

A worker that was merely killed from outside costs its successor a second of small batches and nothing else.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from genescale.events.loop_data import BatchStarted

_COVERED_BATCHES = 8


@dataclass
class _Seat:
    suspect_until: int = 0  # records before this offset are suspected ...
    crashes: int = 0  # ... of this many deaths
    covered_until: int = 0  # a note on the log covers the offsets before this one


class Note(NamedTuple):
    """What must be durable before the records are handled."""

    start: int
    upto: int
    crashes: int


class CrashGuard:
    """The suspicions about the partitions that one loop owns. `K` is whatever names a partition."""

    def __init__(self, batch_max: int, crashes_max: int) -> None:
        self._batch_max, self.crashes_max = batch_max, crashes_max
        self.small_batch = max(1, math.isqrt(batch_max))
        self._seats: dict[object, _Seat] = {}

    def take_over(self, seat: object, position: int, last: BatchStarted | None) -> None:
        """A partition comes to us at `position`; `last` is the note that its former owner left."""
        state = self._seats[seat] = _Seat(covered_until=position)
        if last is None or last.clean or position >= last.upto:
            return
        state.crashes = last.crashes + 1
        # The batch that was not committed, and the one after it, which may have been in the handler already.
        state.suspect_until = min(last.upto, position + 2 * self._batch_max)

    def give_back(self, seat: object) -> None:
        """The partition is not ours any more."""
        self._seats.pop(seat, None)

    @property
    def calm(self) -> bool:
        """True when nothing is suspected anywhere, so that nobody needs to ask record by record."""
        return not any(state.crashes for state in self._seats.values())

    def level(self, seat: object, offset: int) -> int:
        """How many deaths this record is suspected of."""
        state = self._seats.get(seat)
        return state.crashes if state is not None and offset < state.suspect_until else 0

    def batch_max(self, level: int) -> int:
        """How many records of this level are handled together."""
        if level == 0:
            return self._batch_max
        return self.small_batch if level == 1 else 1

    def note(self, seat: object, start: int, upto: int) -> Note | None:
        """The note to write before `start` up to `upto` is handled; None when one that is written covers it."""
        state = self._seats[seat]
        level = self.level(seat, start)
        if level:
            state.covered_until = upto
            return Note(start, upto, level)
        if upto <= state.covered_until and state.crashes == 0:
            return None
        state.crashes, state.suspect_until = 0, 0
        state.covered_until = start + self._batch_max * _COVERED_BATCHES
        return Note(start, state.covered_until, 0)
