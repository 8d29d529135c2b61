"""Carries a fault plan out on one log while the crew works, then lets everything come to rest.

It decides nothing about right or wrong; it counts which faults really happened. A fault that was ordered and did not
come to pass (the process died of something else first) is ordered again.
"""

import heapq
import itertools
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from genescale.clock import Clock
from genescale.events import failpoint
from genescale.trials.crew import Crew, Post
from genescale.trials.fault_plan import INPUTS, PLANNED_SHARE, Fault
from genescale.trials.lossyfs import LossyFolder
from genescale.trials.roles import Part, describe

PRODUCERS = 2
CONSUMERS = 3
CREW = (
    *(Post("producer", number) for number in range(PRODUCERS)),
    *(Post("consumer", number) for number in range(CONSUMERS)),
    Post("reader", 0),
    Post("keeper", 0),
)
_STRANGERS = (Post("consumer", CONSUMERS), Post("consumer", CONSUMERS + 1))  # they come and go in a rebalance storm

_TICK_S = 0.01
_GAP_S = 0.05  # between two faults, so that each meets a working crew
_STUCK_S = 20.0  # without progress for so long, the run is judged as it is
_JUMP_MS = 600_000
_LAST_CALL_S = 20.0


class Brokers(Protocol):
    """The Kafka nodes, as far as a fault needs them."""

    nodes: tuple[int, ...]

    def kill(self, node: int) -> None:
        """SIGKILL; returns at once."""
        ...

    def restart(self, node: int) -> None:
        """Begin to bring it back; returns at once."""
        ...


class Conductor:
    """One log, one plan, one crew."""

    def __init__(
        self,
        part: Part,
        plan: Iterable[Fault],
        folder: Path,
        clock: Clock,
        *,
        disk: LossyFolder | None,
        brokers: Brokers | None,
    ) -> None:
        self._part, self._board, self._workload, self._clock = part, part.board, part.workload, clock
        self._disk, self._brokers = disk, brokers
        self._session_s = part.settings.log.session_timeout_s
        self._words = (folder / "conductor.log").open("a")
        self._began_s = clock.monotonic_s()
        self.crew = Crew(part, folder, clock, self._say)
        self._plan = sorted(fault for fault in plan if fault.kind not in INPUTS)
        self._next = 0
        self._gap_until_s = 0.0
        self._broker_back_s = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._repairs: list[tuple[float, int, Callable[[], None]]] = []  # what ends a fault; never left out
        self._fsyncs_to_fail = 0
        self._calm = False
        self._order = itertools.count()
        self._repeat = random.Random(f"{self._workload.seed}/again")  # noqa: S311 - repeatable on purpose
        self.hits: Counter[str] = Counter()

    # ---- the course of a run ----

    def run(self, inject_until_s: float) -> list[str]:
        """From the first event to rest. Returns what did not come to rest, for the report."""
        self.crew.posts |= set(CREW)
        while self._next < len(self._plan) and self._clock.monotonic_s() < inject_until_s:
            self._turn()
            self._inject()
            self._board.put("allowed", self._allowed())
        self._let_them_happen(inject_until_s)
        self._calm_down()
        self._board.put("allowed", self._workload.events)
        stuck = self._until(lambda: self._acked() >= self._workload.events, "the producers have not sent everything")
        self.crew.posts -= {post for post in self.crew.posts if post.role == "producer"}
        self._board.put("producers_stop", 1)
        stuck += self._until(lambda: self._shown() >= self._workload.events, "not everything was shown")
        late = self.crew.end(20.0)
        self._count_inputs()
        self._words.close()
        return [*stuck, *(f"{name} did not end on SIGTERM" for name in late)]

    def _turn(self) -> None:
        """One look at everything that happens by itself."""
        self._clock.sleep(_TICK_S)
        self.crew.reap()
        self.crew.fill()
        for name in self.crew.deaths.missed if not self._calm else ():
            self._arm(name, self._repeat)
        self.crew.deaths.missed.clear()
        for timers in (self._repairs, self._timers):
            while timers and timers[0][0] <= self._clock.monotonic_s():
                heapq.heappop(timers)[2]()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self._clock.monotonic_s() + seconds, next(self._order), act))

    def _undo_later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._repairs, (self._clock.monotonic_s() + seconds, next(self._order), act))

    def _inject(self) -> None:
        fault = self._plan[self._next]
        now_s = self._clock.monotonic_s()
        backlog_max = max(500, self._workload.events // 20)
        if self._acked() < fault.at or self._shown() < fault.at - backlog_max or now_s < self._gap_until_s:
            return
        if fault.kind == "broker_kill" and now_s < self._broker_back_s:
            return  # two of three would be another trial
        self._say(f"fault {self._next}: {fault.kind}")
        self._next += 1
        self._gap_until_s = now_s + _GAP_S
        self._carry_out(fault)

    def _let_them_happen(self, until_s: float) -> None:
        """Faults that wait for their moment (a failpoint, an fsync) get it, with the events that were kept for them."""
        began_s, events = self._clock.monotonic_s(), self._workload.events
        while self._waiting_to_happen() and self._shown() < events:
            self._turn()
            elapsed_s = self._clock.monotonic_s() - began_s
            share = PLANNED_SHARE + (1 - PLANNED_SHARE) * elapsed_s / _LAST_CALL_S
            self._board.put("allowed", min(events, int(events * share)))
            if elapsed_s > _LAST_CALL_S or began_s + elapsed_s > until_s:
                return

    def _waiting_to_happen(self) -> bool:
        slots = [child.slot for child in self.crew.children.values()]
        armed = any(self._board.of_slot(slot, name) for slot in slots for name in failpoint.NAMES)
        return armed or bool(self._timers or self._repairs or self._fsyncs_to_fail)

    def _allowed(self) -> int:
        """The producers run a few faults ahead, no more: the faults must meet them all along."""
        ahead = self._next + 3
        return self._plan[ahead].at if ahead < len(self._plan) else int(self._workload.events * PLANNED_SHARE)

    def _acked(self) -> int:
        return sum(self._board.of_producer(number, "acked") for number in range(self._workload.producers))

    def _shown(self) -> int:
        return self._board.get("shown")

    def _until(self, done: Callable[[], bool], otherwise: str) -> list[str]:
        """Wait as long as there is progress."""
        latest, since_s = (-1, -1), self._clock.monotonic_s()
        while not done():
            self._turn()
            progress = (self._acked(), self._shown())
            if progress != latest:
                latest, since_s = progress, self._clock.monotonic_s()
            elif self._clock.monotonic_s() - since_s > _STUCK_S:
                self._say(f"stuck: {otherwise}")
                self.crew.ask_where()
                self.crew.run_once("stuck", describe)
                return [f"{otherwise}: {progress[0]:,} acked and {progress[1]:,} shown of {self._workload.events:,}"]
        return []

    def _calm_down(self) -> None:
        """No fault from here on: what is armed is disarmed, what is stopped goes on, what is full has room."""
        self.crew.posts -= set(_STRANGERS)
        for child in self.crew.children.values():
            for name in failpoint.NAMES:
                self._board.put_slot(child.slot, name, 0)
            if child.paused:
                self.crew.go_on(child)
            elif child.post in _STRANGERS:
                self.crew.kill(child, signal.SIGTERM)
        self._timers.clear()
        while self._repairs:
            heapq.heappop(self._repairs)[2]()
        self._timers.clear()
        self._calm = True
        self._say("calm")

    # ---- the faults ----

    def _carry_out(self, fault: Fault) -> None:
        chance = random.Random(fault.draw)  # noqa: S311 - repeatable on purpose
        if fault.kind.removeprefix("sigkill_") in failpoint.NAMES:
            self._arm(fault.kind.removeprefix("sigkill_"), chance)
            return
        acts: dict[str, Callable[[random.Random], None]] = {
            "sigkill": self._sigkill,
            "sigterm": self._sigterm,
            "pause": self._pause,
            "rebalance_storm": self._storm,
            "duplicate": self._duplicate,
            "clock_jump": self._jump,
            "disk_full": self._fill_disk,
            "fsync_error": self._fail_fsync,
            "slow_fsync": self._slow_fsync,
            "power_cut": lambda chance: self._cut(chance, "power_cut"),
            "power_cut_torn": lambda chance: self._cut(chance, "power_cut_torn"),
            "broker_kill": self._kill_broker,
        }
        acts[fault.kind](chance)

    def _arm(self, name: str, chance: random.Random) -> None:
        roles = ("consumer",) if name in ("mid_handling", "after_result_before_commit") else ("consumer", "producer")
        child = self.crew.any_of(chance, *roles)
        if child is None or self._board.of_slot(child.slot, name):
            self._later(0.2, lambda: self._arm(name, chance))
            return
        self._board.put_slot(child.slot, name, chance.randint(1, 4))

    def _sigkill(self, chance: random.Random) -> None:
        child = self.crew.any_of(chance, "consumer", "consumer", "producer", "reader", "keeper")
        if child is None:
            self._later(0.2, lambda: self._sigkill(chance))
            return
        self.crew.kill(child)
        self.hits["sigkill"] += 1

    def _sigterm(self, chance: random.Random) -> None:
        child = self.crew.any_of(chance, "consumer")
        if child is None:
            self._later(0.2, lambda: self._sigterm(chance))
            return
        self.crew.kill(child, signal.SIGTERM)
        self.hits["sigterm"] += 1

    def _pause(self, chance: random.Random) -> None:
        child = self.crew.any_of(chance, "consumer")
        if child is None:
            self._later(0.2, lambda: self._pause(chance))
            return
        self.crew.pause(child)
        self.hits["pause"] += 1
        self._undo_later(self._session_s * chance.uniform(1.3, 2.0), lambda: self.crew.go_on(child))

    def _storm(self, _chance: random.Random) -> None:
        self.hits["rebalance_storm"] += 1
        for turn in range(4):
            self._later(0.7 * turn, self._strangers_leave if turn % 2 else self._strangers_come)

    def _strangers_come(self) -> None:
        self.crew.posts |= set(_STRANGERS)

    def _strangers_leave(self) -> None:
        self.crew.posts -= set(_STRANGERS)
        for child in self.crew.running("consumer"):
            if child.post in _STRANGERS:
                self.crew.kill(child, signal.SIGTERM)

    def _duplicate(self, chance: random.Random) -> None:
        number = chance.randrange(self._workload.producers)
        self._board.put_producer(number, "duplicates_wanted", self._board.of_producer(number, "duplicates_wanted") + 1)

    def _jump(self, chance: random.Random) -> None:
        self._board.put("wall_jump_ms", chance.randint(-_JUMP_MS, _JUMP_MS))
        self.hits["clock_jump"] += 1

    def _fill_disk(self, chance: random.Random) -> None:
        self._the_disk().full(True)
        self._undo_later(chance.uniform(0.2, 0.8), lambda: self._make_room(chance))

    def _make_room(self, chance: random.Random) -> None:
        self._the_disk().full(False)
        if self._the_disk().felt("enospc"):
            self.hits["disk_full"] += 1
        else:
            self._later(0.2, lambda: self._fill_disk(chance))

    def _slow_fsync(self, chance: random.Random) -> None:
        self._the_disk().slow_fsync(chance.randint(1, 3), 0.5)
        self._undo_later(1.0, lambda: self._note_slow(chance))

    def _note_slow(self, chance: random.Random) -> None:
        if self._the_disk().felt("slow"):
            self.hits["slow_fsync"] += 1
        else:
            self._later(0.2, lambda: self._slow_fsync(chance))

    def _fail_fsync(self, chance: random.Random) -> None:
        self._fsyncs_to_fail += 1
        self._the_disk().fail_fsync(chance.randint(1, 10))
        self._later(0.5, self._note_eio)

    def _note_eio(self) -> None:
        """One at a time: while one is still to come, it is ordered again."""
        happened = self._the_disk().felt("eio")
        self.hits["fsync_error"] += happened
        self._fsyncs_to_fail = max(0, self._fsyncs_to_fail - happened)
        if self._fsyncs_to_fail and not self._calm:
            self._the_disk().fail_fsync(self._repeat.randint(1, 10))
            self._later(0.5, self._note_eio)

    def _cut(self, chance: random.Random, kind: str) -> None:
        """The power goes: everybody dies at once, the disk keeps what was synced, everybody comes back."""
        disk = self._the_disk()
        disk.freeze()
        self.crew.kill_all()
        self._note_eio()
        lost = disk.cut("all" if kind == "power_cut" else "torn", chance.getrandbits(32))
        self.hits[kind] += 1
        self._say(f"the power was cut: {lost}")

    def _kill_broker(self, chance: random.Random) -> None:
        assert self._brokers is not None
        brokers, node = self._brokers, chance.choice(self._brokers.nodes)
        brokers.kill(node)
        self.hits["broker_kill"] += 1
        self._broker_back_s = self._clock.monotonic_s() + 10.0
        self._undo_later(4.0, lambda: brokers.restart(node))

    def _the_disk(self) -> LossyFolder:
        assert self._disk is not None, "the plan holds disk faults only where there is a lossy disk"
        return self._disk

    # ---- counting ----

    def _count_inputs(self) -> None:
        """What the crew itself knows about the faults that happened to it."""
        acked = [self._board.of_producer(number, "acked") for number in range(self._workload.producers)]
        for (producer, number), kind in self._workload.marks.items():
            self.hits[kind] += number < acked[producer]
        self.hits["duplicate"] = sum(self._board.of_producer(n, "duplicates_sent") for n in range(len(acked)))
        for name, count in self.crew.deaths.at_failpoint.items():
            self.hits[f"sigkill_{name}"] = count
        if self._disk is not None:
            self._note_eio()

    def _say(self, words: str) -> None:
        self._words.write(f"{self._clock.monotonic_s() - self._began_s:9.3f} {words}\n")
        self._words.flush()
