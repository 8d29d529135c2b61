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
    """VCF has no way to write this but a REF that goes on at position 1. It stays where it was given."""
    before = bundle.sequence(edit.contig, edit.low - 1, length) or b""
    ref = (before + (bundle.sequence(edit.contig, 1, edit.high - length) or b"")).decode()
    return VcfVariant(edit.contig, name, edit.low - 1, ref, ref[0] + edit.alt)


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
