"""VCF text as columns: where the fields of each line lie, and one `Variants` row for each ALT.

`Scanner.scan` is the fast way in, for blocks of whole lines; `read_header` takes the head of the file apart. What a
line holds is checked here (position, letters, REF against the reference), and nothing raises for a bad line: its
`status` says why nobody judges it, and `describe` turns that into a sentence for a person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.genomics.aliases import alias_index
from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels.vcf import Scanner as Kernel
from genescale.genomics.variants import Variants

# The values of `Records.status`. The names are stable: they stand in INFO of the output and in the summary.
REASONS = (
    "",
    "few_columns",
    "bad_position",
    "bad_ref",
    "bad_alt",
    "unknown_contig",
    "ref_mismatch",
    "outside_reference",
    "past_end",
    "",  # a comment or an empty line between the records
    "placeholder",
)
FEW_COLUMNS, BAD_POSITION, BAD_REF, BAD_ALT, UNKNOWN_CONTIG, REF_MISMATCH, OUTSIDE_REFERENCE, PAST_END = range(1, 9)
NO_RECORD, PLACEHOLDER = 9, 10
# The line itself is at fault; the others say only that this reference cannot judge it.
FAULTS = (FEW_COLUMNS, BAD_POSITION, BAD_REF, BAD_ALT, REF_MISMATCH, PAST_END)

# The columns of `Records.fields`: where CHROM, POS, ... INFO end, counted from the start of the line.
CHROM, POS, ID, REF, ALT, QUAL, FILTER, INFO = range(8)

_BASES = "=ACMGRSVTWYHKDBN"  # BAM's order: the code of a letter is its place
_RECORDS = 16_384
_MITOCHONDRIAL_CODE = 2
_RCRS_LENGTH = 16_569
_RCRS_PLACEHOLDER = 3107
_TEXT = 1 << 18


@dataclass(slots=True)
class Records:
    """Columns of the lines of one batch; the first `count` are in use.

    `line_start` and `line_end` are byte positions in the block, the line feed included; `fields[i, INFO]` is where
    column INFO of line i ends, counted from `line_start`. The variants of record i are rows `first_row[i]` to
    `first_row[i + 1]`.
    """

    line_start: NDArray[np.int64]
    line_end: NDArray[np.int64]
    fields: NDArray[np.int32]
    contig: NDArray[np.int32]
    position: NDArray[np.int32]
    status: NDArray[np.uint8]
    first_row: NDArray[np.int32]
    count: int = 0

    @classmethod
    def allocate(cls, room: int) -> Records:
        """Room for so many lines."""
        i4, i8 = np.int32, np.int64
        return cls(
            np.zeros(room, i8),
            np.zeros(room, i8),
            np.zeros((room, 8), i4),
            np.zeros(room, i4),
            np.zeros(room, i4),
            np.zeros(room, np.uint8),
            np.zeros(room + 1, i4),
        )


class Scanner:
    """Reads blocks of VCF lines against one bundle into columns that it owns and fills again with every call.

    After `scan`, `records` and `variants` hold the lines up to where it stopped; `raw_alt` and `raw_alt_length` say
    where the ALT of each variant stands in the block, as it was written.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        names = alias_index([(contig.name, contig.aliases) for contig in bundle.contigs])
        texts = [name.encode() for name in names]
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        slots = np.empty(1 << (2 * len(texts) + 2).bit_length(), np.int32)
        self._kernel: Any = Kernel(
            memoryview(b"".join(texts) or b"\0"),
            offsets.data,
            np.array(list(names.values()), np.int32).data,
            slots.data,
            bundle.array("sequence").data,
            tuple(bundle.array(f"segment_{column}").data for column in ("start", "end", "base")),
            bundle.array("contig_segment").data,
            (bundle.array("contig_length").data, _circles(bundle).data),
            np.array([_placeholder(bundle, i) for i in range(len(bundle.contigs))] or [0], np.int64).data,
            _nibbles().data,
        )
        self._allocate(_RECORDS, _RECORDS, _TEXT)

    def _allocate(self, records: int, rows: int, text: int) -> None:
        self.records = Records.allocate(records)
        self.variants = Variants.allocate(rows, text)
        self.raw_alt = np.zeros(rows, np.int64)
        self.raw_alt_length = np.zeros(rows, np.int32)
        r, v = self.records, self.variants
        self._kernel.write_to(
            _views(r.line_start, r.line_end, r.fields, r.contig, r.position, r.status, r.first_row),
            _views(
                *(v.record, v.allele, v.contig, v.position, v.start, v.end, v.kind, v.record_kind, v.sv),
                *(v.ref_offset, v.ref_length, v.alt_offset, v.alt_length, v.flags, v.text),
            ),
            _views(self.raw_alt, self.raw_alt_length),
        )

    def scan(self, block: bytes | memoryview, begin: int = 0) -> int:
        """Read the whole lines of `block` from `begin` on until the columns are full; returns where it stopped.

        The last line may lack its line feed. Call again from there until the end of the block is reached.
        """
        view = memoryview(block)
        stop = len(view)
        while True:
            at: int = self._kernel.scan(view, begin, stop)
            if at > begin or begin == stop:
                break
            # One line with more alleles than there is room: twice the room, and again.
            self._allocate(len(self.records.status), 2 * len(self.variants.kind), self._text_room(stop - begin))
        self.records.count = self._kernel.records
        self.variants.count = self._kernel.rows
        self.variants.text_length = self._kernel.alleles_used
        return at

    def _text_room(self, block: int) -> int:
        """Twice what there was, or what the longest possible line of this block needs."""
        return max(2 * len(self.variants.text), 4 * block + 4 * len(self.variants.kind) + 16)

    def describe(self, block: bytes | memoryview, record: int) -> str:
        """Why record number `record` of this batch is not annotated, for a person, with both bases of a mismatch."""
        reason = int(self.records.status[record])
        name = self._bundle.name
        contig, pos, ref, alt = (_short(self._field(block, record, column)) for column in (CHROM, POS, REF, ALT))
        if reason == REF_MISMATCH:
            return self._mismatch(int(self.records.contig[record]), contig, int(pos), ref)
        length = int(self._bundle.array("contig_length")[max(int(self.records.contig[record]), 0)])
        return {
            FEW_COLUMNS: "fewer than 8 columns; VCF wants CHROM POS ID REF ALT QUAL FILTER INFO, separated by tabs",
            BAD_POSITION: f"POS {pos!r} is not a whole number from 0 to 2,147,483,647",
            BAD_REF: f"REF {ref!r} is not a sequence of bases",
            BAD_ALT: f"ALT {alt!r}: an allele is no sequence and no symbol, or is structural without END or SVLEN",
            UNKNOWN_CONTIG: f"the reference {name} has no contig {contig!r}",
            OUTSIDE_REFERENCE: f"{contig}:{pos}: the reference {name} holds no sequence there",
            PLACEHOLDER: f"{contig}:{pos}: the reference has a placeholder there and no genome a base",
            PAST_END: f"{contig}:{pos} lies outside the contig, which has {length:,} bases",
        }.get(reason, "")

    def _mismatch(self, index: int, contig: str, pos: int, ref: str) -> str:
        shown = ref.removesuffix("...")[:20]
        there = self._bundle.sequence(index, pos, pos + len(shown) - 1)
        ours = there.decode() if there else "?"
        more = "..." if len(ref) > len(shown) else ""
        return (
            f"{contig}:{pos}: REF is {shown}{more}, but {self._bundle.name} has {ours}{more} there; "
            "is the file of another assembly?"
        )

    def contig_name(self, block: bytes | memoryview, record: int) -> str:
        """Column CHROM of record number `record` of this batch."""
        return self._field(block, record, CHROM)

    def _field(self, block: bytes | memoryview, record: int, column: int) -> str:
        if int(self.records.status[record]) == FEW_COLUMNS:
            return ""
        start, ends = int(self.records.line_start[record]), self.records.fields[record]
        begin = start + (int(ends[column - 1]) + 1 if column else 0)
        return bytes(memoryview(block)[begin : start + int(ends[column])]).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a VCF file, byte for byte, without a byte order mark."""

    lines: tuple[bytes, ...]
    columns: bytes  # the line #CHROM..., empty when the file has none
    contigs: tuple[str, ...]
    crlf: bool
    lengths: tuple[int | None, ...] = ()  # of the contigs, where the header says

    def declares(self, info: str) -> bool:
        """Whether an INFO field of this name is declared."""
        start = f"##INFO=<ID={info},".encode()
        return any(line.startswith(start) for line in self.lines)


_CONTIG = re.compile(rb"##contig=<(?:.*,)?ID=([^,>\s]+)")
_LENGTH = re.compile(rb"##contig=<(?:.*,)?length=([0-9]{1,12})[,>]")
_BOM = b"\xef\xbb\xbf"


def without_mark(start: bytes) -> bytes:
    """The first bytes of a file without their byte order mark. UTF-16 is refused: no VCF reader takes it."""
    if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise InvalidInput("the file is UTF-16 text; save it as UTF-8", code="not_vcf", place="byte 0")
    return start.removeprefix(_BOM)


def read_header(head: bytes) -> Header:
    """Take apart the lines that begin with `#` at the start of a file."""
    lines = head.splitlines(keepends=True)
    columns = next((line for line in lines if line.startswith(b"#CHROM")), b"")
    contigs = [
        (found[1].decode("utf-8", "replace"), _LENGTH.match(line)) for line in lines if (found := _CONTIG.match(line))
    ]
    return Header(
        tuple(line for line in lines if line is not columns),
        columns,
        tuple(name for name, _ in contigs),
        bool(lines) and lines[0].endswith(b"\r\n"),
        tuple(int(length[1]) if length else None for _, length in contigs),
    )


def header_length(start: bytes) -> int:
    """How many bytes of `start` are header lines. Equal to `len(start)` when the header may go on behind it."""
    at = 0
    while at < len(start) and start[at] == 35:
        end = start.find(b"\n", at)
        if end < 0:
            return len(start)
        at = end + 1
    return at


def _circles(bundle: Bundle) -> NDArray[np.int64]:
    """The length of each circular contig, 0 for the others."""
    circles = [(contig.length or 0) if contig.circular else 0 for contig in bundle.contigs]
    return np.array(circles or [0], np.int64)


def _placeholder(bundle: Bundle, contig: int) -> int:
    """The position of a contig that keeps old numbers valid and at which no genome has a base: 3107 of rCRS, else 0."""
    described = bundle.contigs[contig]
    if described.codon_table != _MITOCHONDRIAL_CODE or not described.circular or described.length != _RCRS_LENGTH:
        return 0
    return _RCRS_PLACEHOLDER if bundle.sequence(contig, _RCRS_PLACEHOLDER, _RCRS_PLACEHOLDER) == b"N" else 0


def _views(*arrays: Any) -> tuple[memoryview, ...]:
    return tuple(array.data for array in arrays)


def _nibbles() -> NDArray[np.uint8]:
    codes = np.zeros(256, np.uint8)
    for code, letter in enumerate(_BASES):
        if code:
            codes[ord(letter)] = codes[ord(letter.lower())] = code
    codes[ord("U")] = codes[ord("u")] = codes[ord("T")]
    return codes


def _short(text: str, room: int = 30) -> str:
    return text if len(text) <= room else text[:room] + "..."


def names_of(contigs: Sequence[str], room: int = 8) -> str:
    """A list of contig names short enough for a message."""
    shown = ", ".join(contigs[:room])
    return f"{shown} and {len(contigs) - room} more" if len(contigs) > room else shown
