"""A member of a group that reads the log of one machine: claims partitions, reads them, commits. Called by `sqlite`.

What the members of a group know of each other lies in the catalogue (see `sqlite_groups`).
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import apsw

from genescale.errors import Fenced, Retryable
from genescale.events import sqlite_groups as groups
from genescale.events.log import AssignmentListener, Fence, Record, TopicPartition, TopicSpec
from genescale.events.nudge import Waiter
from genescale.events.sqlite_settings import SqliteSettings
from genescale.events.sqlite_tail import DEAF_LOOK_S, Cursor, ReadLog

T = TypeVar("T")


class SharedLog(ReadLog, Protocol):
    """What a member of a group needs of the log."""

    @property
    def settings(self) -> SqliteSettings: ...
    @property
    def catalogue(self) -> apsw.Connection: ...
    def spec(self, topic: str) -> TopicSpec: ...
    def run_in_catalogue(self, work: Callable[[], T]) -> T: ...
    def read_catalogue(self, work: Callable[[apsw.Connection], T]) -> T: ...
    def raise_fence(self, topic: str, fence: Fence) -> None: ...
    def nudge_group(self, group: str) -> None: ...
    def enlist(self, consumer: "SqliteConsumer") -> None: ...
    def discharge(self, consumer: "SqliteConsumer") -> None: ...


def group_channel(group: str) -> str:
    """The channel on which a group's members call each other; topics cannot have such a name."""
    return f"group={uuid.uuid5(uuid.NAMESPACE_URL, group)}"


class SqliteConsumer:
    """See `Consumer`."""

    def __init__(
        self,
        log: SharedLog,
        group: str,
        topics: tuple[str, ...],
        outputs: tuple[str, ...],
        on_assigned: AssignmentListener | None,
        on_revoked: AssignmentListener | None,
        on_lost: AssignmentListener | None,
    ) -> None:
        self._log, self._outputs = log, outputs
        self._on_assigned, self._on_revoked, self._on_lost = on_assigned, on_revoked, on_lost
        self.membership = groups.Membership(group, f"{os.getpid()}-{uuid.uuid4().hex[:12]}", topics)
        self._partitions = {topic: log.spec(topic).partitions for topic in topics}
        self._tokens: dict[TopicPartition, int] = {}
        self._cursor = Cursor(log)
        self._epoch = -1
        self._next_look_s = 0.0
        self._last_poll_s = log.clock.monotonic_s()
        self._interrupted = False
        self._closed = False
        self._waiter = Waiter(log.directory / "wake", [*topics, group_channel(group)])

    @property
    def member(self) -> str:
        """See `Consumer`."""
        return self.membership.member

    def polled_lately(self, now_s: float) -> bool:
        """False when the caller has not come back for so long that it must be taken for stuck."""
        return now_s - self._last_poll_s < self._log.settings.poll_interval_max_s

    def poll(self, records_max: int, timeout_s: float) -> list[Record]:
        """See `Consumer`."""
        clock = self._log.clock
        deadline = clock.monotonic_s() + timeout_s
        while True:
            now_s = self._last_poll_s = clock.monotonic_s()
            self._coordinate(now_s)
            found = self._cursor.read(records_max)
            now_s = clock.monotonic_s()
            if found or self._interrupted or now_s >= deadline:
                self._interrupted = False
                return found
            until = min(deadline, self._next_look_s, now_s + DEAF_LOOK_S if self._waiter.deaf else deadline)
            self._waiter.wait(until - now_s)

    # ---- membership ----

    def _coordinate(self, now_s: float) -> None:
        """Follow the group: notice what was lost, give up what is too much, claim what is free."""
        group = self.membership.group
        if self._epoch >= 0:
            epoch = self._log.read_catalogue(lambda db: groups.epoch(db, group))
            if epoch == self._epoch and now_s < self._next_look_s:
                return
            self._next_look_s = now_s + self._log.settings.heartbeat_s
            if self._log.read_catalogue(lambda db: groups.is_quiet(db, group, self._epoch, now_s)):
                return
        first = self._epoch < 0
        outlook = self._look(now_s)
        self._epoch = outlook.epoch
        self._next_look_s = now_s + self._log.settings.heartbeat_s
        if first:
            self._log.enlist(self)
        if outlook.lost:
            self._forget(outlook.lost)
            if self._on_lost:
                self._on_lost(outlook.lost)
        if outlook.claimed:
            self._begin(outlook.claimed)
        if outlook.release:
            self._release(outlook.release)
        if first or outlook.release:
            self._log.nudge_group(group)

    def _look(self, now_s: float) -> groups.Outlook:
        lease_s = self._log.settings.session_timeout_s
        return self._log.run_in_catalogue(
            lambda: groups.look(self._log.catalogue, self.membership, self._tokens, self._partitions, now_s, lease_s)
        )

    def _release(self, seats: Sequence[TopicPartition]) -> None:
        if self._on_revoked:
            self._on_revoked(seats)
        self._forget(seats)
        self._log.run_in_catalogue(lambda: groups.release(self._log.catalogue, self.membership, seats))

    def _begin(self, taken: Mapping[TopicPartition, groups.Claimed]) -> None:
        """Shut the former owners out of the outputs, then start to read where the group stands."""
        fence = Fence(self.membership.group, {seat: claimed.token for seat, claimed in taken.items()})
        for output in self._outputs:
            self._log.raise_fence(output, fence)
        for seat, claimed in taken.items():
            first, end = self._cursor.reader(seat.topic).bounds(seat.partition)
            # Past the end only after a power cut in a topic that is not power-safe: its tail went, the position stayed.
            self._cursor.next[seat] = first if claimed.position is None else min(max(first, claimed.position), end)
            self._tokens[seat] = claimed.token
        if self._on_assigned:
            self._on_assigned(sorted(taken))

    def _forget(self, seats: Iterable[TopicPartition]) -> None:
        for seat in seats:
            self._tokens.pop(seat, None)
            self._cursor.next.pop(seat, None)
            self._cursor.paused.discard(seat)

    # ---- positions ----

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Consumer`."""
        if not positions:
            return
        self._owned(positions)
        self._log.run_in_catalogue(lambda: groups.commit(self._log.catalogue, self.membership, self._tokens, positions))

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `Consumer`."""
        known = self._log.read_catalogue(lambda db: groups.positions(db, self.membership.group))
        return {seat: known.get(seat) for seat in partitions}

    def assignment(self) -> frozenset[TopicPartition]:
        """See `Consumer`."""
        return frozenset(self._tokens)

    def fence(self, partitions: Iterable[TopicPartition]) -> Fence:
        """See `Consumer`."""
        wanted = self._owned(partitions)
        return Fence(self.membership.group, {seat: self._tokens[seat] for seat in wanted})

    def _owned(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        wanted = list(partitions)
        for seat in wanted:
            if seat not in self._tokens:
                raise Fenced(
                    f"group {self.membership.group!r}: {seat.topic}/{seat.partition} is not owned by this member"
                )
        return wanted

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        self._cursor.paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Consumer`."""
        self._cursor.paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Consumer`."""
        self._owned([partition])
        self._cursor.next[partition] = offset

    def wake(self) -> None:
        """See `Consumer`."""
        self._interrupted = True
        self._waiter.wake()

    def close(self) -> None:
        """See `Consumer`."""
        if self._closed:
            return
        self._closed = True
        if self._tokens and self._on_revoked:
            self._on_revoked(sorted(self._tokens))
        self._log.discharge(self)
        if self._epoch >= 0:
            with contextlib.suppress(Retryable):  # a log that takes nothing now: the lease will end by itself
                self._log.run_in_catalogue(lambda: groups.leave(self._log.catalogue, self.membership))
                self._log.nudge_group(self.membership.group)
        self._forget(list(self._tokens))
        self._cursor.close()
        self._waiter.close()
