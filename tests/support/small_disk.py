"""A disk of a few megabytes for tests that fill it: a tmpfs mount, which only root may make."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.require import missing


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount an empty disk of this size on `folder`, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        missing("a small disk", "run as root where mounting a tmpfs is allowed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    """From now on nobody, not even root, writes to this disk."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
