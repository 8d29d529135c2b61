"""How fast frames may come, and how long a client waits before it tries again. Both sides use the same arithmetic."""

from collections.abc import Callable
from typing import Final

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0


class TokenBucket:
    """`per_s` tokens a second, `burst` at most. Time comes from outside and may stand still, but not go back."""

    __slots__ = ("_at_s", "_burst", "_per_s", "_tokens")

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens, self._at_s = burst, now_s

    def take(self, now_s: float) -> bool:
        """True, and one token less, when there is one."""
        self._fill(now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next token."""
        self._fill(now_s)
        return max(0.0, (1 - self._tokens) / self._per_s)

    def _fill(self, now_s: float) -> None:
        if now_s > self._at_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s


def backoff_s(failures: int, draw: Callable[[], float]) -> float:
    """Full jitter: a random part of 0.5 s, 1 s, 2 s, ... 30 s. `draw` gives numbers in [0, 1)."""
    return draw() * min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 16))
