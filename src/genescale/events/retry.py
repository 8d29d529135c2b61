"""When to try again: bounded back-off with full jitter, and a budget that keeps retries from becoming the traffic.

Full jitter (a uniform draw between nothing and the ceiling) because clients that failed together must not come back
together. Tries and age are both bounded: an endless retry is a loss that nobody sees.
"""

import random

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, how long, how hard."""

    base_s: float = 0.2
    cap_s: float = 60.0
    attempts_max: int = 6
    age_max_s: float = 3600.0
    budget_ratio: float = 0.1  # retries per first try; more than that and a broken dependency gets hammered
    budget_least: float = 10.0  # what is always allowed, so that a quiet lane retries at all

    def delay_s(self, attempt: int, after_s: float | None, draw: random.Random) -> float:
        """How long to wait after the given number of tries. What the failure itself asks for is the least."""
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 32))
        return max(after_s or 0.0, draw.uniform(0.0, ceiling))

    def exhausted(self, attempt: int, age_s: float) -> bool:
        """True when another try is not worth it."""
        return attempt >= self.attempts_max or age_s >= self.age_max_s


class RetryBudget:
    """First tries earn, retries spend. Without credit a retry waits for its next turn; it is not lost."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._ratio, self._least = policy.budget_ratio, policy.budget_least
        self._credit = policy.budget_least

    def earn(self, first_tries: int) -> None:
        """Called for every batch of new events."""
        self._credit = min(self._least * 10, self._credit + first_tries * self._ratio)

    def refill(self, seconds: float) -> None:
        """Called as time passes, so that a lane without new events still retries, slowly."""
        self._credit = min(max(self._credit, self._least), self._credit + seconds * self._ratio * self._least)

    def spend(self) -> bool:
        """True when one more retry fits."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
