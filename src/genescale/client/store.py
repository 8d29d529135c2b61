"""What a client keeps so that its next life resumes: the position and the requests without an answer.

Without a store a client resumes over lost connections, but not over its own end. The file holds the requests as they
were sent and the session's resume token, so it is readable by its owner only; give it a place as private as the input.
"""

import os
from pathlib import Path
from typing import Protocol

import msgspec

from genescale.protocol.client_steps import Position
from genescale.protocol.frames import Submit, SubmitBatch


class Kept(msgspec.Struct, kw_only=True):
    """All that is kept. `asks`: by cid; `answered`: by cid of the batch, items of unfinished batches that were handed
    over; `frameless`: cids that were answered without a frame, which may still come.
    """

    position: Position | None = None
    asks: dict[str, Submit | SubmitBatch] = {}
    answered: dict[str, list[str]] = {}
    frameless: list[str] = []


class Store(Protocol):
    """Where a client keeps it. Only one client may use a place at a time."""

    def load(self) -> Kept:
        """What was saved last; empty when nothing was."""
        ...

    def save(self, kept: Kept) -> None:
        """Replace what was saved; after this it survives the end of the process."""
        ...


class MemoryStore:
    """Keeps nothing beyond the process."""

    def load(self) -> Kept:
        """See `Store`."""
        return Kept()

    def save(self, kept: Kept) -> None:
        """See `Store`."""


class FileStore:
    """One JSON file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Kept:
        """See `Store`."""
        if not self._path.exists():
            return Kept()
        return msgspec.json.decode(self._path.read_bytes(), type=Kept)

    def save(self, kept: Kept) -> None:
        """See `Store`."""
        beside = self._path.with_name(self._path.name + ".new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(kept))
        beside.replace(self._path)
