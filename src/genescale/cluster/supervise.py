"""When a role is started, stopped and started again: decisions only, `local` carries them out.

A role is a process that should always run. It is started again when it ends, sooner at first and later each time, until
it has run long enough to be trusted again. Nothing here waits or starts anything: a state and a time go in, actions or
a new state come out.

    waiting ──Start──> starting ──ready──> running
       ^                  │                   │
       └── backing-off <──┴────── exited ─────┘          stopped: asked to end, or given up
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from msgspec import structs

Phase: TypeAlias = Literal["starting", "running", "backing-off", "stopped"]

CANNOT_START = 2  # the exit status with which a role says that starting it again is useless

ECHO_S = 1.0  # longer than any wrapper takes, shorter than a person needs to lose patience


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the supervisor is."""

    first_delay_s: float = 0.25  # short, since most crashes are single ones
    delay_max_s: float = 30.0  # long enough to cost nothing, short enough that a person sees it try
    trusted_after_s: float = 60.0  # a role that ran this long starts again with the first delay
    crash_loop_after: int = 5  # so many ends in a row are no accident
    grace_s: float = 10.0  # between SIGTERM and SIGKILL


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """One role as the supervisor knows it."""

    name: str
    phase: Phase = "backing-off"
    pid: int | None = None
    restarts: int = 0
    failures_in_a_row: int = 0
    since_s: float  # when the phase began
    next_start_s: float  # only read while backing off
    was_ready: bool = False
    last_exit: str | None = None


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """All roles, and whether they should run at all."""

    roles: tuple[Role, ...]
    policy: Policy
    stopping_since_s: float | None = None
    terminated: frozenset[int] = frozenset()  # told to end
    killed: frozenset[int] = frozenset()
    given_up: str | None = None  # the role that cannot run at all

    def role(self, name: str) -> Role:
        """The role of this name."""
        return next(role for role in self.roles if role.name == name)

    @property
    def finished(self) -> bool:
        """Asked to stop, and nothing runs any more."""
        return self.stopping_since_s is not None and all(role.pid is None for role in self.roles)


class Start(msgspec.Struct, frozen=True):
    """Start this role now."""

    role: str


class Terminate(msgspec.Struct, frozen=True):
    """Ask this process to end (SIGTERM)."""

    role: str
    pid: int


class Kill(msgspec.Struct, frozen=True):
    """End this process (SIGKILL): it was asked and did not listen."""

    role: str
    pid: int


Action: TypeAlias = Start | Terminate | Kill


def begin(names: Iterable[str], now_s: float, policy: Policy | None = None) -> Platform:
    """A platform whose roles want to start at once."""
    roles = tuple(Role(name=name, since_s=now_s, next_start_s=now_s) for name in names)
    return Platform(roles=roles, policy=policy or Policy())


def decide(platform: Platform, now_s: float) -> list[Action]:
    """What to do now. Carry each action out and report it (`started`, `told`), or it is decided again."""
    if platform.stopping_since_s is None:
        return [
            Start(role.name) for role in platform.roles if role.phase == "backing-off" and role.next_start_s <= now_s
        ]
    actions: list[Action] = []
    patience_over = now_s - platform.stopping_since_s >= platform.policy.grace_s
    for role in platform.roles:
        if role.pid is None or role.pid in platform.killed:
            continue
        if patience_over:
            actions.append(Kill(role.name, role.pid))
        elif role.pid not in platform.terminated:
            actions.append(Terminate(role.name, role.pid))
    return actions


def next_decision_s(platform: Platform) -> float | None:
    """When `decide` will have something new to say if nothing happens before. None: only an event can change it."""
    if platform.stopping_since_s is None:
        return min((role.next_start_s for role in platform.roles if role.phase == "backing-off"), default=None)
    waiting = any(role.pid is not None and role.pid not in platform.killed for role in platform.roles)
    return platform.stopping_since_s + platform.policy.grace_s if waiting else None


def started(platform: Platform, name: str, pid: int, now_s: float) -> Platform:
    """The role has a process."""
    role = platform.role(name)
    again = role.last_exit is not None
    return _with(
        platform,
        structs.replace(
            role, phase="starting", pid=pid, since_s=now_s, restarts=role.restarts + again, was_ready=False
        ),
    )


def not_started(platform: Platform, name: str, reason: str, now_s: float) -> Platform:
    """The system refused to make the process; that counts as a crash."""
    return _failed(platform, platform.role(name), reason, now_s)


def ready(platform: Platform, name: str, now_s: float) -> Platform:
    """The role says that it does its work."""
    role = platform.role(name)
    if role.phase != "starting":
        return platform
    return _with(platform, structs.replace(role, phase="running", since_s=now_s, was_ready=True))


def told(platform: Platform, action: Terminate | Kill) -> Platform:
    """The signal was sent."""
    if isinstance(action, Kill):
        return structs.replace(platform, killed=platform.killed | {action.pid})
    return structs.replace(platform, terminated=platform.terminated | {action.pid})


def exited(platform: Platform, name: str, status: int, now_s: float) -> Platform:
    """The role's process is gone. `status` is its exit status, negative for a signal.

    A role that says at its very first start that it cannot run ends the whole platform: the person who started it
    is still looking, and half a platform would only hide the reason.
    """
    role = platform.role(name)
    reason = f"signal {-status}" if status < 0 else f"exit status {status}"
    if platform.stopping_since_s is not None:
        return _with(platform, structs.replace(role, phase="stopped", pid=None, since_s=now_s, last_exit=reason))
    if status == CANNOT_START and not role.was_ready and role.restarts == 0:
        halted = structs.replace(role, phase="stopped", pid=None, since_s=now_s, last_exit=reason)
        return stop(structs.replace(_with(platform, halted), given_up=name), now_s)
    return _failed(platform, role, reason, now_s)


def stop(platform: Platform, now_s: float) -> Platform:
    """Everything should end. A second call changes nothing but the patience: it is over (a second Ctrl-C).

    One that comes within `ECHO_S` is the same wish: a wrapper such as `uv run` passes on the Ctrl-C that the terminal
    has sent to us as well.
    """
    if platform.stopping_since_s is not None:
        if now_s - platform.stopping_since_s < ECHO_S:
            return platform
        return structs.replace(platform, stopping_since_s=now_s - platform.policy.grace_s)
    roles = tuple(
        structs.replace(role, phase="stopped", since_s=now_s) if role.pid is None else role for role in platform.roles
    )
    return structs.replace(platform, roles=roles, stopping_since_s=now_s)


def crash_looping(platform: Platform, name: str) -> bool:
    """The role ended so often in a row that waiting will not help; somebody should read its output."""
    return platform.role(name).failures_in_a_row >= platform.policy.crash_loop_after


def _failed(platform: Platform, role: Role, reason: str, now_s: float) -> Platform:
    policy = platform.policy
    trusted = role.phase == "running" and now_s - role.since_s >= policy.trusted_after_s
    failures = 1 if trusted else role.failures_in_a_row + 1
    # 2**30 s is far above any maximum; the bound keeps the power from becoming a number without end
    delay_s = min(policy.delay_max_s, policy.first_delay_s * 2.0 ** min(failures - 1, 30))
    return _with(
        platform,
        structs.replace(
            role,
            phase="backing-off",
            pid=None,
            since_s=now_s,
            next_start_s=now_s + delay_s,
            failures_in_a_row=failures,
            last_exit=reason,
        ),
    )


def _with(platform: Platform, changed: Role) -> Platform:
    roles = tuple(changed if role.name == changed.name else role for role in platform.roles)
    return structs.replace(platform, roles=roles)
