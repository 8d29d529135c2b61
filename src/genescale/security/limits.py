"""Limits per principal: how many messages, how many at once. Pure arithmetic; the caller brings the time.

The holders forget who has not asked for longest when too many different principals ask. They then start with a full
bucket, which is why `principals_max` is larger than the number of connections that one process takes.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

MESSAGES_PER_S: Final = 50.0
MESSAGES_BURST: Final = 100.0
CONNECTIONS_MAX: Final = 20


class Bucket(NamedTuple):
    """A token bucket: how much is in it, and when that was true."""

    level: float
    at_s: float


class Taken(NamedTuple):
    """The bucket afterwards, and how long to wait; 0.0 means that it was taken."""

    bucket: Bucket
    wait_s: float


def take(bucket: Bucket, now_s: float, *, rate_per_s: float, burst: float, cost: float = 1.0) -> Taken:
    """Take `cost` out of the bucket, if it is there. A clock that goes back fills nothing and empties nothing."""
    since_s = max(0.0, now_s - bucket.at_s)
    level = min(burst, bucket.level + since_s * rate_per_s)
    at_s = max(now_s, bucket.at_s)
    if cost <= level:
        return Taken(Bucket(level - cost, at_s), 0.0)
    if cost > burst:
        return Taken(Bucket(level, at_s), float("inf"))
    return Taken(Bucket(level, at_s), (cost - level) / rate_per_s)


class RateLimit:
    """One bucket per principal. Used by one thread, or under the caller's lock."""

    def __init__(
        self,
        *,
        rate_per_s: float = MESSAGES_PER_S,
        burst: float = MESSAGES_BURST,
        principals_max: int = 100_000,
    ) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._principals_max = principals_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait_s(self, who: str, now_s: float, cost: float = 1.0) -> float:
        """0.0 when it may happen now, and it is counted; else the seconds until it may, and nothing is counted.

        Infinity: never, it costs more than a full bucket holds.
        """
        held = self._buckets.get(who, Bucket(self._burst, now_s))
        taken = take(held, now_s, rate_per_s=self._rate_per_s, burst=self._burst, cost=cost)
        self._buckets[who] = taken.bucket
        self._buckets.move_to_end(who)
        if len(self._buckets) > self._principals_max:
            self._buckets.popitem(last=False)
        return taken.wait_s

    def forget(self, who: str) -> None:
        """Start again with a full bucket."""
        self._buckets.pop(who, None)


class AtOnce:
    """How many of something each principal has open. Used by one thread, or under the caller's lock."""

    def __init__(self, most: int = CONNECTIONS_MAX) -> None:
        self._most = most
        self._open: dict[str, int] = {}

    def enter(self, who: str) -> bool:
        """Count one more; False when there are too many, and nothing is counted."""
        now_open = self._open.get(who, 0)
        if now_open >= self._most:
            return False
        self._open[who] = now_open + 1
        return True

    def leave(self, who: str) -> None:
        """Count one less."""
        left = self._open.get(who, 0) - 1
        if left > 0:
            self._open[who] = left
        else:
            self._open.pop(who, None)

    def open_by(self, who: str) -> int:
        """How many there are."""
        return self._open.get(who, 0)
