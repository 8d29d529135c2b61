"""Gzip and BGZF: reading either as a stream, writing BGZF with a tabix index.

BGZF is gzip in members of at most 64 KiB, each of which says its own size, so that a reader can jump into the middle.
It is what `bgzip`, `tabix` and htslib use (SAM specification, section 4.1). Reading keeps what was good: everything
before the damage is handed out first, then the error is raised.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from genescale.errors import InvalidInput

MAGIC: Final = b"\x1f\x8b"
# The empty member that ends every BGZF file; a file without it was cut off.
END_MARK: Final = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_HEAD: Final = struct.Struct("<4BI2BH2BHH")
BLOCK: Final = 0xFF00  # text in one member, as bgzip does it: even incompressible text then fits into 64 KiB
_PIECE: Final = 1 << 18


class Truncated(InvalidInput):
    """The compressed input ends before its end, or is damaged from some byte on. All before that was handed out."""

    def __init__(self, message: str, *, code: str = "truncated_input") -> None:
        super().__init__(message, code=code)


def is_gzip(start: bytes) -> bool:
    """Whether these first bytes are those of a gzip file."""
    return start[:2] == MAGIC


def read_plain(source: BinaryIO, start: bytes = b"") -> Iterator[bytes]:
    """The bytes of `source` in pieces. `start` was read from it already."""
    if start:
        yield start
    while piece := source.read(_PIECE):
        yield piece


def read_gzip(source: BinaryIO, start: bytes = b"") -> Iterator[bytes]:
    """The text of a gzip or BGZF stream, in pieces; any number of members.

    Raises `Truncated` behind the last good byte when the stream is cut off or damaged, and for a BGZF file without its
    end mark.
    """
    pieces = read_plain(source, start)
    member = zlib.decompressobj(31)
    fresh = True  # between two members
    consumed = 0
    is_bgzf = False
    tail = b""
    for piece in pieces:
        data = piece
        tail = (tail + data)[-len(END_MARK) :]
        while data:
            if fresh and not data.strip(b"\0"):
                break  # padding behind the last member, as tapes and some tools leave it
            if fresh and consumed == 0:
                is_bgzf = data[12:14] == b"BC" and data[3] == 4
            fresh = False
            try:
                text = member.decompress(data)
            except zlib.error as error:
                raise Truncated(
                    f"the gzip data are damaged near byte {consumed:,} ({error}); what came before was read",
                    code="damaged_gzip",
                ) from error
            if text:
                yield text
            consumed += len(data) - len(member.unused_data)
            data = member.unused_data
            if member.eof:
                member = zlib.decompressobj(31)
                fresh = True
    if not fresh:
        raise Truncated(f"the gzip data stop in the middle, after {consumed:,} bytes; what came before was read")
    if is_bgzf and tail != END_MARK:
        raise Truncated(
            f"the BGZF file has no end mark after {consumed:,} bytes: it was cut off between two blocks; "
            "what came before was read"
        )


class Writer:
    """Writes BGZF. `close` writes what is left and the end mark; without it the file counts as cut off."""

    def __init__(self, write: Callable[[bytes], object], level: int = 6) -> None:
        self._write = write
        self._level = level
        self._pending = bytearray()
        self.compressed = 0  # bytes written so far
        self.written = 0  # bytes of text taken so far

    def tell(self) -> int:
        """The virtual offset of the next byte: start of its member << 16 | place in the member."""
        return self.compressed << 16 | len(self._pending)

    def write(self, text: bytes | memoryview) -> None:
        """Take more text."""
        self._pending += text
        self.written += len(text)
        if len(self._pending) >= BLOCK:
            full = len(self._pending) // BLOCK * BLOCK
            self._put(members(bytes(memoryview(self._pending)[:full]), self._level))
            del self._pending[:full]

    def flush(self) -> None:
        """Close the present member, so that the next byte begins one."""
        if self._pending:
            self._put(member(self._pending, self._level))
            self._pending.clear()

    def close(self) -> None:
        """Write the rest and the end mark."""
        self.flush()
        self._put(END_MARK)

    def _put(self, data: bytes) -> None:
        self._write(data)
        self.compressed += len(data)


def members(text: bytes, level: int = 6) -> bytes:
    """As many BGZF members as `text` needs."""
    view = memoryview(text)
    return b"".join([member(view[at : at + BLOCK], level) for at in range(0, len(view), BLOCK)])


def member(text: bytes | bytearray | memoryview, level: int = 6) -> bytes:
    """One BGZF member that holds `text` (at most 65,280 bytes)."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    body = packer.compress(text) + packer.flush()
    if len(body) + 26 > 0x10000:  # text that does not shrink is stored as it is
        packer = zlib.compressobj(0, zlib.DEFLATED, -15)
        body = packer.compress(text) + packer.flush()
    head = _HEAD.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(body) + 25)
    return head + body + struct.pack("<II", zlib.crc32(text), len(text))
