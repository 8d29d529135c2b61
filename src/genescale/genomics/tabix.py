"""The index by which `tabix` and htslib jump to a region of a VCF in BGZF (the TBI format of the tabix paper, Li 2011).

The genome is cut into bins of five sizes, from 512 Mb down to 16 kb; a record lies in the smallest bin that holds it
whole. For each bin the index lists the stretches of the file with its records, and for each 16 kb the first byte that
may concern it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final
from zlib import decompress

from genescale.errors import InvalidInput
from genescale.genomics import bgzf

LONGEST: Final = 1 << 29  # bases of a contig; longer ones need the CSI format
_WINDOW: Final = 14  # 16 kb


@dataclass(slots=True)
class _Contig:
    """What the index says of one contig: stretches by bin, and the first place of each window (0: none yet)."""

    bins: dict[int, list[tuple[int, int]]] = field(default_factory=dict[int, list[tuple[int, int]]])
    windows: list[int] = field(default_factory=list[int])

    def add(self, begin: int, end: int, start: int, stop: int) -> None:
        """A record on bases [begin, end) that lies at [start, stop) in the file."""
        stretches = self.bins.setdefault(bin_of(begin, end), [])
        if stretches and stretches[-1][1] == start:
            stretches[-1] = (stretches[-1][0], stop)
        else:
            stretches.append((start, stop))
        last = (end - 1) >> _WINDOW
        if len(self.windows) <= last:
            self.windows.extend([0] * (last + 1 - len(self.windows)))
        for window in range(begin >> _WINDOW, last + 1):
            if not self.windows[window]:
                self.windows[window] = start


def write_index(path: Path) -> Path:
    """Write `path` + `.tbi` for a VCF in BGZF, and return its name.

    Raises `InvalidInput` when the records are not sorted by contig and position, or reach beyond 512 Mb.
    """
    contigs: dict[bytes, _Contig] = {}
    name, before = b"", 0
    with path.open("rb") as file:
        for number, (line, start, stop) in enumerate(_lines(file), 1):
            if line.startswith(b"#") or not line.strip():
                continue
            found, begin, end = _place(line, number)
            if found != name:
                if found in contigs:
                    raise InvalidInput(
                        f"contig {found.decode()} comes again after others; sort the file first (bcftools sort)",
                        code="unsorted",
                        place=f"line {number}",
                    )
                contigs[found] = _Contig()
                name, before = found, 0
            if begin < before:
                raise InvalidInput(
                    f"position {begin + 1:,} comes after {before + 1:,}; sort the file first (bcftools sort)",
                    code="unsorted",
                    place=f"line {number}",
                )
            before = begin
            contigs[found].add(begin, end, start, stop)
    target = path.with_name(path.name + ".tbi")
    arriving = path.with_name(f".{target.name}.arriving-{os.getpid()}")
    with arriving.open("wb") as out:
        writer = bgzf.Writer(out.write)
        writer.write(_encoded(contigs))
        writer.close()
    arriving.replace(target)
    return target


def bin_of(begin: int, end: int) -> int:
    """The smallest bin that holds the bases [begin, end)."""
    end -= 1
    for shift, first in ((14, 4681), (17, 585), (20, 73), (23, 9), (26, 1)):
        if begin >> shift == end >> shift:
            return first + (begin >> shift)
    return 0


def _place(line: bytes, number: int) -> tuple[bytes, int, int]:
    """Contig and bases [begin, end) of a record; a structural one reaches to its END."""
    columns = line.split(b"\t", 8)
    if len(columns) < 4 or not columns[1].isdigit():
        raise InvalidInput(
            "this is no VCF record, so the file cannot be indexed", code="bad_line", place=f"line {number}"
        )
    begin = max(int(columns[1]) - 1, 0)
    end = begin + max(len(columns[3]), 1)
    if len(columns) > 7 and b"END=" in columns[7]:
        for item in columns[7].split(b";"):
            if item.startswith(b"END=") and item[4:].isdigit():
                end = max(end, int(item[4:]))
    if end > LONGEST:
        raise InvalidInput(
            f"position {end:,} lies beyond 536,870,912, the end of what this kind of index knows; "
            "make a CSI index: bcftools index --csi",
            code="too_long_for_index",
            place=f"line {number}",
        )
    return columns[0], begin, end


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Each line with the virtual offsets of its start and of the line behind it."""
    rest = b""
    rest_at = 0
    offset = 0
    while head := file.read(18):
        size = struct.unpack_from("<H", head, 16)[0] + 1
        body = file.read(size - 18)
        text = decompress(body[:-8], -15)
        at = 0
        while (cut := text.find(b"\n", at)) >= 0:
            line, start = (rest + text[at:cut], rest_at) if rest else (text[at:cut], offset << 16 | at)
            rest = b""
            at = cut + 1
            stop = offset << 16 | at if at < len(text) else (offset + size) << 16
            yield line, start, stop
        if at < len(text):
            if not rest:
                rest_at = offset << 16 | at
            rest += text[at:]
        offset += size


def _encoded(contigs: dict[bytes, _Contig]) -> bytes:
    names = b"".join(name + b"\0" for name in contigs)
    parts = [b"TBI\1", struct.pack("<8i", len(contigs), 2, 1, 2, 0, ord("#"), 0, len(names)), names]
    for contig in contigs.values():
        parts.append(struct.pack("<i", len(contig.bins)))
        for number, stretches in sorted(contig.bins.items()):
            parts.append(struct.pack("<Ii", number, len(stretches)))
            parts += [struct.pack("<QQ", start, stop) for start, stop in stretches]
        windows = list(contig.windows)
        for i in range(1, len(windows)):  # an empty window points to where the search would go on
            windows[i] = windows[i] or windows[i - 1]
        parts.append(struct.pack(f"<i{len(windows)}Q", len(windows), *windows))
    return b"".join(parts)
