"""A change of the genome in the one spelling that the rest of the room takes: VCF, parsimonious and left-aligned."""

import weakref
from array import array
from dataclasses import dataclass
from typing import Any, Final, cast

from genescale.errors import InvalidInput, OutsideReference, ReferenceMismatch
from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels import normalise
from genescale.genomics.kernels.normalise import Sequence

_COMPLEMENT: Final = str.maketrans("ACGTRYKMSWBDHVN", "TGCAYRMKSWVHDBN")
_OPEN: weakref.WeakKeyDictionary[Bundle, Sequence] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class GenomicEdit:
    """Bases `low` to `high` of a contig (1-based, inclusive; low = high + 1 between two bases) become `alt`.

    On a circular contig `high` may be larger than its length: the span then crosses the origin.
    """

    contig: int
    low: int
    high: int
    alt: str


@dataclass(frozen=True, slots=True)
class VcfVariant:
    """One variant as VCF writes it. `info` holds SVTYPE and END of a symbolic allele."""

    contig: int
    chrom: str
    pos: int
    ref: str
    alt: str
    info: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """CHROM-POS-REF-ALT."""
        return f"{self.chrom}-{self.pos}-{self.ref}-{self.alt}"


def reverse_complement(bases: str) -> str:
    """The other strand, read in its own direction."""
    return bases.translate(_COMPLEMENT)[::-1]


def as_vcf(bundle: Bundle, edit: GenomicEdit) -> VcfVariant:
    """The VCF spelling of an edit whose bases `low` to `high` are known to lie in the reference."""
    contig = bundle.contigs[edit.contig]
    length = contig.length if contig.circular else None
    ref = _read(bundle, edit.contig, edit.low, edit.high, length)
    low, ref, alt = _left_aligned(bundle, edit, ref)
    if ref and alt:
        return VcfVariant(edit.contig, contig.name, low, ref, alt)
    before = bundle.sequence(edit.contig, low - 1, low - 1) if low > 1 else None
    if before:
        return VcfVariant(edit.contig, contig.name, low - 1, before.decode() + ref, before.decode() + alt)
    # At the very beginning of a sequence VCF takes the base behind the event.
    behind = _read(bundle, edit.contig, low + len(ref), low + len(ref), length)
    return VcfVariant(edit.contig, contig.name, low, ref + behind, alt + behind)


def _read(bundle: Bundle, contig: int, low: int, high: int, circle: int | None) -> str:
    if circle is not None and high > circle:
        first = bundle.sequence(contig, low, circle) or b""
        return (first + (bundle.sequence(contig, max(low - circle, 1), high - circle) or b"")).decode()
    return (bundle.sequence(contig, low, high) or b"").decode()


def _left_aligned(bundle: Bundle, edit: GenomicEdit, ref: str) -> tuple[int, str, str]:
    """The edit without what REF and ALT share at their ends, moved left as far as it denotes the same sequence."""
    sequence = _OPEN.get(bundle)
    if sequence is None:
        names = ("sequence", "contig_segment", "segment_start", "segment_end", "segment_base")
        sequence = _OPEN[bundle] = Sequence(*(bundle.array(name).data for name in names))
    first, last, kept, left, right = (array("q", [0]) for _ in range(5))
    kept_length = array("i", [0])
    cast("Any", normalise).justify(
        sequence,
        (ref + edit.alt).encode(),
        array("i", [edit.contig]),
        array("i", [edit.low]),
        array("q", [0]),
        array("i", [len(ref)]),
        array("q", [len(ref)]),
        array("i", [len(edit.alt)]),
        b"\0",
        first,
        last,
        kept,
        kept_length,
        left,
        right,
    )
    begin, size, move = first[0], last[0] - first[0], left[0]
    alt = (ref + edit.alt)[kept[0] : kept[0] + kept_length[0]]
    if not move:
        skip = begin - (edit.low - 1)
        return begin + 1, ref[skip : skip + size], alt
    low = begin + 1 - move
    turn = move % len(alt) if alt else 0
    return low, _read(bundle, edit.contig, low, low + size - 1, None), alt[len(alt) - turn :] + alt[: len(alt) - turn]


def bases_of(bundle: Bundle, contig: int, low: int, high: int, place: str) -> str:
    """Bases of the plus strand, or an error that says why there are none."""
    if low > high:
        return ""
    described = bundle.contigs[contig]
    if low < 1 or (described.length is not None and high > described.length):
        size = "" if described.length is None else f" has {described.length} bases"
        raise InvalidInput(f"{described.name}{size}: {low}-{high} is not inside", code="past_end", place=place)
    found = bundle.sequence(contig, low, high)
    if found is None:
        raise OutsideReference(
            f"{bundle.name} holds regions of {described.name}, and {low}-{high} is in none of them", place=place
        )
    return found.decode()


def mismatch(
    bundle: Bundle,
    contig: int,
    low: int,
    high: int,
    stated: str,
    ours: str,
    *,
    strand: int = 1,
    place: str,
    differs: str = "",
) -> ReferenceMismatch:
    """The error for stated bases that are not ours, both read along `strand`.

    `differs` is the name of a transcript that is known to differ from the assembly.
    """
    where = f"{bundle.contigs[contig].name}:{low}" + (f"-{high}" if high > low else "")
    message = f"the name states {_short(stated)}, and {bundle.name} has {_short(ours)} at {where}"
    if strand < 0:
        message += " (minus strand)"
    if reverse_complement(stated) == ours:
        message += ". The stated bases are those of the other strand: names on a transcript follow its strand"
    elif differs:
        message += f". {differs} is known to differ from this assembly"
    else:
        message += ". Another assembly, another version of the transcript or a position off by one are the usual causes"
    return ReferenceMismatch(message, stated=stated, reference=ours, place=place)


def _short(bases: str) -> str:
    return bases if len(bases) <= 24 else f"{bases[:20]}... ({len(bases)} bases)"
