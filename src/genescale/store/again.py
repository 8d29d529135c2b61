"""Bounded repetition with the clock: what both databases do when they meet another transaction."""

import random
from collections.abc import Callable
from typing import TypeVar

from genescale.clock import Clock
from genescale.errors import Retryable

T = TypeVar("T")

RUN_TRIES = 10
PAUSE_FIRST_S, PAUSE_MAX_S = 0.002, 0.5


def again(attempt: Callable[[], T], lost: type[Retryable], clock: Clock, dice: random.Random) -> T:
    """Call `attempt` until it does not raise `lost`, at most `RUN_TRIES` times, with full jitter in between."""
    for number in range(1, RUN_TRIES):
        try:
            return attempt()
        except lost:
            clock.sleep(dice.uniform(0, min(PAUSE_MAX_S, PAUSE_FIRST_S * 2**number)))
    return attempt()


def until(attempt: Callable[[], bool], timeout_s: float, clock: Clock, dice: random.Random) -> bool:
    """Call `attempt` until it says True or the time is over; False then. Pauses grow to 20 ms: a writer is quick."""
    deadline_s = clock.monotonic_s() + timeout_s
    pause_s = 0.0005
    while not attempt():
        if clock.monotonic_s() >= deadline_s:
            return False
        clock.sleep(dice.uniform(0, pause_s))
        pause_s = min(0.02, pause_s * 2)
    return True
