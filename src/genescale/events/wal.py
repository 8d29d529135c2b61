"""Looking at a SQLite write-ahead log before SQLite does.

SQLite recovers a log by reading it until the first frame that does not check, and takes what follows for rubbish. That
is right for a torn tail and wrong for a flipped bit in the middle: a hundred committed records become forty-eight, and
every integrity check is content. So the first process that opens a log looks itself and tells the two apart.

The rule: every commit is on disk before the next transaction begins, hence a power cut can harm the last transaction
only. When frames of another, later transaction follow the first bad frame, the harm came later, and the file is
refused. From "The Write-Ahead Log" and "WAL-mode File Format" (sqlite.org/walformat.html, fileformat2.html).
"""

import struct
from pathlib import Path
from typing import Literal, NamedTuple

from genescale.events.kernel import wal_checksum

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGICS = {0x377F0682: False, 0x377F0683: True}  # the last bit: checksums over big-endian words


class WalState(NamedTuple):
    """What stands in a write-ahead log."""

    frames: int  # frames that check, up to the first bad one
    committed: int  # of these, the frames up to the last commit: what SQLite will see
    damage: Literal["none", "tail", "middle"]
    place: str  # for a person: frame and byte of the first bad frame
    page_bytes: int


class Frame(NamedTuple):
    """One page in the log."""

    number: int  # 1, 2, 3 ... in the log
    page: int
    pages_after_commit: int  # 0: not the last frame of a transaction
    data_at: int


EMPTY = WalState(0, 0, "none", "", 0)


def scan(path: Path) -> WalState:
    """Look at a `-wal` file. A missing or empty file is in order; so is one whose header was never finished."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return EMPTY
    return scan_bytes(raw)


def scan_bytes(raw: bytes) -> WalState:
    """`scan` for the content of the file."""
    if len(raw) < _HEADER_BYTES:
        return EMPTY
    magic, _version, page_bytes = struct.unpack_from(">III", raw)
    salts = raw[16:24]
    if magic not in _MAGICS or page_bytes < 512:
        return _bad_header(raw)
    sums = wal_checksum(raw, 0, 24, 0, 0, _MAGICS[magic])
    if struct.pack(">II", *sums) != raw[24:32]:
        return _bad_header(raw)
    frame_bytes = _FRAME_HEADER_BYTES + page_bytes
    frames = committed = 0
    at = _HEADER_BYTES
    while at + frame_bytes <= len(raw) and raw[at + 8 : at + 16] == salts:
        sums = wal_checksum(raw, at, 8, *sums, _MAGICS[magic])
        sums = wal_checksum(raw, at + _FRAME_HEADER_BYTES, page_bytes, *sums, _MAGICS[magic])
        if struct.pack(">II", *sums) != raw[at + 16 : at + 24]:
            break
        frames += 1
        if _commit_size(raw, at):
            committed = frames
        at += frame_bytes
    place = f"frame {frames + 1} at byte {at:,}"
    rest = raw[at:]
    if not rest.strip(b"\0"):
        return WalState(frames, committed, "none" if not rest else "tail", place if rest else "", page_bytes)
    return WalState(frames, committed, _judge(raw, at, frame_bytes, salts), place, page_bytes)


def _judge(raw: bytes, at: int, frame_bytes: int, salts: bytes) -> Literal["none", "tail", "middle"]:
    """What the frames from the first bad one on mean."""
    bad_has_salts = raw[at + 8 : at + 16] == salts
    of_this_log = 0
    after_commit = False
    for start in range(at, len(raw) - frame_bytes + 1, frame_bytes):
        if start != at and raw[start + 8 : start + 16] == salts:
            if after_commit:
                return "middle"  # a later transaction began, so this one had been made durable
            of_this_log += 1
        if raw[start + 8 : start + 16] == salts or start == at:
            after_commit = after_commit or bool(_commit_size(raw, start))
    if not bad_has_salts and not of_this_log:
        return "none"  # only what an earlier round of the log left behind
    return "tail"


def _commit_size(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at + 4 : at + 8], "big")


def _bad_header(raw: bytes) -> WalState:
    """A header that does not check: nothing can be read. Frames behind it mean that it was once in order."""
    behind = raw[_HEADER_BYTES:].strip(b"\0")
    return WalState(0, 0, "middle" if behind else "tail", "the header at byte 0", 0)


def frames(raw: bytes, state: WalState) -> list[Frame]:
    """The committed frames, in order."""
    found: list[Frame] = []
    for number in range(state.committed):
        at = _HEADER_BYTES + number * (_FRAME_HEADER_BYTES + state.page_bytes)
        page = int.from_bytes(raw[at : at + 4], "big")
        found.append(Frame(number + 1, page, _commit_size(raw, at), at + _FRAME_HEADER_BYTES))
    return found


def pages_held(path: Path, state: WalState) -> set[int]:
    """The pages of which the log holds a committed version."""
    return {frame.page for frame in frames(path.read_bytes(), state)} if state.committed else set()
