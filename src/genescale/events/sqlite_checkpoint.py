"""Folding write-ahead logs into their files, beside the writer. Called by `sqlite`."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import apsw

from genescale.errors import GenescaleError, Retryable
from genescale.events.sqlite_file import PAGE_BYTES, connect, explain, locked
from genescale.events.sqlite_writer import WriteFile


class Checkpointer:
    """Folds write-ahead logs into their files, in a thread of its own. A lock makes one process of all the owner."""

    def __init__(self, bytes_max: int, on_failure: Callable[[GenescaleError], None]) -> None:
        self._bytes_max, self._on_failure = bytes_max, on_failure
        self._wanted: dict[Path, WriteFile] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def consider(self, file: WriteFile) -> None:
        """Called after a commit: start folding when the log has grown enough."""
        if file.wal_pages * PAGE_BYTES < self._bytes_max or self._closed:
            return
        with self._changed:
            self._wanted[file.path] = file
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="genescale-checkpoint", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                _, file = self._wanted.popitem()
            try:
                self.fold(file)
            except GenescaleError as error:  # from here on every caller of the log is told
                self._on_failure(error)

    def fold(self, file: WriteFile) -> bool:
        """Fold one log in, unless another process is doing it. True when all of it went in."""
        try:
            return self._fold(file)
        except (apsw.Error, OSError) as error:
            reason = explain(error, file.path)
            if isinstance(reason, Retryable):  # a long reader, or a full disk: next time
                return False
            raise reason from error

    def _fold(self, file: WriteFile) -> bool:
        descriptor = os.open(file.path.with_name(file.path.name + ".checkpoint"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        try:
            with contextlib.closing(connect(file.path)) as connection:
                frames, folded = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                if frames * PAGE_BYTES > 2 * self._bytes_max:
                    # Readers kept the log from starting over; wait for them once, with the writers' queue held.
                    with locked(file.lock_path):
                        frames, folded = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                return frames == folded
        finally:
            os.close(descriptor)

    def fold_all(self, files: Iterable[WriteFile]) -> int:
        """Fold these now; how many went in whole."""
        return sum(self.fold(file) for file in files)

    def close(self) -> None:
        """Stop the thread; a fold under way is finished first."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join()
