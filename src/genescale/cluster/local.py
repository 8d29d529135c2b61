"""Runs the roles of a platform as processes of this machine, and keeps them running as `supervise` decides.

One thread, one loop: it sleeps until a line, a signal, or the next decision is due. Each role is the leader of its own
process group, so that a Ctrl-C in the terminal reaches the supervisor alone and roles end in order.

A role learns about its supervisor from one variable, `_GENESCALE_SUPERVISOR=PID:READY_FD:LISTEN_FD`: it dies with that
process, says on READY_FD that it works, and serves on LISTEN_FD if it has one (the supervisor holds the port, so that
it is never lost to another program while the role starts again, and waiting connections are not refused).
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.cluster import supervise
from genescale.cluster.machine import Usage, die_with, usage
from genescale.cluster.supervise import Platform, Policy

SUPERVISOR_VARIABLE = "_GENESCALE_SUPERVISOR"

_LINE_BYTES_MAX = 65_536  # a longer line is shown in pieces: a role must not fill the supervisor's memory
_READ_BYTES = 65_536
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Stream: TypeAlias = Literal["stdout", "stderr"]


class RoleCommand(msgspec.Struct, frozen=True, kw_only=True):
    """How one role is started."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    listen_fd: int | None = None


class RoleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor tells others about a role."""

    name: str
    state: supervise.Phase
    pid: int | None
    restarts: int
    since: str
    last_exit: str | None
    cpu_s: float | None
    pss_bytes: int | None


class PlatformReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor tells others; written to the runtime folder after every change."""

    pid: int
    started_at: str
    cpu_s: float | None
    pss_bytes: int | None
    roles: tuple[RoleReport, ...]


class Watcher(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to know what happens. Called from the supervisor's loop, so none of these may take long."""

    line: Callable[[str, Stream, str], None]  # role, stream, one line of its output
    happened: Callable[[str, str, Mapping[str, object]], None]  # role, what, facts
    publish: Callable[[PlatformReport], None]


class Supervised(NamedTuple):
    """What a role knows about its supervisor. See the module's docstring."""

    pid: int
    ready_fd: int
    listen_fd: int | None


def supervised(environment: Mapping[str, str]) -> Supervised | None:
    """Read the variable. None for a role that was started by hand."""
    text = environment.get(SUPERVISOR_VARIABLE)
    if not text:
        return None
    pid, ready_fd, listen_fd = text.split(":")
    return Supervised(int(pid), int(ready_fd), int(listen_fd) if listen_fd else None)


def join(link: Supervised) -> socket.socket | None:
    """Called by a role at its start: die with the supervisor; the socket to serve on, if there is one."""
    die_with(link.pid)
    os.set_inheritable(link.ready_fd, False)
    if link.listen_fd is None:
        return None
    return socket.socket(fileno=link.listen_fd)


def say_ready(link: Supervised) -> None:
    """Called by a role once, when it does its work."""
    with contextlib.suppress(BrokenPipeError):  # the supervisor is gone, and we are about to be
        os.write(link.ready_fd, b"ready\n")
    os.close(link.ready_fd)


class _Running:
    """One process and the pipes that come from it."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready_fd: int) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.ready_fd: int | None = ready_fd
        self.streams: dict[Stream, int] = {"stdout": process.stdout.fileno(), "stderr": process.stderr.fileno()}
        self.rest: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        for descriptor in (ready_fd, *self.streams.values()):
            os.set_blocking(descriptor, False)


class LocalPlatform:
    """The supervisor. `run` returns when everything has ended."""

    def __init__(
        self,
        commands: Iterable[RoleCommand],
        *,
        policy: Policy,
        clock: Clock,
        watcher: Watcher,
        sample_every_s: float = 10.0,  # reading a process' memory costs milliseconds
    ) -> None:
        self._commands = {command.name: command for command in commands}
        self._clock = clock
        self._watcher = watcher
        self._sample_every_s = sample_every_s
        self._state = supervise.begin(self._commands, clock.monotonic_s(), policy)
        self._started_at = rfc3339(clock.wall_ms())
        self._running: dict[str, _Running] = {}
        self._usage: dict[int, Usage | None] = {}
        self._next_sample_s = clock.monotonic_s() + 1.0
        self._selector = selectors.DefaultSelector()

    def run(self) -> Platform:
        """Start all roles, keep them running until SIGINT, SIGTERM or SIGHUP, stop them, and say how it ended.

        Must be called in the main thread: signals arrive there, and roles die with the thread that started them.
        """
        with _signal_pipe() as descriptor:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda: self._on_signals(descriptor))
            try:
                self._loop()
            finally:
                for name, running in self._running.items():  # only after an error of our own
                    _signal_group(running.process.pid, signal.SIGKILL)
                    self._watcher.happened(name, "killed", {"pid": running.process.pid})
                self._selector.close()
        return self._state

    def _loop(self) -> None:
        published: Platform | None = None
        while True:
            self._carry_out()
            sampled = self._sample()
            if self._state is not published or sampled:
                published = self._state
                self._watcher.publish(self._report())
            if self._state.finished:
                return
            for key, _ in self._selector.select(self._patience_s()):
                key.data()
            self._reap()

    def _patience_s(self) -> float:
        due = [self._next_sample_s]
        decision = supervise.next_decision_s(self._state)
        if decision is not None:
            due.append(decision)
        return max(0.0, min(due) - self._clock.monotonic_s())

    # ---- carrying out ----

    def _carry_out(self) -> None:
        for action in supervise.decide(self._state, self._clock.monotonic_s()):
            if isinstance(action, supervise.Start):
                self._start(action.role)
                continue
            hard = isinstance(action, supervise.Kill)
            _signal_group(action.pid, signal.SIGKILL if hard else signal.SIGTERM)
            self._state = supervise.told(self._state, action)
            self._watcher.happened(action.role, "killed, it did not stop in time" if hard else "stopping", {})

    def _start(self, name: str) -> None:
        command = self._commands[name]
        ready_read, ready_write = os.pipe()
        listen_fd = command.listen_fd
        passed = (ready_write,) if listen_fd is None else (ready_write, listen_fd)
        link = f"{os.getpid()}:{ready_write}:{'' if listen_fd is None else listen_fd}"
        try:
            process = subprocess.Popen(
                list(command.arguments),
                env={**command.environment, SUPERVISOR_VARIABLE: link},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=passed,
                process_group=0,
            )
        except OSError as error:
            os.close(ready_read)
            self._state = supervise.not_started(self._state, name, str(error), self._clock.monotonic_s())
            self._watcher.happened(name, "cannot be started", {"reason": str(error)})
            return
        finally:
            os.close(ready_write)
        running = _Running(process, ready_read)
        self._running[name] = running
        self._selector.register(ready_read, selectors.EVENT_READ, lambda: self._on_ready(name, running))
        for stream, descriptor in running.streams.items():
            self._selector.register(descriptor, selectors.EVENT_READ, partial(self._on_output, name, running, stream))
        self._state = supervise.started(self._state, name, process.pid, self._clock.monotonic_s())

    # ---- what comes in ----

    def _on_signals(self, descriptor: int) -> None:
        for number in os.read(descriptor, 512):
            if number in _STOP_SIGNALS:
                before, self._state = self._state, supervise.stop(self._state, self._clock.monotonic_s())
                if self._state is not before:
                    again = before.stopping_since_s is not None
                    self._watcher.happened("", "stopping now" if again else "stopping", {})

    def _on_ready(self, name: str, running: _Running) -> None:
        assert running.ready_fd is not None
        said = os.read(running.ready_fd, 64)
        self._selector.unregister(running.ready_fd)
        os.close(running.ready_fd)
        running.ready_fd = None
        if said:
            self._state = supervise.ready(self._state, name, self._clock.monotonic_s())
            self._watcher.happened(name, "running", {"pid": running.process.pid})

    def _on_output(self, name: str, running: _Running, stream: Stream) -> bool:
        """Read once. True while there may be more."""
        descriptor = running.streams[stream]
        try:
            content = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not content:
            self._selector.unregister(descriptor)
            del running.streams[stream]
        *lines, rest = (running.rest[stream] + content).split(b"\n")
        if rest and (not content or len(rest) > _LINE_BYTES_MAX):
            lines.append(rest)
            rest = b""
        running.rest[stream] = rest
        for line in lines:
            self._watcher.line(name, stream, line.decode(errors="replace"))
        return bool(content)

    def _reap(self) -> None:
        for name, running in list(self._running.items()):
            status = running.process.poll()
            if status is None:
                continue
            _signal_group(running.process.pid, signal.SIGKILL)  # what it started ends with it
            self._close(name, running)
            del self._running[name]
            self._usage.pop(running.process.pid, None)
            asked = self._state.stopping_since_s is not None
            self._state = supervise.exited(self._state, name, status, self._clock.monotonic_s())
            self._tell_end(name, asked=asked)

    def _tell_end(self, name: str, *, asked: bool) -> None:
        role = self._state.role(name)
        if asked:
            self._watcher.happened(name, "stopped", {})
        elif self._state.given_up == name:
            self._watcher.happened(name, "cannot run, so the platform stops", {})
        else:
            delay_s = round(role.next_start_s - self._clock.monotonic_s(), 2)
            facts: dict[str, object] = {"ended_with": role.last_exit, "again_in_s": max(0.0, delay_s)}
            if supervise.crash_looping(self._state, name):
                facts["in_a_row"] = role.failures_in_a_row
            self._watcher.happened(name, "ended, starting it again", facts)

    def _close(self, name: str, running: _Running) -> None:
        for stream in list(running.streams):
            while stream in running.streams and self._on_output(name, running, stream):
                pass
            if stream in running.streams:  # a grandchild still holds the other end
                self._selector.unregister(running.streams[stream])
        for pipe in (running.process.stdout, running.process.stderr):
            assert pipe is not None
            pipe.close()
        if running.ready_fd is not None:
            self._selector.unregister(running.ready_fd)
            os.close(running.ready_fd)

    # ---- what goes out ----

    def _sample(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_sample_s:
            return False
        self._next_sample_s = now_s + self._sample_every_s
        pids = [os.getpid(), *(running.process.pid for running in self._running.values())]
        self._usage = {pid: usage(pid) for pid in pids}
        return True

    def _report(self) -> PlatformReport:
        ours = self._usage.get(os.getpid())
        return PlatformReport(
            pid=os.getpid(),
            started_at=self._started_at,
            cpu_s=ours.cpu_s if ours else None,
            pss_bytes=ours.pss_bytes if ours else None,
            roles=tuple(self._report_role(role) for role in self._state.roles),
        )

    def _report_role(self, role: supervise.Role) -> RoleReport:
        used = self._usage.get(role.pid) if role.pid is not None else None
        age_s = self._clock.monotonic_s() - role.since_s
        return RoleReport(
            name=role.name,
            state=role.phase,
            pid=role.pid,
            restarts=role.restarts,
            since=rfc3339(self._clock.wall_ms() - int(age_s * 1000)),
            last_exit=role.last_exit,
            cpu_s=used.cpu_s if used else None,
            pss_bytes=used.pss_bytes if used else None,
        )


@contextlib.contextmanager
def _signal_pipe() -> Generator[int]:
    """A descriptor from which the numbers of arriving signals can be read, instead of handlers that run anywhere."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    before = {number: signal.signal(number, _nothing_left_to_do) for number in (*_STOP_SIGNALS, signal.SIGCHLD)}
    wakeup_before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield read_end
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)


def _nothing_left_to_do(_number: int, _frame: FrameType | None) -> None:
    """Without a handler of ours Python would not write to the pipe."""


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only zombies are left
        os.killpg(leader, number)
