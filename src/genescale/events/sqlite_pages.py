"""Reads rows out of a SQLite file behind SQLite's back, page by page, because SQLite gives up where a tree is broken.

No tree is walked: every page is looked at by itself, in its newest committed version, and every row on it is taken out.
So one bad page costs the rows on it and no others. Nothing here is trusted: each row is offered together with whether
its page has the right checksum, and the caller decides by the record's own CRC.

Follows SQLite's description of its files, https://sqlite.org/fileformat2.html, sections 1.6, 2.1 and 4.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeAlias

from genescale.events.sqlite_file import PAGE_BYTES, PAGE_SUM_BYTES, page_sum_matches
from genescale.store import wal

Value: TypeAlias = int | float | bytes | str | None

_USABLE = PAGE_BYTES - PAGE_SUM_BYTES
_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_LEAST_LOCAL = (_USABLE - 12) * 32 // 255 - 23
_MOST_LOCAL_TABLE = _USABLE - 35
_MOST_LOCAL_INDEX = (_USABLE - 12) * 64 // 255 - 23


class Row(NamedTuple):
    """One row: `rowid` None on a page of a table without row ids."""

    rowid: int | None
    values: list[Value]
    sound: bool  # whether the checksum of its page matches


class Pages:
    """All pages of one file and of its write-ahead log. Opens both for reading only."""

    def __init__(self, path: Path) -> None:
        self._open = ExitStack()
        self._main = self._map(path)
        self._wal = self._map(path.with_name(path.name + "-wal"))
        self.in_order = wal.scan(path.with_name(path.name + "-wal")).damage == "none"
        self._newer: dict[int, list[wal.Readable]] = {}  # page: its versions in the log, oldest first
        with memoryview(self._wal) as raw:
            frames = wal.readable(raw, PAGE_BYTES)
        for frame in frames:
            if 0 < frame.page <= len(self._main) // PAGE_BYTES + len(frames):
                self._newer.setdefault(frame.page, []).append(frame)
        self.count = max([len(self._main) // PAGE_BYTES, *self._newer])
        self.bad = 0  # pages whose newest version has the wrong checksum, counted by `rows`

    def _map(self, path: Path) -> bytes | mmap.mmap:
        if not path.exists() or not path.stat().st_size:
            return b""
        file = self._open.enter_context(path.open("rb"))
        return self._open.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Let go of the files."""
        self._open.close()

    def versions(self, number: int) -> Iterator[tuple[bytes, bool]]:
        """The contents of one page, newest first, and whether each is as it was written.

        A page in the log is guarded by the sum of its frame; it gets its own only on its way into the main file.
        """
        for frame in reversed(self._newer.get(number, [])):
            yield self._wal[frame.data_at : frame.data_at + PAGE_BYTES], frame.sound
        content = self._main[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]
        if len(content) == PAGE_BYTES:
            yield content, page_sum_matches(content)

    def rows(self) -> Iterator[Row]:
        """Every row of every page; where the newest version of a page is bad, those of older versions after it."""
        self.bad = 0
        for number in range(1, self.count + 1):
            for content, sound in self.versions(number):
                yield from self._rows_on(content, 100 if number == 1 else 0, sound=sound)
                if sound:
                    break
                self.bad += 1

    def _rows_on(self, content: bytes, at: int, *, sound: bool) -> Iterator[Row]:
        kind = content[at]
        if kind not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR):
            if sound:
                return
            kind = _TABLE_LEAF  # its first byte may be the damaged one
        first = at + (12 if kind == _INDEX_INTERIOR else 8)
        cells = int.from_bytes(content[at + 3 : at + 5], "big")
        if not sound:
            cells = _USABLE // 4  # the count may be the damaged part; pointers that lead nowhere give no row
        for slot in range(first, min(first + 2 * cells, _USABLE - 1), 2):
            start = int.from_bytes(content[slot : slot + 2], "big")
            try:
                row = self._row(content, start, kind, sound=sound)
            except (IndexError, ValueError, struct.error, OverflowError):
                continue
            yield row

    def _row(self, content: bytes, at: int, kind: int, *, sound: bool) -> Row:
        if kind == _INDEX_INTERIOR:
            at += 4
        size, at = _varint(content, at)
        rowid = None
        if kind == _TABLE_LEAF:
            rowid, at = _varint(content, at)
        payload = self._payload(content, at, size, _MOST_LOCAL_TABLE if kind == _TABLE_LEAF else _MOST_LOCAL_INDEX)
        return Row(rowid, _values(payload), sound)

    def _payload(self, content: bytes, at: int, size: int, most: int) -> bytes:
        if size <= most:
            return content[at : at + size]
        local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (_USABLE - 4)
        local = local if local <= most else _LEAST_LOCAL
        parts = [content[at : at + local]]
        following = int.from_bytes(content[at + local : at + local + 4], "big")
        left = size - local
        while left > 0:
            page, _ = next(self.versions(following), (b"", False)) if 0 < following <= self.count else (b"", False)
            if not page:
                raise ValueError("the value goes on in a page that is not there")
            parts.append(page[4 : 4 + min(left, _USABLE - 4)])
            left -= _USABLE - 4
            following = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return _signed(value << 8 | data[at + 8]), at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _values(payload: bytes) -> list[Value]:
    """The columns of a record, section 2.1."""
    end, at = _varint(payload, 0)
    if end > len(payload):
        raise ValueError("the head of the row is longer than the row")
    kinds: list[int] = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    found: list[Value] = []
    at = end
    for kind in kinds:
        value, size = _value(payload, at, kind)
        found.append(value)
        at += size
    if at != len(payload):
        raise ValueError("the columns do not fill the row")
    return found


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, 0
    if kind in (8, 9):
        return kind - 8, 0
    if kind == 7:
        return struct.unpack_from(">d", payload, at)[0], 8
    if kind in _INTEGER_BYTES:
        size = _INTEGER_BYTES[kind]
        return int.from_bytes(payload[at : at + size], "big", signed=True), size
    size = (kind - 12) // 2
    if kind < 12 or at + size > len(payload):
        raise ValueError("a column reaches beyond its row")
    raw = payload[at : at + size]
    return (raw, size) if kind % 2 == 0 else (raw.decode("utf-8"), size)
