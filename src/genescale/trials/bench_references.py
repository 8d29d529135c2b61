"""How building and opening a reference grow: an invented genome of human size, measured from outside.

The genome has the contigs of GRCh38 (3.1 Gb over 25) at scale 1, with 250,000 transcripts and 1.5 million exons whose
lengths and crowding are like those of the human annotation; the bases are random, so its proteins mean nothing. It is
streamed to disk (4 GB at scale 1) and gone afterwards.
"""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from genescale.clock import Clock
from genescale.trials.peers import Usage, measured
from genescale.trials.report import CannotRun, Report, Row, make_report, row
from genescale.trials.scratch import scratch

_CHROMOSOMES_MB: Final = (
    *(248.96, 242.19, 198.30, 190.21, 181.54, 170.81, 159.35, 145.14, 138.39, 133.80, 135.09, 133.28),
    *(114.36, 107.04, 101.99, 90.34, 83.26, 80.37, 58.62, 64.44, 46.71, 50.82, 156.04, 57.23),
)
_MITOCHONDRION: Final = 16_569
_TRANSCRIPTS: Final = 250_000
_TRANSCRIPTS_OF_A_GENE: Final = 5
_EXONS: Final = 6
_LINE: Final = 60
_BLOCK: Final = _LINE * 20_000
_LETTERS: Final = bytes(b"AAACCGGTTT"[i % 10] for i in range(256))

BUILD_GOAL_S: Final = 300
BUILD_GOAL_MB: Final = 3_000
OPEN_GOAL_MS: Final = 20


def run(seed: int, kafka: bool, clock: Clock) -> Report:
    """All rows of the area: a genome of human size, and how much more a base of it costs than of a tenth of it."""
    if kafka:
        raise CannotRun("bench references uses no Kafka; leave --kafka out")
    tenth, whole = bench_reference_build(0.1, clock, seed), bench_reference_build(1.0, clock, seed)
    growth = _growth("reference_growth_s", tenth[0], whole[0]), _growth("reference_growth_mb", tenth[1], whole[1])
    return make_report("references", seed, [*whole, *growth])


def _growth(name: str, tenth: Row, whole: Row) -> Row:
    assert tenth.value is not None
    assert whole.value is not None
    note = f"{whole.value} {whole.unit} for the whole, {tenth.value} {tenth.unit} for a tenth of it: 1 is linear"
    return row(name, round(whole.value / tenth.value / 10, 3), "ratio", "lower", goal=1.5, note=note)


def bench_reference_build(scale: float, clock: Clock, seed: int = 1) -> list[Row]:
    """Rows of one build: CPU seconds, memory at its peak, size on disk, and how long the bundle takes to open."""
    with scratch() as folder:
        contigs = contig_lengths(scale)
        fasta, gff3 = folder / "genome.fa", folder / "genes.gff3"
        write_fasta(fasta, contigs, seed)
        transcripts = write_gff3(gff3, contigs, round(_TRANSCRIPTS * scale), seed)
        built = folder / "bundle"
        usage = build(fasta, gff3, built, folder, clock)
        opened = [open_ms(built, folder, clock) for _ in range(5)]
        size_mb = sum(file.stat().st_size for file in built.iterdir()) / 1e6
    note = f"{sum(contigs.values()) / 1e9:.2f} Gb, {transcripts} transcripts; wall {usage.wall_s:.0f} s"
    whole = scale >= 1
    return [
        row("reference_build_s", round(usage.cpu_s, 1), "s", "lower", goal=BUILD_GOAL_S if whole else None, note=note),
        row("reference_build_rss_mb", round(usage.rss_mb), "MB", "lower", goal=BUILD_GOAL_MB, note=note),
        row("reference_size_mb", round(size_mb), "MB", "lower", note=note),
        row("reference_open_ms", round(min(opened), 2), "ms", "lower", goal=OPEN_GOAL_MS, samples=opened),
    ]


def contig_lengths(scale: float) -> dict[str, int]:
    """The contigs of the invented genome. The mitochondrial one keeps its length."""
    names = [*map(str, range(1, 23)), "X", "Y"]
    lengths = {name: round(mb * 1e6 * scale) for name, mb in zip(names, _CHROMOSOMES_MB, strict=True)}
    return {**lengths, "MT": _MITOCHONDRION}


def write_fasta(path: Path, contigs: dict[str, int], seed: int) -> None:
    """Random bases, 60 a line, with a stretch of N at both ends of every contig."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    with path.open("wb", buffering=1 << 20) as out:
        for name, length in contigs.items():
            out.write(f">{name} invented\n".encode())
            telomere = min(10_000, length // 20) // _LINE * _LINE
            for start in range(0, length, _BLOCK):
                bases = bytearray(chance.randbytes(min(_BLOCK, length - start)).translate(_LETTERS))
                if start < telomere:
                    bases[: telomere - start] = b"N" * min(telomere - start, len(bases))
                if start + len(bases) > length - telomere:
                    kept = max(length - telomere - start, 0)
                    bases[kept:] = b"N" * (len(bases) - kept)
                out.write(b"\n".join(bases[i : i + _LINE] for i in range(0, len(bases), _LINE)) + b"\n")


def write_gff3(path: Path, contigs: dict[str, int], transcripts: int, seed: int) -> int:
    """Genes in Ensembl's flavour of GFF3; returns how many transcripts there are."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    nuclear = {name: length for name, length in contigs.items() if name != "MT"}
    total = sum(nuclear.values())
    number = 0
    with path.open("w", buffering=1 << 20) as out:
        out.write("##gff-version 3\n")
        out.writelines(f"##sequence-region {name} 1 {length}\n" for name, length in contigs.items())
        for name, length in nuclear.items():
            genes = max(1, round(transcripts * length / total / _TRANSCRIPTS_OF_A_GENE))
            for gene in range(genes):
                room = length * 9 // 10 // genes
                begin = length // 20 + gene * room
                out.writelines(_gene(chance, name, begin, max(room, 4_000), number))
                number += _TRANSCRIPTS_OF_A_GENE
    return number


def _gene(chance: random.Random, contig: str, begin: int, room: int, number: int) -> Iterator[str]:
    strand = chance.choice("+-")
    coding = chance.random() < 0.6
    biotype = "protein_coding" if coding else "lncRNA"
    gene = f"ENSG{number:011d}"
    span = min(room * 2, int(2_000 + chance.expovariate(1 / 30_000)))
    row = f"{contig}\tensembl\t{{}}\t{{}}\t{{}}\t.\t{strand}\t{{}}\t{{}}\n".format
    about = f"ID=gene:{gene};Name=GENE{number};biotype={biotype};gene_id={gene};version=3"
    yield row("gene", begin, begin + span, ".", about)
    for k in range(number, number + _TRANSCRIPTS_OF_A_GENE):
        name = f"ENST{k:011d}"
        count = min(1 + int(chance.expovariate(1 / (_EXONS - 0.5))), span // 500)
        edges = sorted(chance.sample(range(begin, begin + span, 400), count))
        exons = [(edge, edge + (350 if count > 1 else 1_500) - chance.randrange(60)) for edge in edges]
        tags = "tag=basic,Ensembl_canonical" if k == number else "tag=basic"
        about = f"ID=transcript:{name};Parent=gene:{gene};Name=GENE{number}-{k};biotype={biotype};{tags}"
        kind = "mRNA" if coding else "lnc_RNA"
        yield row(
            kind, exons[0][0], exons[-1][1], ".", f"{about};transcript_id={name};transcript_support_level=1;version=2"
        )
        for rank, (start, end) in enumerate(exons, 1):
            yield row("exon", start, end, ".", f"Parent=transcript:{name};exon_id=ENSE{k:011d};rank={rank};version=1")
        if coding:
            yield from _coding(row, exons, name, k, strand)


def _coding(
    row: Callable[..., str], exons: list[tuple[int, int]], name: str, number: int, strand: str
) -> Iterator[str]:
    """CDS rows with their phases. The first and last 50 bases are UTR, and the length is a multiple of three."""
    parts = [[start, end] for start, end in exons]
    parts[0][0] += 50
    parts[-1][1] -= 50
    parts[-1][1] -= sum(end - start + 1 for start, end in parts) % 3
    done = 0
    about = f"ID=CDS:ENSP{number:011d};Parent=transcript:{name};protein_id=ENSP{number:011d};version=1"
    for start, end in parts if strand == "+" else parts[::-1]:
        yield row("CDS", start, end, -done % 3, about)
        done += end - start + 1


_BUILD: Final = """
import sys
from genescale.genomics.build import build_bundle
build_bundle(sys.argv[3], name="invented", fasta=sys.argv[1], genes=sys.argv[2], synthetic=True)
"""
_OPEN: Final = """
import sys, time
from genescale.genomics.bundle import Bundle
began = time.perf_counter()
bundle = Bundle.open(sys.argv[1])
for name in bundle.arrays:
    bundle.array(name)
print((time.perf_counter() - began) * 1000)
"""


def build(fasta: Path, gff3: Path, target: Path, folder: Path, clock: Clock) -> Usage:
    """Build in a process of its own, so that the memory is the build's alone."""
    return measured([sys.executable, "-c", _BUILD, str(fasta), str(gff3), str(target)], folder, clock)


def open_ms(bundle: Path, folder: Path, clock: Clock) -> float:
    """Milliseconds to open a bundle and map every array of it, in a fresh process, without the imports."""
    measured([sys.executable, "-c", _OPEN, str(bundle)], folder, clock)
    return float((folder / "log.txt").read_text())
