"""What this machine says about itself: who listens on a port, what a process uses, and how to die with one's parent.

Linux answers from /proc. Elsewhere the facts are None and the caller says less; nothing is guessed.
"""

import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from genescale.errors import CannotStart

_PR_SET_PDEATHSIG = 1
_BACKLOG = 2048  # connections that wait while the gateway is busy or starts again
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a process has used so far, and what it holds now."""

    cpu_s: float
    pss_bytes: int  # memory that it holds alone, plus its share of what several hold


def usage(pid: int) -> Usage | None:
    """What `pid` uses. None when it is gone, belongs to somebody else, or the system does not tell."""
    try:
        # The name of the program may hold spaces and brackets; what follows its last bracket is regular.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    pss_kib = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), None)
    if pss_kib is None:  # a process that has just ended has no memory any more
        return None
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS_PER_S, pss_kib * 1024)


def die_with(parent: int) -> None:
    """End this process, hard, when `parent` ends. Called by a child early in its life.

    Only Linux can do it (elsewhere nothing happens). Hard, because the work is safe in the log in any case, and a
    role that hangs on the way down would hold files and ports against the next start.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent:  # it died before we asked, so nobody would ever tell us
        os.kill(os.getpid(), signal.SIGKILL)


def listen(host: str, port: int, setting: str, flag: str | None = None) -> socket.socket:
    """A listening socket. `setting` is the setting that holds the port, for the message when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotStart(why_not_listening(error, host, port, setting, flag)) from error
    return listener


def why_not_listening(error: OSError, host: str, port: int, setting: str, flag: str | None = None) -> str:
    """What stands in the way of listening there, who it is if that can be known, and which setting changes it."""
    variable = "GENESCALE_" + setting.replace(".", "_").upper()
    change = f"the setting {setting} ({variable})" + (f" or {flag}" if flag else "")
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        who = f" by {holder}" if holder else ""
        return f"port {port} on {host} is taken{who}; stop that program, or choose another port with {change}"
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; choose one above 1023 with {change}"
    group = setting.partition(".")[0]
    return f"cannot listen on {host}, port {port}: {error.strerror or error}; change {group}.host or {setting}"


def port_holder(port: int) -> str | None:
    """Who listens on this TCP port, as `process PID (command)`. None when the system does not tell us."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(_link(descriptor) in wanted for descriptor in _descriptors(process)):
            return f"process {process.name} ({_command(process)})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                inodes.add(fields[9])
    return inodes


def _descriptors(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:  # ended meanwhile, or somebody else's
        return []


def _link(descriptor: Path) -> str | None:
    with contextlib.suppress(OSError):
        return os.readlink(descriptor)  # noqa: PTH115 - the target is no path
    return None


def _command(process: Path) -> str:
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
        # Only the program and its first words: further arguments of a stranger may hold secrets.
        return " ".join([Path(words[0]).name, *words[1:4]])[:80]
    return "unknown"
