"""A change of the genome in the one spelling that the rest of the room takes: VCF, parsimonious and left-aligned."""

from dataclasses import dataclass
from typing import Final

from genescale.errors import InvalidInput, OutsideReference, ReferenceMismatch
from genescale.genomics.bundle import Bundle
from genescale.genomics.normalise import normalise
from genescale.genomics.variants import Row, Variants, kind_of

_COMPLEMENT: Final = str.maketrans("ACGTRYKMSWBDHVN", "TGCAYRMKSWVHDBN")


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
    if contig.circular and contig.length is not None and edit.high > contig.length:
        return _over_the_origin(bundle, edit, contig.name, contig.length)
    ref = (bundle.sequence(edit.contig, edit.low, edit.high) or b"").decode()
    kind = kind_of(len(ref), len(edit.alt))
    row = Row(0, 1, edit.contig, edit.low, edit.low, edit.high, kind, kind, 0, ref, edit.alt, 0)
    return VcfVariant(edit.contig, contig.name, *normalise(bundle, Variants.of_rows([row])).vcf(0))


def _over_the_origin(bundle: Bundle, edit: GenomicEdit, name: str, length: int) -> VcfVariant:
    """VCF has no way to write this but a REF that goes on at position 1. It is trimmed and not moved."""
    ref, alt, low = bases_around(bundle, edit.contig, edit.low, edit.high), edit.alt, edit.low
    while ref and alt and ref[0] == alt[0]:
        ref, alt, low = ref[1:], alt[1:], low + 1
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    if low > length:
        return as_vcf(bundle, GenomicEdit(edit.contig, low - length, low - length + len(ref) - 1, alt))
    if low + len(ref) - 1 <= length:
        return as_vcf(bundle, GenomicEdit(edit.contig, low, low + len(ref) - 1, alt))
    if alt:
        return VcfVariant(edit.contig, name, low, ref, alt)
    anchor = (bundle.sequence(edit.contig, low - 1, low - 1) or b"").decode()
    return VcfVariant(edit.contig, name, low - 1, anchor + ref, anchor + alt)


def bases_around(bundle: Bundle, contig: int, low: int, high: int) -> str:
    """Bases of a circular contig; `high` may lie behind its last base, and the span then goes on at the first."""
    length = bundle.contigs[contig].length or 0
    found = (bundle.sequence(contig, low, min(high, length)) or b"") if low <= length else b""
    if high > length:
        found += bundle.sequence(contig, max(low - length, 1), high - length) or b""
    return found.decode()


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
