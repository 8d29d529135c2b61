"""Blobs in a local folder, for one machine. Several processes may use it at once.

Plain system calls, because the libraries that we know do not fsync local files. A blob counts when its bytes, its
name and the folders above it are on the disk: write a temporary file, fsync it, rename it, fsync the folder.
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from genescale.errors import DiskFull, LogBroken
from genescale.store.durable import sync, sync_folder
from genescale.store.object_port import ObjectMissing, ObjectsNotWritable

STAGING = "staging"


class FolderBlobs:
    """`object_port.Blobs` in a folder, which is created."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with os_errors(folder):
            self._make_folder(folder / STAGING)
            # Held for an instant by whoever makes a blob young (shared) or removes an old one (exclusive).
            (folder / "lock").touch()

    @contextmanager
    def staging(self) -> Generator[IO[bytes]]:
        """See `Blobs`."""
        with os_errors(self._folder):
            # Not deleted by itself when it is closed: a published file has another name by then.
            staged = tempfile.NamedTemporaryFile(dir=self._folder / STAGING, delete=False)  # noqa: SIM115
        try:
            with staged, os_errors(self._folder):
                yield staged
        finally:
            Path(staged.name).unlink(missing_ok=True)

    def publish(self, staged: IO[bytes], path: str, size: int, content_type: str) -> None:  # noqa: ARG002
        """See `Blobs`. A file system keeps no content type; the reference does."""
        target = self._folder / path
        with os_errors(self._folder):
            staged.flush()
            sync(staged.fileno())
            self._make_folder(target.parent)
            with self._locked(fcntl.LOCK_SH):  # or a collector could look at the old blob and remove the new one
                Path(staged.name).replace(target)
            sync_folder(target.parent)

    def read(self, path: str, start: int, length: int) -> bytes:
        """See `Blobs`."""
        try:
            with os_errors(self._folder), (self._folder / path).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError as error:
            raise ObjectMissing(f"there is no object {path}", name=path) from error

    def head(self, path: str) -> tuple[int, int] | None:
        """See `Blobs`."""
        try:
            status = (self._folder / path).stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns // 1_000_000

    def refresh(self, path: str, young_since_ms: int) -> bool:  # noqa: ARG002 - a file can always be made young
        """See `Blobs`."""
        with self._locked(fcntl.LOCK_SH), os_errors(self._folder):
            try:
                os.utime(self._folder / path)
            except FileNotFoundError:
                return False
            # The name may be as young as its writer, who was killed before it was safe.
            sync_folder((self._folder / path).parent)
            return True

    def delete_if_older(self, path: str, modified_before_ms: int) -> bool:
        """See `Blobs`."""
        with self._locked(fcntl.LOCK_EX), os_errors(self._folder):
            found = self.head(path)
            if found is None or found[1] >= modified_before_ms:
                return False
            (self._folder / path).unlink()
            return True

    def list(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """See `Blobs`."""
        for file in sorted((self._folder / prefix).glob("*/*")):
            path = str(file.relative_to(self._folder))
            found = self.head(path)
            if found is not None:
                yield path, *found

    def sweep(self, modified_before_ms: int) -> None:
        """See `Blobs`."""
        for file in (self._folder / STAGING).iterdir():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime_ns // 1_000_000 < modified_before_ms:
                    file.unlink()

    @contextmanager
    def _locked(self, how: int) -> Generator[None]:
        # A descriptor of its own per use: locks of one descriptor would not keep two threads apart.
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self, folder: Path) -> None:
        """Create it and what is missing above it, each durable before the next."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def os_errors(folder: Path) -> Generator[None]:
    """Say what an error of the operating system means for objects in this folder."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space for objects in {folder}: free some; nothing was lost", after_s=5.0) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ObjectsNotWritable(
                f"{folder} cannot be written by user {os.getuid()}: {error.strerror}. Change its owner"
            ) from error
        if error.errno == errno.EIO:
            raise LogBroken(f"the disk under {folder} failed: {error}. Restart; look at the disk") from error
        raise
