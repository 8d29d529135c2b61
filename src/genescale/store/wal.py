"""Looks at SQLite's write-ahead log before SQLite does, because SQLite skips damage in silence.

After a crash SQLite reads the log up to the first frame whose checksum is wrong and forgets the rest: one flipped bit
in the middle loses every transaction behind it, and `integrity_check` finds nothing. Here the two cases are told
apart. With `synchronous=FULL` at most one transaction can be unfinished when the power fails, so a wrong checksum with
at most one commit at or behind it is a torn tail. With two commits or more, something that was promised is damaged.

The file format is SQLite's own: https://sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from pathlib import Path

import msgspec

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
MAGIC_LITTLE, MAGIC_BIG = 0x377F0682, 0x377F0683


class WalReport(msgspec.Struct, frozen=True):
    """What the log holds. `bad_frame` counts from 0; None when every frame is sound. -1 is the header of the file."""

    frames_sound: int
    bad_frame: int | None = None
    commits_behind: int = 0

    @property
    def damaged(self) -> bool:
        """True when transactions that were promised cannot be read any more."""
        return self.bad_frame is not None and self.commits_behind >= (1 if self.bad_frame == -1 else 2)


def read_wal(path: Path) -> WalReport:
    """Check every frame of a log. Only while no process has the database open: a write under way looks like damage."""
    try:
        wal = path.open("rb")
    except FileNotFoundError:
        return WalReport(0)
    with wal:
        header = wal.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return WalReport(0)
        magic, _, page_bytes, _, salt_1, salt_2, sum_1, sum_2 = struct.unpack(">8I", header)
        order = ">" if magic == MAGIC_BIG else "<"
        sums = _checksum(order, header[:24], (0, 0))
        if magic not in (MAGIC_LITTLE, MAGIC_BIG) or sums != (sum_1, sum_2):
            return _damaged_header(path)
        salts = (salt_1, salt_2)
        sound, bad, commits = 0, None, 0
        while len(frame := wal.read(FRAME_HEADER_BYTES + page_bytes)) == FRAME_HEADER_BYTES + page_bytes:
            _, pages_after_commit, *rest = struct.unpack(">6I", frame[:FRAME_HEADER_BYTES])
            if tuple(rest[:2]) != salts and bad is None:
                # Frames of an older round follow here, unless this one alone lost its salts: then go on and look.
                bad = sound
                continue
            if bad is None:
                sums = _checksum(order, frame[FRAME_HEADER_BYTES:], _checksum(order, frame[:8], sums))
                if sums == tuple(rest[2:]):
                    sound += 1
                    continue
                bad = sound
            commits += tuple(rest[:2]) == salts and pages_after_commit > 0
    return WalReport(sound, bad if commits else None, commits)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    s0, s1 = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) & 0xFFFFFFFF
        s1 = (s1 + x1 + s0) & 0xFFFFFFFF
    return s0, s1


def _damaged_header(path: Path) -> WalReport:
    """The header has 32 bytes, which no power cut tears: with commits behind it, it was damaged later."""
    data = path.read_bytes()
    commits = 0
    for page_bytes in (4096, int.from_bytes(data[8:12], "big")):  # the header's own word may be the flipped one
        if 512 <= page_bytes <= 65_536:
            starts = range(
                HEADER_BYTES, len(data) - FRAME_HEADER_BYTES - page_bytes + 1, FRAME_HEADER_BYTES + page_bytes
            )
            commits = max(commits, sum(data[start + 4 : start + 8] != bytes(4) for start in starts))
    return WalReport(0, -1, commits)
