"""A file system that loses what was not synced: power cuts, failed fsyncs and full disks on demand.

It passes everything through to a backing folder and remembers, per file, what was written since the last fsync, and,
per directory, the names that were created, renamed or removed since the last fsync of the directory. `cut` takes the
un-synced part away, all of it or a seeded subset of its blocks. What the backing folder then holds is what a machine
would find after the power came back.

It runs in its own process (`python -m genescale.trials.lossyfs BACKING MOUNT FD`), commanded by `LossyFolder` over an
inherited socket; when the commander dies, it unmounts itself. It needs `/dev/fuse` and libfuse (2 or 3), through
`mfusepy`. Locks and the shared memory of SQLite's WAL are the kernel's business: no `lock` operation, no `direct_io`,
therefore one page cache for all processes, and `mmap` works. That cache outlives no cut: each cut ends with an unmount.

What it is strict about, more than ext4: a new name is lost without an fsync of its directory, even when the file was
fsynced; after a failed fsync the writes it should have saved are lost for ever, whatever a later fsync says.
"""

import contextlib
import errno
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genescale.trials.unsynced import Change, redo_some, synced, undo

Loss = Literal["all", "torn"]


@dataclass
class FileState:
    """What one file (one inode) still owes to the disk."""

    changes: list[Change] = field(default_factory=list[Change])


@dataclass
class NameChange:
    """A directory entry that is not durable yet. `kept` is where a removed or replaced file waits for its end."""

    kind: Literal["create", "unlink", "rename", "mkdir", "rmdir"]
    path: Path
    old: Path | None = None
    kept: Path | None = None

    @property
    def directory(self) -> Path:
        """The directory whose fsync settles this change."""
        return self.path.parent


# ---- the file system itself ----


class LossyOperations:
    """The callbacks that libfuse makes, on the backing folder. One at a time, under `mutex`."""

    use_ns = True

    def __init__(self, backing: Path, ready: "socket.socket") -> None:
        self.backing = backing
        self.graveyard = backing.with_name(backing.name + ".removed")
        self.graveyard.mkdir(exist_ok=True)
        self.mutex = threading.Lock()
        self.files: dict[int, FileState] = {}  # by inode of the backing file
        self.handles: dict[int, FileState] = {}  # by open file descriptor
        self.names: list[NameChange] = []
        self.counts = dict.fromkeys(("writes", "fsyncs", "eio", "enospc", "slow"), 0)
        self.frozen = False
        self.full = False
        self.fsync_fails_in = 0
        self.slow_fsyncs = 0
        self.slow_s = 0.0
        self._ready = ready
        self._removed = 0

    def init_with_config(self, _conn: object, _config: object) -> None:
        """The mount works from here on."""
        self._ready.sendall(b'{"ready": true}\n')

    def _real(self, path: str) -> Path:
        if self.frozen:
            raise OSError(errno.EIO, "the power is off")
        return self.backing / path.lstrip("/")

    def _state(self, real: int | Path) -> FileState:
        return self.files.setdefault(os.stat(real).st_ino, FileState())  # noqa: PTH116 - takes descriptors too

    def _no_space_left(self) -> None:
        if self.full:
            self.counts["enospc"] += 1
            raise OSError(errno.ENOSPC, "no space left")

    # -- files --

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """libfuse: stat."""
        with self.mutex:
            real = self._real(path)
            found = os.fstat(fh) if fh is not None else real.lstat()
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime_ns", "st_mtime_ns", "st_ctime_ns")
        return {name.removesuffix("_ns"): getattr(found, name) for name in names}

    def create(self, path: str, mode: int, _fi: object = None) -> int:
        """libfuse: open with O_CREAT."""
        with self.mutex:
            real = self._real(path)
            self._no_space_left()
            is_new = not real.exists()
            fd = os.open(real, os.O_RDWR | os.O_CREAT, mode)
            self.handles[fd] = self._state(fd)
            if is_new:
                self.names.append(NameChange("create", real))
            return fd

    def open(self, path: str, flags: int) -> int:
        """libfuse: open. Always for reading too, since every write remembers what was there before."""
        with self.mutex:
            fd = os.open(self._real(path), os.O_RDWR)
            self.handles[fd] = self._state(fd)
            if flags & os.O_TRUNC:
                self._truncate(fd, 0)
            return fd

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """libfuse: pread."""
        with self.mutex:
            self._real(path)
            return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """libfuse: pwrite."""
        with self.mutex:
            self._real(path)
            size = os.fstat(fh).st_size
            if offset + len(data) > size:  # what has its place on the disk can be written over
                self._no_space_left()
            self.counts["writes"] += 1
            before = os.pread(fh, len(data), offset)
            change = Change(offset, before, data, size)
            written = os.pwrite(fh, data, offset)
            self.handles[fh].changes.append(change)
            return written

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """libfuse: truncate and ftruncate."""
        with self.mutex:
            real = self._real(path)
            if fh is not None:
                self._truncate(fh, length)
                return 0
            fd = os.open(real, os.O_RDWR)
            try:
                self.handles[fd] = self._state(fd)
                self._truncate(fd, length)
            finally:
                self.handles.pop(fd, None)
                os.close(fd)
            return 0

    def _truncate(self, fd: int, length: int) -> None:
        size = os.fstat(fd).st_size
        if length > size:
            self._no_space_left()
        tail = os.pread(fd, max(0, size - length), length)
        os.ftruncate(fd, length)
        self.handles[fd].changes.append(Change(length, tail, b"", size, size_after=length))

    def fsync(self, path: str, _datasync: int, fh: int) -> int:
        """libfuse: fsync and fdatasync; the only way for bytes to become durable."""
        with self.mutex:
            self._real(path)
            self._fault_on_fsync(self.handles[fh].changes)
            state = self.handles[fh]
            state.changes = synced(state.changes)
            return 0

    def _fault_on_fsync(self, changes: list[Change]) -> None:
        self.counts["fsyncs"] += 1
        if self.slow_fsyncs > 0:
            self.slow_fsyncs -= 1
            self.counts["slow"] += 1
            time.sleep(self.slow_s)
        if self.fsync_fails_in > 0:
            self.fsync_fails_in -= 1
            if self.fsync_fails_in == 0:
                self.counts["eio"] += 1
                for change in changes:
                    change.doomed = True
                raise OSError(errno.EIO, "fsync failed")

    def release(self, _path: str, fh: int) -> int:
        """libfuse: the last close."""
        with self.mutex:
            self.handles.pop(fh, None)
            os.close(fh)
            return 0

    # -- names --

    def readdir(self, path: str, _fh: int) -> list[str]:
        """libfuse: list a directory."""
        with self.mutex:
            return [".", "..", *(entry.name for entry in self._real(path).iterdir())]

    def mkdir(self, path: str, mode: int) -> int:
        """libfuse: mkdir."""
        with self.mutex:
            real = self._real(path)
            self._no_space_left()
            real.mkdir(mode)
            self.names.append(NameChange("mkdir", real))
            return 0

    def mknod(self, path: str, mode: int, dev: int) -> int:
        """libfuse: mknod. Named pipes live in the kernel; here they are only names."""
        with self.mutex:
            real = self._real(path)
            self._no_space_left()
            os.mknod(real, mode, dev)
            self.names.append(NameChange("create", real))
            return 0

    def rmdir(self, path: str) -> int:
        """libfuse: rmdir."""
        with self.mutex:
            real = self._real(path)
            real.rmdir()
            self.names.append(NameChange("rmdir", real))
            return 0

    def unlink(self, path: str) -> int:
        """libfuse: remove a name; the file waits in the graveyard until its directory is synced."""
        with self.mutex:
            real = self._real(path)
            self.names.append(NameChange("unlink", real, kept=self._bury(real)))
            return 0

    def rename(self, old: str, new: str) -> int:
        """libfuse: rename, replacing what was there."""
        with self.mutex:
            source, target = self._real(old), self._real(new)
            kept = self._bury(target) if target.exists() and not target.is_dir() else None
            source.rename(target)
            self.names.append(NameChange("rename", target, old=source, kept=kept))
            return 0

    def _bury(self, real: Path) -> Path:
        self._removed += 1
        return real.rename(self.graveyard / str(self._removed))

    def fsyncdir(self, path: str, _datasync: int, _fh: int) -> int:
        """libfuse: fsync of a directory makes its names durable."""
        with self.mutex:
            directory = self._real(path)
            self._fault_on_fsync([])
            settled = [change for change in self.names if change.directory == directory]
            self.names = [change for change in self.names if change.directory != directory]
            for change in settled:
                if change.kept is not None:
                    self.files.pop(change.kept.stat().st_ino, None)
                    change.kept.unlink()
            return 0

    def chmod(self, path: str, mode: int) -> int:
        """libfuse: chmod; not a subject of the trial, durable at once."""
        self._real(path).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """libfuse: chown; not a subject of the trial, durable at once."""
        os.chown(self._real(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """libfuse: set times; not a subject of the trial, durable at once."""
        os.utime(self._real(path), ns=times) if times else os.utime(self._real(path))
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """libfuse: free space, none while the disk is full."""
        found = os.statvfs(self._real(path))
        names = (
            "f_bavail",
            "f_bfree",
            "f_blocks",
            "f_bsize",
            "f_favail",
            "f_ffree",
            "f_files",
            "f_frsize",
            "f_namemax",
        )
        free = {"f_bavail": 0, "f_bfree": 0} if self.full else {}
        return {name: getattr(found, name) for name in names} | free

    # -- the power cut --

    def cut(self, loss: Loss, seed: int) -> dict[str, int]:
        """Take away what was not synced. The file system stays frozen; the backing folder is the outcome."""
        with self.mutex:
            self.frozen = True
            chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
            by_inode = {real.stat().st_ino: real for root in (self.backing, self.graveyard) for real in _files(root)}
            lost = {"files": 0, "changes": 0, "blocks": 0, "names": 0}
            for inode, state in sorted(self.files.items()):
                if state.changes and inode in by_inode:
                    lost["files"] += 1
                    lost["changes"] += len(state.changes)
                    lost["blocks"] += self._lose(by_inode[inode], state.changes, loss, chance)
            lost["names"] = self._lose_names(loss, chance)
            self.files.clear()
            self.names.clear()
            shutil.rmtree(self.graveyard)
            return lost

    def _lose(self, real: Path, changes: list[Change], loss: Loss, chance: random.Random) -> int:
        fd = os.open(real, os.O_RDWR)
        try:
            undo(fd, changes)
            return redo_some(fd, changes, chance) if loss == "torn" else len(changes)
        finally:
            os.close(fd)

    def _lose_names(self, loss: Loss, chance: random.Random) -> int:
        """Undo names, newest first. "torn" keeps a random beginning per directory: a journal keeps their order."""
        keep: dict[Path, int] = {}
        if loss == "torn":
            for directory in sorted({change.directory for change in self.names}):
                mine = sum(change.directory == directory for change in self.names)
                keep[directory] = chance.randint(0, mine)
        doomed: list[NameChange] = []
        for change in self.names:
            if keep.get(change.directory, 0) > 0:
                keep[change.directory] -= 1
            else:
                doomed.append(change)
        for change in reversed(doomed):
            # A name that a later, synced change has taken away needs no undoing.
            with contextlib.suppress(FileNotFoundError):
                _undo_name(change)
        return len(doomed)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())


def _undo_name(change: NameChange) -> None:
    if change.kind == "create":
        change.path.unlink()
    elif change.kind == "mkdir":
        shutil.rmtree(change.path)
    elif change.kind == "rmdir":
        change.path.mkdir()
    elif change.kind == "rename" and change.old is not None:
        change.path.rename(change.old)
    if change.kept is not None:
        change.kept.rename(change.path)


# ---- the process ----

# Nobody else changes the files, so the kernel may believe its cache. Without `kernel_cache` every open throws the
# pages of the file away, also those of the WAL's shared memory, and one that cannot be written back just then is lost.
MOUNT_OPTIONS: dict[str, Any] = {"attr_timeout": 3600, "entry_timeout": 3600, "kernel_cache": True}


def _serve(operations: LossyOperations, mount: Path, control: socket.socket) -> None:
    """Obey the commander until it hangs up, then unmount."""
    with control.makefile("r") as lines:
        for line in lines:
            answer = _obey(operations, json.loads(line))
            control.sendall(json.dumps(answer).encode() + b"\n")
    unmount(mount)


def _obey(fs: LossyOperations, order: dict[str, Any]) -> dict[str, Any]:
    match order:
        case {"do": "freeze"}:
            with fs.mutex:
                fs.frozen = True
        case {"do": "cut", "loss": loss, "seed": seed}:
            return fs.cut(loss, seed)
        case {"do": "full", "on": on}:
            fs.full = bool(on)
        case {"do": "fail_fsync", "nth": nth}:
            fs.fsync_fails_in = int(nth)
        case {"do": "slow_fsync", "times": times, "seconds": seconds}:
            fs.slow_s, fs.slow_fsyncs = float(seconds), int(times)
        case {"do": "counts"}:
            with fs.mutex:
                owed = sum(len(state.changes) for state in fs.files.values())
                return {**fs.counts, "unsynced": owed, "unsynced_names": len(fs.names)}
        case _:
            return {"error": f"unknown order {order!r}"}
    return {}


def main(arguments: list[str]) -> None:
    """Mount and serve until unmounted: BACKING MOUNT FD."""
    backing, mount, control = Path(arguments[0]), Path(arguments[1]), socket.socket(fileno=int(arguments[2]))
    import mfusepy  # noqa: PLC0415 - only this process needs libfuse

    operations = LossyOperations(backing.resolve(), control)
    threading.Thread(target=_serve, args=(operations, mount, control), daemon=True).start()
    # libfuse 2 writes in 4 KiB pieces unless told otherwise.
    options: dict[str, Any] = {"big_writes": True} if mfusepy.fuse_version_major == 2 else {}
    mfusepy.FUSE(operations, str(mount), foreground=True, nothreads=True, **MOUNT_OPTIONS, **options)


# ---- the commander's side ----


def unavailable() -> str | None:
    """Why there can be no lossy folder on this machine; None when there can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened (in a container: --device /dev/fuse --cap-add SYS_ADMIN)"
    if _fusermount() is None:
        return "fusermount is not installed (Debian: apt-get install fuse3)"
    try:
        import mfusepy  # noqa: F401, PLC0415 # pyright: ignore[reportUnusedImport]
    except (ImportError, OSError) as error:
        return f"mfusepy cannot load libfuse (Debian: apt-get install libfuse2): {error}"
    return None


def _fusermount() -> str | None:
    return shutil.which("fusermount3") or shutil.which("fusermount")


def unmount(mount: Path) -> None:
    """Detach the mount; processes that still use it get errors."""
    subprocess.run([_fusermount() or "fusermount3", "-u", "-z", str(mount)], check=False, capture_output=True)


class LossyFolder:
    """A mounted lossy folder: `path` is where to work, `backing` what survives. Use from one thread."""

    def __init__(self, backing: Path, path: Path) -> None:
        self.backing = backing
        self.path = path
        for folder in (backing, path):
            folder.mkdir(parents=True, exist_ok=True)
        self._mount()

    def _mount(self) -> None:
        self._felt: dict[str, int] = {}
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "genescale.trials.lossyfs", str(self.backing), str(self.path)]
        with theirs:
            self._process = subprocess.Popen([*command, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        ours.settimeout(60)
        self._control = ours
        self._lines = ours.makefile("r")
        if not self._lines.readline():
            raise OSError(f"the lossy file system did not start; exit status {self._process.wait()}")

    def _order(self, do: str, **details: Any) -> dict[str, Any]:
        self._control.sendall(json.dumps({"do": do, **details}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._lines.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def freeze(self) -> None:
        """The moment of the power cut: every operation from now on fails with EIO. Kill the processes, then `cut`."""
        self._order("freeze")

    def cut(self, loss: Loss, seed: int) -> dict[str, int]:
        """Lose what was not synced ("all", or "torn": a random subset), and mount again. Returns what was lost."""
        lost = self._order("cut", loss=loss, seed=seed)
        self.close()
        self._mount()
        return lost

    def full(self, on: bool) -> None:
        """While on, whatever grows a file or makes a new one gets ENOSPC."""
        self._order("full", on=on)

    def fail_fsync(self, nth: int) -> None:
        """The `nth` fsync from now on (1 = the next) fails with EIO, and what it should have saved never will be."""
        self._order("fail_fsync", nth=nth)

    def slow_fsync(self, times: int, seconds: float) -> None:
        """The next `times` fsyncs take this long."""
        self._order("slow_fsync", times=times, seconds=seconds)

    def counts(self) -> dict[str, int]:
        """How often each thing has happened since the mount, and what is un-synced now."""
        return self._order("counts")

    def felt(self, count: str) -> int:
        """How often `count` of `counts` has happened since this was last asked, or since the mount."""
        now = self.counts()[count]
        new = now - self._felt.get(count, 0)
        self._felt[count] = now
        return new

    def flip_bit(self, name: str, offset: int, bit: int) -> None:
        """Damage at rest: flip one bit of a file that nobody has open."""
        with (self.backing / name).open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ (1 << bit)]))

    def close(self) -> None:
        """Unmount, losing nothing."""
        self._lines.close()
        self._control.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            unmount(self.path)
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
