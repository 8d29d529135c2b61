"""What a power cut may take back: writes that were made and not synced, and how a file looks without them.

The arithmetic of `lossyfs`, on plain file descriptors, so that it can be tried without a mount.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK_BYTES = (512, 1024, 2048, 4096)


@dataclass
class Change:
    """One write or truncation that a power cut may take back: how it was before, how it is now."""

    offset: int
    before: bytes
    after: bytes
    size_before: int | None  # None: the size is settled, only the bytes may go
    size_after: int | None = None  # a truncation to this size; a write otherwise
    doomed: bool = False  # its fsync failed: no later fsync saves it


def synced(changes: list[Change]) -> list[Change]:
    """What is left to lose after a good fsync: what an earlier, failed one has doomed, less what was rewritten."""
    doomed: list[Change] = []
    for change in changes:
        if change.doomed:
            if change.size_after is None:
                padded = change.before.ljust(len(change.after), b"\0")
                doomed.append(Change(change.offset, padded, change.after, None, doomed=True))
        elif change.size_after is None:
            doomed = [piece for one in doomed for piece in _without(one, change.offset, len(change.after))]
    return doomed


def _without(change: Change, offset: int, length: int) -> Iterator[Change]:
    """`change` less the bytes from `offset` on, in up to two pieces."""
    first, last = change.offset, change.offset + len(change.after)
    for start, end in ((first, min(last, offset)), (max(first, offset + length), last)):
        if start < end:
            cut = slice(start - first, end - first)
            yield Change(start, change.before[cut], change.after[cut], None, doomed=True)


def undo(fd: int, changes: list[Change]) -> None:
    """Bring the file back to what the disk holds."""
    for change in reversed(changes):
        if change.size_after is not None:
            os.ftruncate(fd, change.size_before or 0)
        os.pwrite(fd, change.before, change.offset)
        if change.size_after is None and change.size_before is not None:
            os.ftruncate(fd, change.size_before)


def redo_some(fd: int, changes: list[Change], chance: random.Random) -> int:
    """Let a random subset of the changes reach the disk after all, block by block; returns how many blocks did not."""
    lost = 0
    for change in changes:
        if change.size_after is not None:
            if chance.random() < 0.5:
                os.ftruncate(fd, change.size_after)
            continue
        block = chance.choice(BLOCK_BYTES)
        start = 0
        while start < len(change.after):
            # Blocks of a disk lie at multiples of their size, wherever the write began.
            end = min(len(change.after), (change.offset + start) // block * block + block - change.offset)
            if chance.random() < 0.5:
                os.pwrite(fd, change.after[start:end], change.offset + start)
            else:
                lost += 1
            start = end
    return lost
