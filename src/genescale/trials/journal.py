"""What a process of a run writes down outside the faulty disk: its own word on what it sent, was told and saw.

One file per process. A line that a SIGKILL cut short is dropped when it is read: a cut "submitted" was never sent, a
cut "acked" counts as unanswered.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec


class Journal:
    """Appends lines, each with one write, so that a dying process leaves whole ones."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def write(self, *words: Any) -> None:
        """One line."""
        os.write(self._descriptor, msgspec.json.encode(words) + b"\n")


def read(path: Path) -> Iterator[list[Any]]:
    """The whole lines of one journal."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line)


def all_of(folder: Path, role: str) -> list[Path]:
    """The journals of all processes of one role, oldest first."""
    return sorted(folder.glob(f"{role}-*.jsonl"), key=lambda path: int(path.stem.rpartition("-")[2]))
