"""Waking readers in other processes without polling: a named pipe per waiting reader.

A reader makes a pipe in the folder of each *channel* it waits on (a topic, a group) and sleeps in `select`. Whoever
has just committed writes one byte into every pipe of the channel. Pipes were chosen over sockets because their path
may be long and over inotify because that also wakes for what is not committed yet. A nudge carries no data and may be
lost or doubled at no harm: a reader always looks at the log after registering and before sleeping, and never sleeps
longer than its caller's time-out.
"""

import contextlib
import errno
import os
import select
import uuid
from pathlib import Path

_DRAIN_BYTES = 65_536
# A file system without pipes, or without room for one: a full disk must not keep anybody from reading.
_NO_PIPE = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT})


class Waiter:
    """One reader that can be woken. Made and used by one thread; `wake` may be called from anywhere."""

    def __init__(self, directory: Path, channels: list[str]) -> None:
        self._paths: list[Path] = []
        self._pipes: list[int] = []
        self._own_read, self._own_write = os.pipe()
        os.set_blocking(self._own_read, False)
        os.set_blocking(self._own_write, False)
        name = f"{os.getpid()}-{uuid.uuid4().hex}"
        for channel in channels:
            self._listen(directory / channel, name)

    def _listen(self, folder: Path, name: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Made and opened beside the folder and moved in whole: a pipe without a reader is taken for a dead one's.
            new, path = folder.with_name(f".{name}"), folder / name
            os.mkfifo(new, 0o600)
            # Opened for reading and writing, so that the pipe never reports end of file between two writers.
            self._pipes.append(os.open(new, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            new.rename(path)
            self._paths.append(path)
        except OSError as error:
            if error.errno not in _NO_PIPE:
                raise  # otherwise the reader is deaf, and looks by itself now and then

    @property
    def deaf(self) -> bool:
        """True when this file system has no pipes, so that the caller must look by itself now and then."""
        return not self._pipes

    def wait(self, timeout_s: float) -> None:
        """Sleep until somebody nudges, `wake` is called, or the time is over."""
        ready, _, _ = select.select([*self._pipes, self._own_read], [], [], max(0.0, timeout_s))
        for descriptor in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, _DRAIN_BYTES)

    def wake(self) -> None:
        """End the present or the next `wait`. Safe from any thread and from a signal handler."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._own_write, b"!")

    def close(self) -> None:
        """Remove the pipes."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        descriptors = (*self._pipes, self._own_read, self._own_write)
        # Forgotten before they are closed: a late `wake` must not write into whatever gets the number next.
        self._paths, self._pipes, self._own_read, self._own_write = [], [], -1, -1
        for descriptor in descriptors:
            os.close(descriptor)


class Nudger:
    """The side that wakes. Used by one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[Path, int] = {}

    def nudge(self, channel: str) -> None:
        """Wake every reader of the channel. Pipes whose reader died are removed."""
        folder = self._directory / channel
        try:
            names = os.listdir(folder)  # noqa: PTH208 - no Path for each name: this runs for every batch
        except FileNotFoundError:
            return
        for name in names:
            self._poke(folder / name)

    def _poke(self, path: Path) -> None:
        try:
            descriptor = self._open.get(path)
            if descriptor is None:
                descriptor = self._open[path] = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(descriptor, b"!")
        except BlockingIOError:
            pass  # full of nudges already: the reader will wake
        except OSError as error:
            self._forget(path)
            if error.errno in (errno.ENXIO, errno.EPIPE):  # its reader is gone
                path.unlink(missing_ok=True)
            elif error.errno != errno.ENOENT:
                raise

    def _forget(self, path: Path) -> None:
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the open pipes."""
        for path in list(self._open):
            self._forget(path)
