"""End every process that `.ci/run` started and forgot, and exit with 1 when there was one.

Each process of a run carries CI_RUN_MARK in its environment, whatever its parent and session are by now.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Look, tell, kill."""
    mark = f"CI_RUN_MARK={os.environ['CI_RUN_MARK']}".encode()
    if not Path("/proc/self/environ").exists():
        print("only Linux tells")
        return 0
    spared = ancestors()
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [pid for pid in running if pid not in spared and carries(pid, mark)]
    for pid in found:
        print(f"still running: {pid} {read(pid, 'cmdline').replace(bytes(1), b' ').decode(errors='replace')[:200]}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    print(f"{len(found)} processes were left running" if found else "nothing")
    return 1 if found else 0


def ancestors() -> set[int]:
    """This process and those that wait for it."""
    found, pid = set[int](), os.getpid()
    while pid > 0:
        found.add(pid)
        pid = int(read(pid, "stat").rpartition(b")")[2].split()[1] or 0)
    return found


def carries(pid: int, mark: bytes) -> bool:
    """Whether it was started by this run, and is no zombie."""
    return mark in read(pid, "environ").split(b"\0")


def read(pid: int, name: str) -> bytes:
    """One file of /proc, empty when the process is gone or not ours."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
