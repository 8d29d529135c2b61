"""What survives a power cut: a file once its bytes are synced, and its name once its folder is."""

import fcntl
import os
from pathlib import Path


def sync(descriptor: int) -> None:
    """Return when the bytes of an open file are on the disk."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: a plain fsync does not reach the disk
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk: a new or renamed file is durable only then."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
