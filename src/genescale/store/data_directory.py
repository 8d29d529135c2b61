"""The data directory: one folder that holds everything a platform on one machine knows.

    genescale-data.json   layout version, when and by which program it was made
    platform.lock         held (flock) by the one `genescale up` that runs here
    log/                  the event log, one file per topic
    tables.sqlite         the tables
    objects/              large payloads, content-addressed
    runtime/              what is only true while the platform runs; safe to delete when it does not

Roles and commands open the directory side by side; only the supervisor takes the lock. The kernel holds it, so it ends
with its process, however that dies; the text inside the file only says who held it last.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

import msgspec

from genescale.clock import Clock, rfc3339
from genescale.errors import CannotStart, DiskFull, Unsupported
from genescale.store.durable import sync_folder

FORMAT_VERSION = 1
LAYOUT_FILE = "genescale-data.json"
LOCK_FILE = "platform.lock"


class Layout(msgspec.Struct, frozen=True):
    """What `genescale-data.json` says."""

    format: int
    created: str
    program: str  # the version of Genescale that made the directory


class DataDirectory(msgspec.Struct, frozen=True):
    """An opened data directory and the places inside it."""

    root: Path
    layout: Layout

    @property
    def log(self) -> Path:
        """Where the embedded event log lives."""
        return self.root / "log"

    @property
    def tables(self) -> Path:
        """The SQLite file of the tables."""
        return self.root / "tables.sqlite"

    @property
    def objects(self) -> Path:
        """Where large payloads live."""
        return self.root / "objects"

    @property
    def runtime(self) -> Path:
        """State of the running platform, sockets; nothing that anybody would miss."""
        return self.root / "runtime"


class Holder(msgspec.Struct, frozen=True):
    """Who runs a platform on a directory."""

    pid: int
    portal: str
    since: str


def open_directory(root: Path, clock: Clock, program: str) -> DataDirectory:
    """Open the data directory at `root`, making it when it is new.

    `program` is the version of this program. Raises `Unsupported` for a layout that a newer program made,
    `CannotStart` when the folder cannot be used, `DiskFull` when there is no room for its first few bytes.
    """
    root = root.expanduser().absolute()
    with _explained(root):
        root.mkdir(parents=True, exist_ok=True)
        layout = _read_layout(root, program) or _first_layout(root, clock, program)
        directory = DataDirectory(root, layout)
        for folder in (directory.log, directory.objects, directory.runtime):
            folder.mkdir(exist_ok=True)
        # A new folder that a power cut takes away takes with it what was fsynced inside. Also when it was there: the
        # process that made it may not have come to this line yet.
        sync_folder(root)
        with contextlib.suppress(PermissionError):  # not ours to read, so not made by us either
            sync_folder(root.parent)
        if os.statvfs(root).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, "read-only", str(root))
        if not os.access(root, os.W_OK):
            raise PermissionError(errno.EACCES, "no right to write", str(root))
    return directory


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file so that a reader sees the old content or the new one, never a half."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


class Hold:
    """The right to run the one platform of a directory. Made by `hold`."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self._root = root
        self._descriptor = descriptor
        self.left_behind = _read_holder(descriptor)  # a platform that ended without saying so (power cut, SIGKILL)

    def tell(self, holder: Holder) -> None:
        """Leave a note for whoever comes second."""
        with _explained(self._root):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, msgspec.json.encode(holder) + b"\n", 0)


@contextlib.contextmanager
def hold(directory: DataDirectory) -> Generator[Hold]:
    """Be the one platform of this directory. Raises `CannotStart` naming the other one when there is one already."""
    path = directory.root / LOCK_FILE
    with _explained(directory.root):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(_occupied(directory.root, _read_holder(descriptor))) from None
        yield Hold(directory.root, descriptor)
        os.ftruncate(descriptor, 0)  # an empty lock file: the last platform ended by itself
    finally:
        os.close(descriptor)


def _occupied(root: Path, holder: Holder | None) -> str:
    if holder is None:  # it took the lock this very moment and has not written its name yet
        return f"another platform is starting on {root}; wait for it, or give this one its own folder with --data"
    return (
        f"a platform already runs on {root}: process {holder.pid}, portal {holder.portal}, since {holder.since}. "
        "Use that one, stop it with Ctrl-C, or give this one its own folder with --data"
    )


def _read_holder(descriptor: int) -> Holder | None:
    content = os.pread(descriptor, 4096, 0)
    try:
        return msgspec.json.decode(content, type=Holder)
    except msgspec.DecodeError:
        return None


def _read_layout(root: Path, program: str) -> Layout | None:
    path = root / LAYOUT_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        layout = msgspec.json.decode(content, type=Layout)
    except msgspec.DecodeError as error:
        raise Unsupported(
            f"{path} cannot be read ({error}). It says how the data beside it are laid out, so nothing was touched. "
            f'If they were made by Genescale {program}, put {{"format": {FORMAT_VERSION}, "created": "unknown", '
            f'"program": "{program}"}} into it'
        ) from None
    if layout.format > FORMAT_VERSION:
        raise Unsupported(
            f"{root} has data layout {layout.format}, made by Genescale {layout.program}; this is Genescale "
            f"{program}, which knows layouts up to {FORMAT_VERSION}. Nothing was touched. Install Genescale "
            f"{layout.program} or newer, or use another folder with --data"
        )
    return layout


def _first_layout(root: Path, clock: Clock, program: str) -> Layout:
    names = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
    if LAYOUT_FILE in names and (layout := _read_layout(root, program)):
        return layout  # another role, started at the same moment, was faster
    if foreign := [name for name in names if name != LOCK_FILE]:
        raise CannotStart(
            f"{root} holds something else ({', '.join(foreign[:3])}) and no {LAYOUT_FILE}; "
            "use an empty or a new folder with --data"
        )
    layout = Layout(FORMAT_VERSION, rfc3339(clock.wall_ms()), program)
    write_whole(root / LAYOUT_FILE, msgspec.json.encode(layout) + b"\n", durable=True)
    return layout


@contextlib.contextmanager
def _explained(root: Path) -> Generator[None]:
    """Turn what the system says about a folder into what a person can do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"no space left for {root}; nothing was lost. Free some space and start again") from error
        reasons = {
            errno.EACCES: "this user may not write there",
            errno.EPERM: "this user may not write there",
            errno.EROFS: "the disk is read-only",
            errno.ENOTDIR: "a part of the path is a file",
            errno.EEXIST: "a part of the path is a file",
        }
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise CannotStart(
            f"the data directory {root} cannot be used: {reason} ({error.filename or root}). Choose another with --data"
        ) from error
