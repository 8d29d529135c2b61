"""Looks at a SQLite write-ahead log before SQLite does, because SQLite skips damage in silence.

SQLite recovers a log by reading it until the first frame that does not check, and takes what follows for rubbish. That
is right for a torn tail and wrong for a flipped bit in the middle: a hundred committed records become forty-eight, and
every integrity check is content. So whoever opens a file first looks for himself and tells the two apart:

- `none`: everything of this round of the log checks, up to a commit.
- `tail`: what does not check, or was never committed, belongs to the last transaction. A power cut may leave that.
- `middle`: a later transaction was begun behind the first bad frame. With `synchronous=FULL` a transaction begins only
  when the one before it is on the disk, so no power cut did this: something that was promised is damaged.

What proves that a later transaction was begun? Not its salts alone. Frames of the last transaction reach the disk in
any order; frames of earlier rounds, with other salts, lie behind and between them; and a writer that was killed before
its commit counted leaves frames of *this* round, commit mark included, over which the next writer puts a shorter
transaction. The proof is the chain: the checksum of every frame continues that of the frame before it. A frame of this
round that continues a commit frame was written by somebody who had seen that commit. Leftovers of killed writers
continue frames that are gone. A commit frame that is itself the bad one may have lost its mark, its salts or its sum to
the flipped bit, so for that one every reading that a single bit allows is tried.

For a file that is not power-safe (`synchronous=NORMAL`) a power cut may tear many transactions, and `middle` proves
nothing: its owner cuts it back like a tail, and says so.

The format is SQLite's own: https://sqlite.org/fileformat2.html#the_write_ahead_log
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from genescale.store.kernel import wal_checksum

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24

_MAGICS = {0x377F0682: False, 0x377F0683: True}  # the last bit: checksums over big-endian words

Bytes: TypeAlias = bytes | memoryview
Sums: TypeAlias = tuple[int, int]


class WalState(NamedTuple):
    """What stands in a write-ahead log."""

    frames: int  # frames that check, up to the first bad one
    committed: int  # of these, the frames up to the last commit: what SQLite will see
    damage: Literal["none", "tail", "middle"]
    place: str  # for a person: frame and byte of the first bad frame
    page_bytes: int

    @property
    def committed_bytes(self) -> int:
        """The length of the file up to the last commit."""
        return HEADER_BYTES + self.committed * (FRAME_HEADER_BYTES + self.page_bytes)


class Frame(NamedTuple):
    """One page in the log."""

    number: int  # 1, 2, 3 ... in the log
    page: int
    pages_after_commit: int  # 0: not the last frame of a transaction
    data: bytes


EMPTY = WalState(0, 0, "none", "", 0)


def scan(path: Path) -> WalState:
    """Look at a `-wal` file that nobody has open: a write under way looks like damage.

    A missing or empty file is in order; so is one whose header was never finished.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < HEADER_BYTES:
                return EMPTY
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as raw:
                return scan_bytes(raw)
    except FileNotFoundError:
        return EMPTY


def scan_bytes(raw: Bytes) -> WalState:
    """`scan` for the content of the file."""
    if len(raw) < HEADER_BYTES:
        return EMPTY
    header = _header(raw)
    if header is None:
        return _bad_header(raw)
    wal = _Wal(raw, *header)
    frames = committed = 0
    sums = wal.first_sums
    while frames < wal.slots and wal.salts_of(frames) == wal.salts:
        following = wal.sum_of(frames, sums)
        if following != wal.stored_sum(frames):
            break
        sums = following
        frames += 1
        if wal.commit_size(frames - 1):
            committed = frames
    at = wal.start(frames)
    place = f"frame {frames + 1} at byte {at:,}"
    if wal.later_transaction_behind(frames, sums):
        return WalState(frames, committed, "middle", place, wal.page_bytes)
    if frames > committed or any(wal.salts_of(slot) == wal.salts for slot in range(frames, wal.slots)):
        return WalState(frames, committed, "tail", place, wal.page_bytes)
    if _part_of_this_round(raw, wal.start(wal.slots), wal.salts) or (frames < wal.slots and _may_be_ours(wal, frames)):
        return WalState(frames, committed, "tail", place, wal.page_bytes)
    return WalState(frames, committed, "none", "", wal.page_bytes)


class _Wal:
    """The frames of a log, by slot from 0, whether they check or not."""

    def __init__(self, raw: Bytes, page_bytes: int, big_endian: bool, first_sums: Sums) -> None:
        self.raw, self.page_bytes, self._big_endian, self.first_sums = raw, page_bytes, big_endian, first_sums
        self.salts = bytes(raw[16:24])
        self.frame_bytes = FRAME_HEADER_BYTES + page_bytes
        self.slots = (len(raw) - HEADER_BYTES) // self.frame_bytes

    def start(self, slot: int) -> int:
        return HEADER_BYTES + slot * self.frame_bytes

    def salts_of(self, slot: int) -> bytes:
        at = self.start(slot)
        return bytes(self.raw[at + 8 : at + 16])

    def commit_size(self, slot: int) -> int:
        at = self.start(slot)
        return int.from_bytes(self.raw[at + 4 : at + 8], "big")

    def stored_sum(self, slot: int) -> Sums:
        return struct.unpack_from(">II", self.raw, self.start(slot) + 16)

    def sum_of(self, slot: int, before: Sums, commit_size: int | None = None) -> Sums:
        """The sum that a frame should have, if it continues `before` (and had this commit mark)."""
        at = self.start(slot)
        mark = self.raw[at + 4 : at + 8] if commit_size is None else commit_size.to_bytes(4, "big")
        head = bytes(self.raw[at : at + 4]) + bytes(mark)
        sums = wal_checksum(head, 0, 8, *before, self._big_endian)
        return wal_checksum(self.raw, at + FRAME_HEADER_BYTES, self.page_bytes, *sums, self._big_endian)

    def continues(self, slot: int, before: Sums) -> bool:
        return self.salts_of(slot) == self.salts and self.sum_of(slot, before) == self.stored_sum(slot)

    def later_transaction_behind(self, bad: int, before: Sums) -> bool:
        """Whether some frame behind the first bad one continues a commit."""
        if bad + 1 < self.slots and self._commit_was_continued(bad, before):
            return True
        return any(
            self.commit_size(slot)
            and self.salts_of(slot) == self.salts
            and self.continues(slot + 1, self.stored_sum(slot))
            for slot in range(bad + 1, self.slots - 1)
        )

    def _commit_was_continued(self, bad: int, before: Sums) -> bool:
        """The same for the first bad frame, of which any part may be the damaged one."""
        written, stored = self.commit_size(bad), self.stored_sum(bad)
        if not self.continues(bad + 1, stored):
            return written > 0 and self.continues(bad + 1, self.sum_of(bad, before))
        # Its sum is as it was written, so its content is damaged, or its mark. A mark is a number of pages, which only
        # grows; without that bound, a flipped highest bit of any word of the page could pass for one in the mark.
        least = max((self.commit_size(slot) for slot in range(bad)), default=1)
        most = next((size for slot in range(bad + 1, self.slots) if (size := self.commit_size(slot))), 0)
        if written:  # 0x80 is the highest bit of its word in memory: in doubt, a promise was broken
            return self.sum_of(bad, before, 0) != stored or (written == 0x80 and least <= written <= most)
        return any(self.sum_of(bad, before, 1 << bit) == stored for bit in range(32) if least <= 1 << bit <= most)


def _header(raw: Bytes) -> tuple[int, bool, Sums] | None:
    magic, _version, page_bytes = struct.unpack_from(">III", raw)
    if magic not in _MAGICS or not 512 <= page_bytes <= 65_536 or page_bytes & page_bytes - 1:
        return None
    sums = wal_checksum(raw, 0, 24, 0, 0, _MAGICS[magic])
    if struct.pack(">II", *sums) != raw[24:32]:
        return None
    return page_bytes, _MAGICS[magic], sums


def _bad_header(raw: Bytes) -> WalState:
    """A header that does not check: nothing can be read.

    It has 32 bytes, which no power cut tears, and SQLite makes it durable before the first frame. So frames behind it
    mean that it was once in order.
    """
    behind = bytes(raw[HEADER_BYTES:]).strip(b"\0")
    return WalState(0, 0, "middle" if behind else "tail", "the header at byte 0", 0)


def _part_of_this_round(raw: Bytes, at: int, salts: bytes) -> bool:
    """Whether the file ends with a piece of a frame of this round (or too small a piece to tell)."""
    piece = bytes(raw[at:])
    return bool(piece) and salts.startswith(piece[8:16])


def _may_be_ours(wal: _Wal, slot: int) -> bool:
    """A frame whose salts alone are damaged; a single one at the end would pass for a leftover of an earlier round."""
    before = wal.first_sums if slot == 0 else wal.stored_sum(slot - 1)
    return wal.sum_of(slot, before) == wal.stored_sum(slot)


def cut(path: Path, state: WalState) -> int:
    """Remove what lies behind the last commit, durably; how many bytes that were."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(state.committed_bytes if state.page_bytes else 0)
        os.fsync(file.fileno())
    return size - path.stat().st_size


def frames(path: Path, state: WalState) -> Iterator[Frame]:
    """The committed frames, in order."""
    if not state.committed:
        return
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        for number in range(1, state.committed + 1):
            head = file.read(FRAME_HEADER_BYTES)
            page, pages_after_commit = struct.unpack_from(">II", head)
            yield Frame(number, page, pages_after_commit, file.read(state.page_bytes))


class Readable(NamedTuple):
    """A frame whose page is worth looking at. `sound`: it is as it was written."""

    page: int
    data_at: int
    sound: bool


def readable(raw: Bytes, page_bytes: int) -> list[Readable]:
    """What salvage may look at: the committed frames, and in a log damaged in the middle all up to its last commit.

    A frame behind the first bad one is sound when it continues the one before it. `page_bytes` serves where the header
    of the log is the damaged part.
    """
    if len(raw) < HEADER_BYTES + FRAME_HEADER_BYTES + page_bytes:
        return []
    state = scan_bytes(raw)
    wal = _Wal(raw, *(_header(raw) or (page_bytes, False, (0, 0))))
    if not state.page_bytes:
        wal.salts = wal.salts_of(0)
    found = [(slot, True) for slot in range(state.committed)]
    if state.damage == "middle":
        ours = [slot for slot in range(state.committed, wal.slots) if wal.salts_of(slot) == wal.salts]
        last = max((slot for slot in ours if wal.commit_size(slot)), default=-1)
        found += [(slot, slot > 0 and wal.continues(slot, wal.stored_sum(slot - 1))) for slot in ours if slot <= last]
    return [
        Readable(int.from_bytes(raw[at : at + 4], "big"), at + FRAME_HEADER_BYTES, sound)
        for slot, sound in found
        for at in (wal.start(slot),)
    ]
