"""A made-up nuclear genome from a seed: genes that splice, translate and end as real ones do, and mean nothing.

It lets everybody try what needs chromosomes, introns and both strands without a download. Whatever is made of it says
that it is synthetic: the contigs are called `synthetic_1`, the genes `SYN0001`, and the bundle carries the flag.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from genescale.genomics import codons
from genescale.genomics.build import BuildReport, build_bundle

NAME: Final = "synthetic-demo"
_ACGT: Final = b"ACGT"
_COMPLEMENT: Final = bytes.maketrans(b"ACGT", b"TGCA")
_STANDARD: Final = 1


@dataclass(frozen=True, slots=True)
class Gene:
    """One synthetic gene with one transcript. Exons are in order of the genome; `coding` is empty for RNA genes."""

    name: str
    contig: str
    strand: str
    exons: tuple[tuple[int, int], ...]
    coding: tuple[tuple[int, int, int], ...]  # start, end, phase of each CDS part


@dataclass(frozen=True, slots=True)
class Genome:
    """A synthetic genome: bases by contig, and its genes."""

    seed: int
    contigs: dict[str, bytes]
    genes: tuple[Gene, ...]

    def fasta(self) -> Iterator[str]:
        """The lines of a FASTA file."""
        for name, bases in self.contigs.items():
            yield f">{name} synthetic, seed {self.seed}"
            yield from (bases[i : i + 80].decode() for i in range(0, len(bases), 80))

    def gff3(self) -> Iterator[str]:
        """The lines of a GFF3 file."""
        yield "##gff-version 3"
        for gene in self.genes:
            biotype = "protein_coding" if gene.coding else "lncRNA"
            kind = "mRNA" if gene.coding else "lnc_RNA"
            row = f"{gene.contig}\tsynthetic\t{{}}\t{{}}\t{{}}\t.\t{gene.strand}\t{{}}\t{{}}"
            whole = (gene.exons[0][0], gene.exons[-1][1])
            own, parent = f"transcript:{gene.name}-1", f"gene:{gene.name}"
            yield row.format("gene", *whole, ".", f"ID={parent};gene_id={gene.name};Name={gene.name};biotype={biotype}")
            about = f"transcript_id={gene.name}-1;tag=Ensembl_canonical;biotype={biotype}"
            yield row.format(kind, *whole, ".", f"ID={own};Parent={parent};{about}")
            for start, end in gene.exons:
                yield row.format("exon", start, end, ".", f"Parent={own}")
            for start, end, phase in gene.coding:
                yield row.format("CDS", start, end, phase, f"ID=CDS:{gene.name};Parent={own};protein_id={gene.name}-P")


def synthetic_genome(seed: int, *, contigs: int = 2, length: int = 400_000, genes: int = 24) -> Genome:
    """The genome of a seed: always the same one. `genes` are spread over each contig, every fifth is non-coding.

    Genes stand on either strand, have 2 to 9 exons with GT..AG introns, UTRs at both ends, and a reading frame
    from ATG to a stop.
    """
    dice = random.Random(seed)  # noqa: S311 - made to be repeated
    sequences: dict[str, bytes] = {}
    found: list[Gene] = []
    for number in range(1, contigs + 1):
        name = f"synthetic_{number}"
        bases = bytearray(_bases(dice, length))
        room = length // genes
        for index in range(genes):
            gene = _gene(dice, f"SYN{len(found) + 1:04}", name, index * room + room // 8, coding=index % 5 != 4)
            start, text, placed = gene
            if start + len(text) > (index + 1) * room:
                raise ValueError(f"{genes} genes do not fit into {length} bases; ask for fewer, or for longer contigs")
            bases[start : start + len(text)] = text
            found.append(placed)
        sequences[name] = bytes(bases)
    return Genome(seed, sequences, tuple(found))


def build(target: str | Path, seed: int = 1, *, replace: bool = False) -> BuildReport:
    """Build the bundle `synthetic-demo` of a seed in the folder `target`."""
    genome = synthetic_genome(seed)
    with TemporaryDirectory() as folder:
        fasta, genes = Path(folder, f"synthetic-{seed}.fa"), Path(folder, f"synthetic-{seed}.gff3")
        fasta.write_text("\n".join(genome.fasta()) + "\n")
        genes.write_text("\n".join(genome.gff3()) + "\n")
        assembly = f"synthetic-{seed}"
        return build_bundle(
            target, name=NAME, fasta=fasta, genes=genes, assembly=assembly, synthetic=True, replace=replace
        )


def _gene(dice: random.Random, name: str, contig: str, offset: int, *, coding: bool) -> tuple[int, bytes, Gene]:
    """A gene whose first base has the 0-based place `offset`: that place, its bases, and its model."""
    utr5, utr3 = 60 + _below(dice, 200), 150 + _below(dice, 600)
    frame = _reading_frame(dice, 90 + _below(dice, 500)) if coding else b""
    spliced = _bases(dice, utr5) + frame + _bases(dice, utr3)
    count = 2 + _below(dice, 8)
    cuts = sorted({20 + _below(dice, len(spliced) - 40) for _ in range(count - 1)})
    pieces = [spliced[a:b] for a, b in zip([0, *cuts], [*cuts, len(spliced)], strict=True)]
    text, exons = b"", list[tuple[int, int]]()
    for piece in pieces:
        if exons:
            text += b"GT" + _bases(dice, 80 + _below(dice, 700)) + b"AG"
        exons.append((len(text), len(text) + len(piece)))
        text += piece
    parts = _coding_parts(exons, utr5, utr5 + len(frame)) if coding else []
    if _below(dice, 2):
        size = len(text)
        text = text.translate(_COMPLEMENT)[::-1]
        exons = [(size - end, size - start) for start, end in reversed(exons)]
        parts = [(size - end, size - start, phase) for start, end, phase in reversed(parts)]
        strand = "-"
    else:
        strand = "+"
    placed = tuple((offset + start + 1, offset + end) for start, end in exons)
    coded = tuple((offset + start + 1, offset + end, phase) for start, end, phase in parts)
    return offset, text, Gene(name, contig, strand, placed, coded)


def _coding_parts(exons: list[tuple[int, int]], begin: int, end: int) -> list[tuple[int, int, int]]:
    """The parts of the exons that hold the spliced bases `begin` to `end`, each with its GFF phase."""
    found: list[tuple[int, int, int]] = []
    spliced = 0
    for start, stop in exons:
        first, last = max(begin, spliced), min(end, spliced + stop - start)
        if first < last:
            found.append((start + first - spliced, start + last - spliced, (begin - first) % 3))
        spliced += stop - start
    return found


def _reading_frame(dice: random.Random, codon_count: int) -> bytes:
    """ATG, codons that are no stops, and a stop."""
    letters = codons.amino_acids(_STANDARD)
    every = [(a, b, c) for a in range(4) for b in range(4) for c in range(4)]
    stops = [bytes(_ACGT[i] for i in codon) for codon in every if letters[_index(codon)] == ord("*")]
    others = [bytes(_ACGT[i] for i in codon) for codon in every if letters[_index(codon)] != ord("*")]
    middle = b"".join(others[_below(dice, len(others))] for _ in range(codon_count))
    return b"ATG" + middle + stops[_below(dice, len(stops))]


def _index(codon: tuple[int, int, int]) -> int:
    a, b, c = codon
    return 25 * a + 5 * b + c


def _bases(dice: random.Random, count: int) -> bytes:
    """Random bases. Bits of the generator only: these stay the same from one Python to the next."""
    bits = dice.getrandbits(8 * count).to_bytes(count, "little") if count else b""
    return bits.translate(bytes(_ACGT[i & 3] for i in range(256)))


def _below(dice: random.Random, limit: int) -> int:
    return dice.getrandbits(32) * limit >> 32
