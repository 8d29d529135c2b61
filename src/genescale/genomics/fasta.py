"""FASTA in, packed bases out: streaming, two bases a byte, whole sequences or regions of them.

A header `>chr7:1000-2000` whose sequence has exactly that many bases is a region: its bases keep the coordinates of
chr7. Regions that overlap are merged. Anything else is a whole sequence, named by the first word of its header.
"""

import gzip
import hashlib
import re
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import numpy as np
import numpy.typing as npt

from genescale.errors import InvalidInput
from genescale.genomics.bundle import unpack

_BLOCK: Final = 4 << 20
_REGION: Final = re.compile(r"(.+):(\d+)-(\d+)")
_BAD: Final = 255
_POSITION_MAX: Final = (1 << 31) - 10_000  # positions have 32 bits, and flanks are added to them
_HEADER_MAX: Final = 1 << 24
_LINE_ENDS: Final = b"\r\n"
_HEADER: Final = ord(">")


def _code_table() -> bytes:
    table = bytearray([_BAD]) * 256
    for code, letter in enumerate("=ACMGRSVTWYHKDBN"):
        if letter != "=":
            table[ord(letter)] = table[ord(letter.lower())] = code
    table[ord("U")] = table[ord("u")] = 8
    return bytes(table)


CODES: Final = _code_table()  # ASCII to the 4-bit code of a base; 255 where the letter is none
_UPPER: Final = bytes(b"T"[0] if chr(i) in "uU" else (i - 32 if 97 <= i <= 122 else i) for i in range(256))


@dataclass(slots=True)
class Sequence:
    """One record of a FASTA file, and where its bases are in the packed file."""

    name: str
    description: str
    line: int
    start: int = 0  # 0-based position of its first base on the contig
    length: int = 0
    base: int = 0  # index of its first base in the packed file
    md5: str = ""
    refget: str = ""
    region: bool = False


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...

    def hexdigest(self) -> str: ...


@dataclass(slots=True)
class _Packer:
    """Takes the text of one record after another and writes packed bases."""

    out: BinaryIO
    place: str
    base: int = 0
    odd: int = -1  # a base that waits for its neighbour
    length: int = 0
    md5: Digest = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    sha512: Digest = field(default_factory=hashlib.sha512)

    def add(self, text: bytes, line: int, name: str) -> None:
        codes = np.frombuffer(text.translate(CODES, _LINE_ENDS), np.uint8)
        if not codes.size:
            return
        if int(codes.max()) == _BAD:
            _refuse_letter(text, self.place, line, name)
        letters = text.translate(_UPPER, _LINE_ENDS)
        self.md5.update(letters)
        self.sha512.update(letters)
        self.length += codes.size
        if self.odd >= 0:
            self.out.write(bytes((self.odd | int(codes[0]) << 4,)))
            codes = codes[1:]
            self.odd = -1
        if codes.size & 1:
            self.odd = int(codes[-1])
            codes = codes[:-1]
        self.out.write((codes[0::2] | codes[1::2] << 4).tobytes())

    def finish(self, sequence: Sequence) -> None:
        if self.odd >= 0:
            self.out.write(bytes((self.odd,)))
        sequence.base = self.base
        sequence.length = self.length
        sequence.md5 = self.md5.hexdigest()
        sequence.refget = "SQ." + urlsafe_b64encode(self.sha512.digest()[:24]).decode()
        self.base += (self.length + 1) // 2 * 2
        self.odd = -1
        self.length = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()


def pack_fasta(
    path: Path, packed: Path, progress: Callable[[int], None] | None = None, without: Collection[str] = ()
) -> list[Sequence]:
    """Write the bases of a FASTA file (plain, gzip or bgzip) to `packed`; returns its records in file order.

    Records whose name, or whose contig's name, is among `without` are passed over.

    Raises `InvalidInput` with file and line for anything that is no FASTA file of DNA.
    """
    found: list[Sequence] = []
    current: Sequence | None = None
    line = 1
    passed = False
    with packed.open("wb", buffering=1 << 20) as out:
        packer = _Packer(out, str(path))
        for header, text in _pieces(path, progress):
            if header:
                if current is not None and not passed:
                    packer.finish(current)
                current = _header(text, path, line)
                passed = current.name in without or current.name.rpartition(":")[0] in without
                if not passed:
                    found.append(current)
                line += 1
                continue
            if current is None:
                if text.strip():
                    raise InvalidInput(
                        "this is no FASTA file: the first line should begin with '>' and a name",
                        code="not_fasta",
                        place=f"{path}, line {line}",
                    )
            elif not passed:
                packer.add(text, line, current.name)
            line += text.count(b"\n")
        if current is not None and not passed:
            packer.finish(current)
    if not found:
        raise InvalidInput("the file is empty; give a FASTA file of the genome", code="not_fasta", place=str(path))
    for sequence in found:
        _place_region(sequence)
        if sequence.start + sequence.length > _POSITION_MAX:
            raise InvalidInput(
                f"{sequence.name} reaches beyond base {_POSITION_MAX:,}, the last one that a bundle can number",
                code="too_long",
                place=f"{path}, line {sequence.line}",
            )
    return found


def _pieces(path: Path, progress: Callable[[int], None] | None) -> Iterator[tuple[bool, bytes]]:
    """Header lines, whole and without '>', and stretches of sequence between them, in blocks."""
    at_line_start = True
    header: bytes | None = None
    for number, block in enumerate(blocks(path, progress)):
        at = 3 if number == 0 and block.startswith(b"\xef\xbb\xbf") else 0
        while at < len(block):
            if header is not None:
                end = block.find(b"\n", at)
                if end < 0:
                    header += block[at:]
                    if len(header) > _HEADER_MAX:
                        raise InvalidInput(
                            f"a header of more than {_HEADER_MAX:,} characters: this is no FASTA file",
                            code="not_fasta",
                            place=str(path),
                        )
                    break
                yield True, (header + block[at:end]).rstrip(b"\r")
                header, at, at_line_start = None, end + 1, True
                continue
            begins = at_line_start and block[at] == _HEADER
            following = at if begins else block.find(b"\n>", at) + 1
            if not begins and following == 0:
                yield False, block[at:]
                at_line_start = block.endswith(b"\n")
                break
            if following > at:
                yield False, block[at:following]
            header, at = b"", following + 1
    if header is not None:
        yield True, header.rstrip(b"\r")


_OTHER_COMPRESSIONS: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


def _refuse_other_compression(opening: bytes, path: Path) -> None:
    for magic, name in _OTHER_COMPRESSIONS.items():
        if opening.startswith(magic):
            raise InvalidInput(
                f"the file is compressed with {name}; unpack it, or compress it with gzip or bgzip",
                code="other_compression",
                place=str(path),
            )


def blocks(path: Path, progress: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The bytes of a file, decompressed where it is gzip or bgzip. `progress` hears how much of the file is read.

    Raises `InvalidInput` naming the file where it cannot be read or its compression is cut short.
    """
    try:
        with path.open("rb") as raw:
            opening = raw.read(6)
            zipped = opening.startswith(b"\x1f\x8b")
            _refuse_other_compression(opening, path)
            raw.seek(0)
            source = gzip.GzipFile(fileobj=raw) if zipped else raw
            while block := source.read(_BLOCK):
                if progress is not None:
                    progress(raw.tell())
                yield block
    except EOFError as error:
        raise InvalidInput(
            "the compressed file ends in the middle; copy or download it again", code="truncated", place=str(path)
        ) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            f"the compressed file is damaged ({error}); copy or download it again", code="damaged", place=str(path)
        ) from error
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror or error}", code="unreadable", place=str(path)) from error


def _header(text: bytes, path: Path, line: int) -> Sequence:
    words = text.decode("utf-8", "replace").split(None, 1)
    if not words:
        raise InvalidInput("a header without a name: write '>NAME'", code="not_fasta", place=f"{path}, line {line}")
    return Sequence(words[0], words[1] if len(words) > 1 else "", line)


def _place_region(sequence: Sequence) -> None:
    match = _REGION.fullmatch(sequence.name)
    if match is None:
        return
    start, end = int(match[2]), int(match[3])
    if start >= 1 and end - start + 1 == sequence.length:
        sequence.name, sequence.start, sequence.region = match[1], start - 1, True


def _refuse_letter(text: bytes, place: str, line: int, name: str) -> None:
    for number, row in enumerate(text.split(b"\n"), line):
        for letter in row.rstrip(b"\r"):
            if CODES[letter] == _BAD:
                shown = repr(chr(letter)) if 33 <= letter < 127 else f"byte 0x{letter:02x}"
                raise InvalidInput(
                    f"{shown} is no base of DNA (sequence {name}); bases are ACGT, U, N and the IUPAC letters",
                    code="not_dna",
                    place=f"{place}, line {number}",
                )


# ---- from records to segments ----


@dataclass(slots=True)
class Segment:
    """A stretch of a contig whose bases are known. `start` is 0-based, `end` exclusive, `base` even."""

    contig: int
    start: int
    end: int
    base: int


def segments_of(records: list[Sequence], packed: Path, merged: Path) -> tuple[list[str], list[Segment], Path]:
    """Contig names in order of appearance, their known segments, and the file with the packed bases of all.

    Where every record is a whole sequence that is `packed` itself; regions are sorted and merged into `merged`.
    """
    names = list(dict.fromkeys(record.name for record in records))
    index = {name: i for i, name in enumerate(names)}
    if not any(record.region for record in records):
        if len(names) < len(records):
            _refuse_twice(records)
        return names, [Segment(i, 0, r.length, r.base) for i, r in enumerate(records) if r.length], packed
    ordered = sorted(records, key=lambda r: (index[r.name], r.start, r.start + r.length))
    source = np.memmap(packed, np.uint8, "r")
    segments: list[Segment] = []
    base = 0
    with merged.open("wb") as out:
        for group in _overlapping(ordered):
            text = _merged(group, source)
            codes = np.frombuffer(text.translate(CODES), np.uint8)
            if codes.size & 1:
                codes = np.append(codes, np.uint8(0))
            out.write((codes[0::2] | codes[1::2] << 4).tobytes())
            start = group[0].start
            segments.append(Segment(index[group[0].name], start, start + len(text), base))
            base += codes.size
    return names, segments, merged


def _overlapping(ordered: list[Sequence]) -> Iterator[list[Sequence]]:
    group: list[Sequence] = []
    reach = -1
    for record in ordered:
        if group and (record.name != group[0].name or record.start > reach):
            yield group
            group = []
        if not group:
            reach = -1
        group.append(record)
        reach = max(reach, record.start + record.length)
    if group:
        yield group


def _merged(group: list[Sequence], source: npt.NDArray[np.uint8]) -> bytes:
    """One text for overlapping regions. They must agree where they overlap."""
    text = unpack(source, group[0].base, group[0].length)
    origin = group[0].start
    for record in group[1:]:
        own = unpack(source, record.base, record.length)
        shared = min(origin + len(text) - record.start, len(own))
        at = record.start - origin
        if text[at : at + shared] != own[:shared]:
            raise InvalidInput(
                f"the regions of {record.name} from line {group[0].line} and line {record.line} overlap and differ; "
                "take both from one assembly",
                code="regions_differ",
                place=f"line {record.line}",
            )
        text += own[shared:]
    return text


def _refuse_twice(records: list[Sequence]) -> None:
    lines: dict[str, int] = {}
    for record in records:
        if record.name in lines:
            raise InvalidInput(
                f"the sequence {record.name} is there twice (first on line {lines[record.name]}); keep one of them",
                code="duplicate",
                place=f"line {record.line}",
            )
        lines[record.name] = record.line
