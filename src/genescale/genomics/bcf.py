"""BCF, the binary form of VCF, read as the VCF text that it stands for.

So there is one reader of records and one way to write them: what comes in as BCF goes the same way as text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from genescale.errors import InvalidInput
from genescale.genomics.bgzf import Truncated
from genescale.genomics.bundle import text_pool
from genescale.genomics.kernels.bcf import Decoder

MAGIC: Final = b"BCF\2"
_LINE: Final = re.compile(rb"##(contig|FILTER|INFO|FORMAT)=<(?:.*?,)?ID=([^,>]+)(.*)")
_INDEX: Final = re.compile(rb",IDX=(\d+)")
_ROOM: Final = 1 << 20


def is_bcf(start: bytes) -> bool:
    """Whether these first bytes, decompressed, are those of a BCF file."""
    return start.startswith(MAGIC)


def as_text(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """VCF text for the decompressed bytes of a BCF file: the header first, then whole lines.

    Raises `InvalidInput` at a record that is damaged, or when the file ends within one; what came before was given.
    """
    data = _at_least(b"", pieces, 9)
    if len(data) < 9:
        raise Truncated("the BCF file ends within its header")
    (length,) = struct.unpack_from("<I", data, 5)
    data = _at_least(data, pieces, 9 + length)
    if len(data) < 9 + length:
        raise Truncated("the BCF file ends within its header")
    head = data[9 : 9 + length].rstrip(b"\0")
    text = _INDEX.sub(b"", head)
    yield text if text.endswith(b"\n") else text + b"\n"
    decoder = _decoder(head)
    out = np.empty(_ROOM, np.uint8)
    data = data[9 + length :]
    count = 0
    while True:
        at = 0
        while True:
            done: int = decoder.decode(memoryview(data), at, out.data)
            count += decoder.records
            if decoder.written:
                yield out[: decoder.written].tobytes()
            if decoder.refused:
                raise Truncated(f"record {count + 1:,} is no BCF record; what came before was read", code="damaged_bcf")
            if done == at:
                if not _holds_a_record(data, at):
                    break
                out = np.empty(2 * len(out), np.uint8)
            at = done
        rest = data[at:]
        piece = next(pieces, None)
        if piece is None:
            break
        data = rest + piece
    if rest:
        raise Truncated(f"the BCF file ends within record {count + 1:,}; what came before was read")


def _at_least(data: bytes, pieces: Iterator[bytes], length: int) -> bytes:
    parts, total = [data], len(data)
    while total < length and (piece := next(pieces, None)) is not None:
        parts.append(piece)
        total += len(piece)
    return b"".join(parts)


def _holds_a_record(data: bytes, at: int) -> bool:
    if len(data) - at < 8:
        return False
    shared, single = struct.unpack_from("<II", data, at)
    return len(data) - at >= 8 + shared + single


def _decoder(head: bytes) -> Any:
    """The two dictionaries of the header: contigs; and FILTER, INFO and FORMAT together, in which PASS is always 0."""
    contigs: dict[int, str] = {}
    names: dict[int, str] = {0: "PASS"}
    number = {"PASS": 0}
    for line in head.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        name = found[2].decode("utf-8", "replace")
        given = _INDEX.search(found[3])
        if found[1] == b"contig":
            contigs[int(given[1]) if given else len(contigs)] = name
        elif name not in number:
            number[name] = int(given[1]) if given else max(names) + 1
            names[number[name]] = name
        elif given:
            names[int(given[1])] = name
    name_text, name_offset = text_pool(_listed(names))
    contig_text, contig_offset = text_pool(_listed(contigs))
    longest = max(len(name.encode()) for name in [*names.values(), *contigs.values()])
    return Decoder(
        _view(name_text), name_offset.data, _view(contig_text), contig_offset.data, number.get("GT", -1), longest
    )


def _listed(names: dict[int, str]) -> Sequence[str]:
    """A dictionary of small numbers as a list; numbers that nobody declared are empty."""
    last = max(names, default=-1)
    if last > 1 << 20:
        raise InvalidInput(f"the BCF header gives a name the number {last:,}", code="damaged_bcf")
    return [names.get(number, "") for number in range(last + 1)]


def _view(pool: Any) -> memoryview:
    return pool.data if len(pool) else memoryview(b"\0")
