"""What the portal's first screen shows about the platform itself: `GET /api/v1/platform`.

The shapes here are the contract with the page in `web/`; `wiring` collects the facts.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from genescale.clock import Clock
from genescale.events.log import EventLog, total_lag

_FRESH_S = 0.5  # many open tabs ask once a second; the log is asked twice


class LogPlace(msgspec.Struct, frozen=True):
    """What the event log is made of, and where it is."""

    kind: Literal["sqlite", "kafka", "memory"]
    place: str


class RoleState(msgspec.Struct, frozen=True, kw_only=True):
    """One role of this platform."""

    name: str
    state: Literal["starting", "running", "backing-off", "stopped"]
    pid: int | None
    restarts: int
    since: str


class TopicState(msgspec.Struct, frozen=True, kw_only=True):
    """One topic and the records that it still holds."""

    name: str
    partitions: int
    records: int
    power_safe: bool


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer group."""

    name: str
    members: int
    lag: int


class Unavailable(msgspec.Struct, frozen=True):
    """A panel of the portal that has nothing to show yet, and why."""

    panel: str
    reason: str


class PlatformAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    version: str
    started_at: str
    now: str
    log: LogPlace
    roles: list[RoleState]
    topics: list[TopicState]
    groups: list[GroupState]
    unavailable: list[Unavailable]


def topic_states(log: EventLog) -> list[TopicState]:
    """Every topic of the log. Blocks while the log answers."""
    states: list[TopicState] = []
    for name, spec in sorted(log.topics().items()):
        bounds = log.bounds(name).values()
        states.append(
            TopicState(
                name=name,
                partitions=spec.partitions,
                records=sum(bound.end - bound.first for bound in bounds),
                power_safe=spec.power_safe,
            )
        )
    return states


def group_states(log: EventLog) -> list[GroupState]:
    """Every group that has members or positions. Blocks while the log answers."""
    return [
        GroupState(name=group, members=len(log.members(group)), lag=total_lag(log.lag(group)))
        for group in sorted(log.groups())
    ]


class Remembered:
    """An answer that is collected at most every half second, however many ask, and one at a time."""

    def __init__(self, collect: Callable[[], PlatformAnswer], clock: Clock) -> None:
        self._collect = collect
        self._clock = clock
        self._body = b""
        self._collected_s: float | None = None
        self._lock = asyncio.Lock()

    async def body(self) -> bytes:
        """The answer as JSON. Collecting runs in a thread, since the log may take its time."""
        async with self._lock:
            now_s = self._clock.monotonic_s()
            if self._collected_s is None or now_s - self._collected_s >= _FRESH_S:
                self._body = msgspec.json.encode(await asyncio.to_thread(self._collect))
                self._collected_s = self._clock.monotonic_s()
            return self._body
