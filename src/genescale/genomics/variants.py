"""Variants as columns: one row for each ALT allele, in the geometry in which consequences are judged.

`variants_of_record` is the plain statement of the rules by which a VCF record becomes rows; the fast VCF reader must
agree with it, and everything that makes variants from other inputs (HGVS, SPDI, raw DNA) goes through it. The rules
are VEP's:

* One ALT of another length than REF: a shared first base goes, then the common prefix, then the common suffix.
  Equal lengths are never trimmed, so `CTA>CTG` stays a substitution of three bases.
* Several ALTs: when one of them is an indel and REF and all ALTs (`*` aside) begin with the same base, that base goes
  from all; nothing else is trimmed, and each allele is judged as it stands.
* An insertion between p and p + 1 has start = p + 1 and end = p.
* Symbolic and breakend ALTs are structural: the span is POS + 1 to END (or POS + |SVLEN|; `<INS>` always the latter).

`*`, `.`, `<*>`, `<NON_REF>` and malformed ALTs keep a row, so that allele numbers have no holes, but have the kind
`OTHER`: nobody judges them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# `kind`, and `record_kind` for the record taken whole
SNV, SUBSTITUTION, INSERTION, DELETION, INDEL, STRUCTURAL, OTHER = range(7)

# `sv`, 0 for everything that is not structural
SV_DEL, SV_DUP, SV_TANDEM_DUP, SV_INS, SV_INV, SV_CNV, SV_BND, SV_OTHER = range(1, 9)

# `flags`
REF_MISMATCH = 1
UNKNOWN_CONTIG = 2
OUTSIDE_REFERENCE = 4
PAST_END = 8
STAR = 16
NON_ACGT = 32
MALFORMED = 64
NON_VARIANT = 128
OVER_ORIGIN = 256  # ends behind the last base of a circular contig: it goes on at the first
PLACEHOLDER = 512  # starts where the reference has a placeholder

VARIANT_CLASSES = ("SNV", "substitution", "insertion", "deletion", "indel", "", "sequence_alteration")
SV_CLASSES = (
    "",
    "deletion",
    "duplication",
    "tandem_duplication",
    "insertion",
    "inversion",
    "copy_number_variation",
    "chromosome_breakpoint",
    "sequence_alteration",
)

_LAST_POSITION = 2**31 - 2
_LETTERS = re.compile(r"[A-Z]+\Z")
_SV_TYPES = (
    ("DUP:TANDEM", SV_TANDEM_DUP),
    ("TDUP", SV_TANDEM_DUP),
    ("DUP", SV_DUP),
    ("DEL", SV_DEL),
    ("INS", SV_INS),
    ("INV", SV_INV),
    ("CNV", SV_CNV),
    ("CN", SV_CNV),
    ("BND", SV_BND),
)


class Row(NamedTuple):
    """One ALT allele of one record, as `Variants` stores it."""

    record: int
    allele: int
    contig: int
    position: int
    start: int
    end: int
    kind: int
    record_kind: int
    sv: int
    ref: str
    alt: str
    flags: int


_COLUMNS: tuple[tuple[str, str], ...] = (
    ("record", "i4"),
    ("allele", "i4"),
    ("contig", "i4"),
    ("position", "i4"),
    ("start", "i4"),
    ("end", "i4"),
    ("kind", "u1"),
    ("record_kind", "u1"),
    ("sv", "u1"),
    ("ref_offset", "i8"),
    ("ref_length", "i4"),
    ("alt_offset", "i8"),
    ("alt_length", "i4"),
    ("flags", "u4"),
)


@dataclass(slots=True)
class Variants:
    """Columns of one batch; the first `count` rows and the first `text_length` bytes of `text` are in use.

    `record` is the index of the input record in the batch and `allele` the number of the ALT allele, counted from 1.
    `position` is POS as given; `start` and `end` are the judged span, 1-based and inclusive. The alleles are upper-case
    ASCII in `text`. `record_kind` is the kind of the whole record (VEP's VARIANT_CLASS: `variant_class(row)`).
    """

    record: NDArray[np.int32]
    allele: NDArray[np.int32]
    contig: NDArray[np.int32]
    position: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    kind: NDArray[np.uint8]
    record_kind: NDArray[np.uint8]
    sv: NDArray[np.uint8]
    ref_offset: NDArray[np.int64]
    ref_length: NDArray[np.int32]
    alt_offset: NDArray[np.int64]
    alt_length: NDArray[np.int32]
    flags: NDArray[np.uint32]
    text: NDArray[np.uint8]
    count: int = 0
    text_length: int = 0

    @classmethod
    def allocate(cls, rows: int, text: int) -> Variants:
        """Room for `rows` alleles and `text` bytes of sequence, all zero, none in use."""
        columns: dict[str, Any] = {name: np.zeros(rows, dtype) for name, dtype in _COLUMNS}
        return cls(**columns, text=np.zeros(text, np.uint8))

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Variants:
        """The columns of `rows`, in their order."""
        listed = list(rows)
        text = "".join([row.ref + row.alt for row in listed]).encode("ascii")
        variants = cls.allocate(len(listed), len(text))
        if listed:
            variants.text[:] = np.frombuffer(text, np.uint8)
            for name, column in zip(Row._fields, zip(*listed, strict=True), strict=True):  # at the speed of C
                if name not in {"ref", "alt"}:
                    getattr(variants, name)[:] = column
            variants.ref_length[:] = [len(row.ref) for row in listed]
            variants.alt_length[:] = [len(row.alt) for row in listed]
            ends = np.cumsum(variants.ref_length + variants.alt_length, dtype=np.int64)
            variants.alt_offset[:] = ends - variants.alt_length
            variants.ref_offset[:] = variants.alt_offset - variants.ref_length
        variants.count, variants.text_length = len(listed), len(text)
        return variants

    def ref(self, row: int) -> str:
        """The judged reference allele of one row, empty for an insertion."""
        return self._slice(int(self.ref_offset[row]), int(self.ref_length[row]))

    def alt(self, row: int) -> str:
        """The judged alternative allele of one row, empty for a deletion."""
        return self._slice(int(self.alt_offset[row]), int(self.alt_length[row]))

    def variant_class(self, row: int) -> str:
        """VEP's VARIANT_CLASS: that of the whole record, so all alleles of a site share it."""
        sv = int(self.sv[row])
        return SV_CLASSES[sv] if sv else VARIANT_CLASSES[int(self.record_kind[row])]

    def _slice(self, offset: int, length: int) -> str:
        return self.text[offset : offset + length].tobytes().decode("ascii")


def variants_of_record(
    contig: int, pos: int, ref: str, alts: Sequence[str], info: Mapping[str, str] | None = None, *, record: int = 0
) -> list[Row]:
    """The rows of one VCF record, one for each ALT, in order.

    `contig` is the bundle's index of CHROM, -1 when the bundle has no such contig. `info` holds the INFO fields that
    give a structural variant its type and span (SVTYPE, END, SVLEN); others are ignored. Nothing is compared with the
    reference.
    """
    fields = info or {}
    ref = ref.upper()
    alts = [alt.upper() for alt in alts]
    always = UNKNOWN_CONTIG if contig < 0 else 0
    malformed = not _LETTERS.match(ref) or not 0 <= pos <= _LAST_POSITION - len(ref)

    place = min(max(pos, -1), _LAST_POSITION - len(ref))  # a row can be written whatever POS says

    judged = [alt for alt in alts if not _skipped(alt)]
    shift, record_kind = (0, OTHER) if malformed else _record_geometry(ref, judged, any(alt == "*" for alt in alts))

    rows: list[Row] = []
    for number, alt in enumerate(alts, 1):
        other = Row(record, number, contig, place, place, place + len(ref) - 1, OTHER, OTHER, 0, "", "", always)
        flag = MALFORMED if malformed else _skipped(alt)
        if flag:
            rows.append(other._replace(flags=always | flag))
        elif _is_structural(alt, fields):
            rows.append(_structural(other, alt, fields))
        elif not _LETTERS.match(alt):
            rows.append(other._replace(flags=always | MALFORMED))
        else:
            start, kept_ref, kept_alt = pos + shift, ref[shift:], alt[shift:]
            if len(alts) - _count_non_variant(alts) == 1:
                start, kept_ref, kept_alt = _trimmed(start, kept_ref, kept_alt)
            plain = 0 if _is_plain(kept_ref) and _is_plain(kept_alt) else NON_ACGT
            rows.append(
                other._replace(
                    start=start,
                    end=start + len(kept_ref) - 1,
                    kind=kind_of(len(kept_ref), len(kept_alt)),
                    record_kind=record_kind,
                    ref=kept_ref,
                    alt=kept_alt,
                    flags=always | plain,
                )
            )
    return rows


def kind_of(ref_length: int, alt_length: int) -> int:
    """The kind of an allele by the lengths of its two sides after trimming."""
    if ref_length == alt_length:
        return SNV if ref_length == 1 else SUBSTITUTION if ref_length else OTHER
    if not ref_length:
        return INSERTION
    return INDEL if alt_length else DELETION


def _skipped(alt: str) -> int:
    """The flag of an ALT that is nobody's variant, else 0."""
    if alt == "*":
        return STAR
    return NON_VARIANT if alt in ("", ".", "<*>", "<NON_REF>") else 0


def _count_non_variant(alts: Sequence[str]) -> int:
    return sum(1 for alt in alts if _skipped(alt) == NON_VARIANT)


def _record_geometry(ref: str, judged: Sequence[str], star: bool) -> tuple[int, int]:
    """How many leading bases the record as a whole loses (0 or 1), and its kind after that and after trimming."""
    sequences = [alt for alt in judged if _LETTERS.match(alt)]
    if not sequences:
        return 0, OTHER
    is_indel = any(len(alt) != len(ref) for alt in judged)
    shift = int(is_indel and len(sequences) == len(judged) and all(alt[0] == ref[0] for alt in sequences))
    if len(judged) == 1 and not star:
        _, kept_ref, kept_alt = _trimmed(0, ref[shift:], sequences[0][shift:])
        return shift, kind_of(len(kept_ref), len(kept_alt))
    lengths = [len(alt) - shift for alt in sequences]
    left = len(ref) - shift
    if star or len(sequences) < len(judged) or (left and not all(lengths)):
        return shift, OTHER
    if not left:
        return shift, INSERTION if all(lengths) else OTHER
    if all(length == left for length in lengths):
        return shift, SNV if left == 1 else SUBSTITUTION
    return shift, INDEL


def _trimmed(start: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Without the common prefix, then without the common suffix. Equal lengths stay whole."""
    if len(ref) == len(alt):
        return start, ref, alt
    shorter = min(len(ref), len(alt))
    prefix = 0
    while prefix < shorter and ref[prefix] == alt[prefix]:
        prefix += 1
    ref, alt = ref[prefix:], alt[prefix:]
    shorter -= prefix
    suffix = 0
    while suffix < shorter and ref[-1 - suffix] == alt[-1 - suffix]:
        suffix += 1
    return start + prefix, ref[: len(ref) - suffix], alt[: len(alt) - suffix]


def _is_plain(allele: str) -> bool:
    return not allele.strip("ACGT")


def _is_structural(alt: str, info: Mapping[str, str]) -> bool:
    if alt[0] == "<" or "[" in alt or "]" in alt or ((alt[0] == "." or alt[-1] == ".") and len(alt) > 1):
        return True
    return "SVTYPE" in info and bool(_LETTERS.match(alt)) and not _is_plain(alt)


def _structural(row: Row, alt: str, info: Mapping[str, str]) -> Row:
    """The row of a symbolic or breakend ALT. Its type is that of the ALT where it has one, else SVTYPE."""
    name = alt[1:-1] if alt[0] == "<" else "BND" if not _LETTERS.match(alt) else info.get("SVTYPE", "").upper()
    sv = next((code for prefix, code in _SV_TYPES if name.startswith(prefix)), SV_OTHER)
    start = row.position + 1
    end = _whole_number(info.get("END"))
    length = _whole_number(info.get("SVLEN", "").split(",")[min(row.allele, info.get("SVLEN", "").count(",") + 1) - 1])
    if sv == SV_INS:
        # As VEP lays it down: over as many of the following bases as are inserted. `judge` knows that it is a point.
        end = row.position + abs(length or 0)
    elif sv == SV_BND:
        end = start
    elif end is None:
        end = row.position + abs(length) if length is not None else None
    if end is None or end < row.position or end > _LAST_POSITION:
        return row._replace(flags=row.flags | MALFORMED)
    return row._replace(start=start, end=end, kind=STRUCTURAL, record_kind=STRUCTURAL, sv=sv)


def _whole_number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,10}", text) else None
