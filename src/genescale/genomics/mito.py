"""The human mitochondrial genome: its 37 genes, its circle, mixtures of genomes, and the tables of maternal lineage.

The sequence is rCRS (NC_012920.1), 16,569 bases in a circle, with a placeholder at 3107 that only keeps the numbers of
1981 valid. Facts come from `embedded/mitochondrion.compact`, and `embedded_build` makes the bundle `mitochondrion` of
them; `docs/explanation/embedded-references.md` says how far they can be trusted.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genescale.errors import InvalidInput
from genescale.genomics import compact

FACTS: Final = Path(__file__).parent / "embedded" / "mitochondrion.compact"
CONTIG: Final = "MT"  # VEP knows the mitochondrial code only under this name
ACCESSION: Final = "NC_012920.1"
LENGTH: Final = 16_569
SEQUENCE_MD5: Final = "c68f52674c9fb33aef52dcf399755519"
PLACEHOLDER: Final = 3107
CODON_TABLE: Final = 2

HG19_LENGTH: Final = 16_571  # NC_001807, the chrM of UCSC's hg19: another sequence with other numbers
HOMOPLASMIC: Final = 0.95
HETEROPLASMIC: Final = 0.05

# Places where one change can be aligned in several ways. Names follow forensic custom (3'), confidence is low.
AMBIGUOUS: Final = ((303, 315, "poly-C"), (513, 524, "AC repeat"), (16182, 16193, "poly-C"))
# Changes here come and go so often that they say nothing about lineage.
HOTSPOTS: Final = frozenset({309, 315, 523, 524, PLACEHOLDER, 16182, 16183, 16193, 16519})

# A mutation as PhyloTree writes it: position, which inserted base (X: how many differs), bases or d, how often back.
MUTATION: Final = re.compile(r"(\d+)(?:\.(\d+|X))?([ACGT]+|d)(!*)")

Array = npt.NDArray[Any]


# ---- the circle ----


def wrap(position: int) -> int:
    """The position on the circle: 16,570 is 1, 0 is 16,569."""
    return (position - 1) % LENGTH + 1


def covers(start: int, end: int, position: int) -> bool:
    """Whether a stretch holds a position; one that crosses the origin has `start` behind `end`."""
    start, end, position = wrap(start), wrap(end), wrap(position)
    return start <= position <= end if start <= end else position >= start or position <= end


def span(start: int, end: int) -> int:
    """How many bases a stretch has, across the origin too."""
    return (wrap(end) - wrap(start)) % LENGTH + 1


def touches_placeholder(start: int, end: int) -> bool:
    """Whether a stretch holds the placeholder, where no variant may start and no deletion counts."""
    return covers(start, end, PLACEHOLDER)


def ambiguous(start: int, end: int) -> str:
    """The kind of repeat that a stretch touches, where alignments disagree about a variant; "" elsewhere."""
    return next((kind for first, last, kind in AMBIGUOUS if start <= last and end >= first), "")


# ---- genes ----


@dataclass(frozen=True, slots=True)
class Gene:
    """One of the 37 genes. Strand is that of the sequence as printed: `-` for ND6 and eight tRNAs."""

    name: str
    biotype: str
    start: int
    end: int
    strand: str
    description: str
    hgnc: str
    ncbi: str
    protein: str


class Region(NamedTuple):
    """A named stretch that is no gene, such as the D-loop; `start` lies behind `end` when it crosses the origin."""

    name: str
    start: int
    end: int
    description: str


@cache
def genes() -> tuple[Gene, ...]:
    """The 37 genes in order of position."""
    names = ("name", "biotype", "start", "end", "strand", "description", "hgnc", "ncbi", "protein")
    held = compact.read(FACTS, [f"gene_{name}" for name in names])
    rows = zip(*(held.columns[f"gene_{name}"] for name in names), strict=True)
    return tuple(Gene(a, b, int(c), int(d), *rest) for a, b, c, d, *rest in rows)


@cache
def regions() -> tuple[Region, ...]:
    """The D-loop, the spacers between genes and the control elements."""
    names = ("name", "start", "end", "description")
    held = compact.read(FACTS, [f"region_{name}" for name in names])
    rows = zip(*(held.columns[f"region_{name}"] for name in names), strict=True)
    return tuple(Region(name, int(start), int(end), text) for name, start, end, text in rows)


def regions_at(position: int) -> tuple[Region, ...]:
    """The named stretches that hold a position."""
    return tuple(region for region in regions() if covers(region.start, region.end, position))


@cache
def sequence() -> str:
    """The 16,569 bases, `N` at 3107."""
    return compact.read(FACTS, ["sequence"]).array("sequence").tobytes().decode()


def gff3() -> Iterator[str]:
    """The genes as lines of GFF3: one transcript of one exon each, which is called like its gene."""
    yield "##gff-version 3"
    yield f"##sequence-region {CONTIG} 1 {LENGTH}"
    for gene in genes():
        kind = {"protein_coding": "mRNA", "Mt_tRNA": "tRNA", "Mt_rRNA": "rRNA"}[gene.biotype]
        name, place = gene.name, f"{gene.start}\t{gene.end}\t.\t{gene.strand}"
        common = f"Name={name};biotype={gene.biotype}"
        yield f"{CONTIG}\tHmtVar\tgene\t{place}\t.\tID=gene:{name};gene_id={name};HGNC={gene.hgnc};{common}"
        yield (
            f"{CONTIG}\tHmtVar\t{kind}\t{place}\t.\t"
            f"ID=transcript:{name};Parent=gene:{name};transcript_id={name};tag=Ensembl_canonical;{common}"
        )
        yield f"{CONTIG}\tHmtVar\texon\t{place}\t.\tParent=transcript:{name}"
        if gene.protein:
            yield f"{CONTIG}\tHmtVar\tCDS\t{place}\t0\tID=CDS:{name};Parent=transcript:{name};protein_id={gene.protein}"


# ---- mixtures of genomes ----


class Heteroplasmy(NamedTuple):
    """The share of mitochondrial genomes that carry an allele. Everything is None and `unknown` when nobody says."""

    level: float | None
    low: float | None  # the 95 % interval, where the number of reads is known
    high: float | None
    kind: str  # homoplasmic, heteroplasmic, low_level or unknown


def heteroplasmy(*, share: float | None = None, reads: int | None = None, depth: int | None = None) -> Heteroplasmy:
    """Judge an allele by its share (FORMAT AF) or by its reads and the depth (AD, DP); both together agree or not.

    A genotype of 0/1 says only that there is a mixture, not how much, and never that the carrier is heterozygous.
    `low_level` (below 5 %) needs duplex sequencing or high depth before anybody believes it.
    """
    if depth is not None and (depth < 0 or (reads is not None and not 0 <= reads <= depth)):
        raise InvalidInput(f"{reads} reads of {depth} cannot be; look at AD and DP", code="bad_level")
    if share is not None and not 0 <= share <= 1:
        raise InvalidInput(f"a share of {share} is not between 0 and 1; look at AF", code="bad_level")
    if share is None and reads is not None and depth:
        share = reads / depth
    if share is None:
        return Heteroplasmy(None, None, None, "unknown")
    low, high = wilson(share, depth) if depth else (None, None)
    kind = "homoplasmic" if share >= HOMOPLASMIC else "heteroplasmic" if share >= HETEROPLASMIC else "low_level"
    return Heteroplasmy(share, low, high, kind)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share among `count` (Wilson, J Am Stat Assoc 1927;22:209-212)."""
    z = 1.959963984540054
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


# ---- maternal lineage: tables, no judgement ----


@dataclass(frozen=True, slots=True)
class Tree:
    """PhyloTree 17, rooted at rCRS (H2a2a1). A parent stands before its children.

    `mutations` of a haplogroup lead to it from its parent, in the tree's own spelling: `263G`, `522d`, `573.XC`; a `!`
    marks a mutation back. `weights` are higher for rarer mutations. `spelling` maps how aligners write indels to how
    the tree does.
    """

    names: tuple[str, ...]
    parents: Array  # the index of the parent; -1 at the root
    mutations: tuple[tuple[str, ...], ...]
    weights: dict[str, float]
    spelling: tuple[tuple[str, str], ...]

    def path(self, index: int) -> list[int]:
        """From the root to a haplogroup."""
        found = [index]
        while (index := int(self.parents[index])) >= 0:
            found.append(index)
        return found[::-1]


@cache
def tree() -> Tree:
    """The tree of haplogroups."""
    held = compact.read(FACTS, ["tree_name", "tree_parent", "tree_mutations", *_WEIGHTS, *_RULES])
    weights = zip(held.texts("weight_mutation"), (held.array("weight") / 10).tolist(), strict=True)
    return Tree(
        tuple(held.texts("tree_name")),
        held.array("tree_parent"),
        tuple(tuple(text.split()) for text in held.texts("tree_mutations")),
        dict(weights),
        tuple(zip(held.texts("rule_written"), held.texts("rule_expected"), strict=True)),
    )


_WEIGHTS: Final = ("weight_mutation", "weight")
_RULES: Final = ("rule_written", "rule_expected")


@dataclass(frozen=True, slots=True)
class HaplogroupBases:
    """How many genomes of each haplogroup have which base where: `counts[table, base, position - 1]`.

    `bases` names the second axis (A, C, G, T, gap, other). `sizes` says how many genomes a table rests on; X rests on
    two, so its shares are no estimate. N* and R* are what is left of N and R, not branches.
    """

    names: tuple[str, ...]
    bases: tuple[str, ...]
    sizes: Array
    counts: Array


@cache
def haplogroup_bases() -> HaplogroupBases:
    """The base counts of 25 haplogroups, from HmtVar."""
    held = compact.read(FACTS, ["haplogroup_size", "haplogroup_count"])
    bases, sizes = tuple(held.about["haplogroup_bases"]), held.array("haplogroup_size")
    counts = held.array("haplogroup_count").copy()
    rest = sizes[:, None] - counts.sum(axis=1)  # kept is what is not the base of the reference
    for index, base in enumerate(bases[:4]):
        here = np.frombuffer(sequence().encode(), np.uint8) == ord(base)
        counts[:, index, here] = rest[:, here]
    counts.flags.writeable = False
    return HaplogroupBases(tuple(held.about["haplogroup_tables"]), bases, sizes, counts)


@dataclass(frozen=True, slots=True)
class HaplogroupCounts:
    """In how many genomes of each haplogroup gnomAD v3.1 saw a variant, homoplasmic: `counts[haplogroup, variant]`.

    `genomes` says among how many; 0 where nobody of the haplogroup has the variant, for gnomAD does not say it there.
    """

    names: tuple[str, ...]
    variants: tuple[tuple[int, str, str], ...]  # position, ref, alt as VCF has them, in order
    counts: Array
    genomes: Array


@cache
def haplogroup_counts() -> HaplogroupCounts:
    """gnomAD's counts by haplogroup. What it says by population stands in the bundle, in the facts called `gnomad`."""
    names = ("gnomad_position", "gnomad_ref", "gnomad_alt", "gnomad_haplogroup_ac_hom", "gnomad_haplogroup_an")
    held = compact.read(FACTS, names)
    positions = held.array("gnomad_position").cumsum(dtype=np.int64).tolist()
    variants = tuple(zip(positions, held.texts("gnomad_ref"), held.texts("gnomad_alt"), strict=True))
    haplogroups = tuple(held.about["gnomad_haplogroups"])
    return HaplogroupCounts(haplogroups, variants, held.array(names[3]), held.array(names[4]))
