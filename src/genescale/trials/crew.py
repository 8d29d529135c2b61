"""The processes of a run: forked in milliseconds, counted, restarted when they die, ended with the run.

The parent stays single-threaded and opens no log, so that a fork of it is as good as a new process and costs 10 ms
instead of the 300 that starting Python and importing everything would.
"""

import contextlib
import ctypes
import faulthandler
import gc
import os
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from genescale.clock import Clock
from genescale.events import failpoint
from genescale.observability import logs
from genescale.trials import roles
from genescale.trials.board import POISON, SLOTS
from genescale.trials.roles import Part

_RESTART_S = 0.1  # a process that cannot start must not be started in a tight circle
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Post:
    """A place in the crew that is always filled: `consumer 2`."""

    role: str
    number: int

    def __str__(self) -> str:
        return f"{self.role}{self.number}"


ROLES: dict[str, Callable[[Part], None]] = {
    "producer": roles.produce,
    "consumer": roles.consume,
    "reader": roles.read,
    "keeper": roles.keep,
}


@dataclass
class Child:
    """One process. `leaving`: it was asked to end, and its end is no surprise."""

    pid: int
    post: Post
    slot: int
    leaving: bool = False
    paused: bool = False


@dataclass
class Deaths:
    """How processes have ended so far."""

    at_failpoint: Counter[str] = field(default_factory=Counter[str])
    by_poison: int = 0
    by_themselves: Counter[str] = field(default_factory=Counter[str])  # a Fatal error, and what else nobody ordered
    missed: list[str] = field(default_factory=list[str])  # failpoints that were armed in a process that died otherwise


class Crew:
    """Who is there, who should be there."""

    def __init__(self, part: Part, folder: Path, clock: Clock, say: Callable[[str], None]) -> None:
        self._part, self._folder, self._clock, self._say = part, folder, clock, say
        self._started = 0
        self._not_before: dict[Post, float] = {}
        self.posts: set[Post] = set()
        self.children: dict[int, Child] = {}
        self.deaths = Deaths()
        gc.freeze()  # what the parent holds is not to be copied by every child's first collection

    # ---- starting ----

    def fill(self) -> None:
        """Start whoever is missing."""
        now_s = self._clock.monotonic_s()
        filled = {child.post for child in self.children.values()}
        for post in sorted(self.posts - filled, key=str):
            if self._not_before.get(post, 0.0) <= now_s:
                slot = min(set(range(SLOTS)) - {child.slot for child in self.children.values()})
                self._part.board.clear_slot(slot)
                pid = self.fork(str(post), ROLES[post.role], slot, post.number)
                self.children[pid] = Child(pid, post, slot)

    def fork(self, name: str, work: Callable[[Part], None], slot: int = 0, producer: int = 0) -> int:
        """Run `work` in a child; its words go to a file of its name."""
        self._started += 1
        part = self._part._replace(slot=slot, number=self._started, producer=producer)
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            _settle_in(self._folder / f"{name}.log")
            work(part)
            status = 0
        except BaseException:  # noqa: BLE001 - the last line of a process, whatever ended it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def run_once(self, name: str, work: Callable[[Part], None]) -> bool:
        """Run `work` in a child to its end; False when it failed."""
        _, status = os.waitpid(self.fork(name, work), 0)
        return status == 0

    # ---- ending ----

    def reap(self) -> None:
        """Notice who has died, and of what."""
        for pid in tuple(self.children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._note_death(self.children.pop(pid), status)

    def _note_death(self, child: Child, status: int) -> None:
        board, slot = self._part.board, child.slot
        words = board.of_slot(slot, "last_words")
        if words == POISON:
            self.deaths.by_poison += 1
        elif words:
            self.deaths.at_failpoint[failpoint.NAMES[words - 1]] += 1
        elif not child.leaving and child.post in self.posts:
            self.deaths.by_themselves[child.post.role] += 1
            self._not_before[child.post] = self._clock.monotonic_s() + _RESTART_S
        self.deaths.missed += (name for name in failpoint.NAMES if board.of_slot(slot, name) > 0)
        self._say(f"{child.post} {child.pid} ended: status {os.waitstatus_to_exitcode(status)}, last words {words}")

    def kill(self, child: Child, number: int = signal.SIGKILL) -> None:
        """SIGKILL or SIGTERM one process."""
        child.leaving = True
        os.kill(child.pid, number)
        if child.paused:
            os.kill(child.pid, signal.SIGCONT)

    def kill_all(self) -> None:
        """As when the power goes."""
        for child in self.children.values():
            self.kill(child)
        for pid in tuple(self.children):
            _, status = os.waitpid(pid, 0)
            self._note_death(self.children.pop(pid), status)

    def end(self, timeout_s: float) -> list[str]:
        """Ask everybody to finish; who does not in time is killed and named."""
        self.posts.clear()
        for child in self.children.values():
            self.kill(child, signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + timeout_s
        while self.children and self._clock.monotonic_s() < deadline_s:
            self._clock.sleep(0.01)
            self.reap()
        late = [str(child.post) for child in self.children.values()]
        self.kill_all()
        return late

    def ask_where(self) -> None:
        """Let every process write into its file where it stands, for whoever looks for a defect."""
        for child in self.children.values():
            os.kill(child.pid, signal.SIGUSR1)

    # ---- choosing ----

    def running(self, *wanted: str) -> list[Child]:
        """The processes of these roles that nobody has stopped or asked to end, in a repeatable order."""
        found = [c for c in self.children.values() if c.post.role in wanted and not c.leaving and not c.paused]
        return sorted(found, key=lambda child: str(child.post))

    def any_of(self, chance: random.Random, *wanted: str) -> Child | None:
        """One of them, or None when there is nobody."""
        found = self.running(*wanted)
        return chance.choice(found) if found else None

    def pause(self, child: Child) -> None:
        """SIGSTOP."""
        child.paused = True
        os.kill(child.pid, signal.SIGSTOP)

    def go_on(self, child: Child) -> None:
        """SIGCONT, if it still lives."""
        if child.pid in self.children:
            child.paused = False
            os.kill(child.pid, signal.SIGCONT)


def _settle_in(words: Path) -> None:
    """A child's first steps: its own output, default signals, and an end together with the parent."""
    descriptor = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.register(signal.SIGUSR1)
    die_with_parent()
    logs.configure("trial", "warning", "json")


def die_with_parent() -> None:
    """Where the system can (Linux): SIGKILL for this process when its parent is gone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def ended_after(crew: Crew) -> Generator[Crew]:
    """Nobody outlives the block."""
    try:
        yield crew
    finally:
        crew.posts.clear()
        crew.kill_all()
