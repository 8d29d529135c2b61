"""A bundle with a few genes on both strands and a mitochondrion, made from a seed in a tenth of a second."""

import random
from pathlib import Path

from genescale.genomics.build import build_bundle

LENGTH = 20_000
_GENES = (  # name, strand, exons, CDS or None
    ("PLUS", "+", ((6001, 6200), (7001, 7150), (8001, 8300)), (6101, 8100)),
    ("MINUS", "-", ((9001, 9400), (10001, 10250)), (9201, 10150)),
    ("NONCODING", "+", ((12001, 12100), (12501, 12900)), None),
)


def sequence(seed: int = 4, length: int = LENGTH) -> str:
    """The bases of chr1."""
    return "".join(random.Random(seed).choices("ACGT", k=length))


def gene_bundle(folder: Path) -> Path:
    """Build it below `folder`; contigs chr1 (20,000 bases) and chr2 (5,000, no gene)."""
    folder.mkdir(parents=True, exist_ok=True)
    fasta, gff = folder / "genes.fa", folder / "genes.gff3"
    fasta.write_text(f">chr1\n{sequence()}\n>chr2\n{sequence(5, 5000)}\n")
    gff.write_text("\n".join(["##gff-version 3", *_lines()]) + "\n")
    build_bundle(folder / "genes", name="genes", fasta=fasta, genes=gff, assembly="made", synthetic=True)
    return folder / "genes"


def _lines() -> list[str]:
    lines: list[str] = []
    for number, (name, strand, exons, cds) in enumerate(_GENES, 1):
        biotype = "protein_coding" if cds else "lncRNA"
        start, end = exons[0][0], exons[-1][1]
        place = f"{start}\t{end}\t.\t{strand}\t."
        told = f"biotype={biotype};transcript_id=T{number};version=2;tag=basic,Ensembl_canonical"
        lines.append(f"chr1\tx\tgene\t{place}\tID=gene:G{number};Name={name};biotype={biotype};gene_id=G{number}")
        lines.append(f"chr1\tx\ttranscript\t{place}\tID=transcript:T{number};Parent=gene:G{number};{told}")
        lines += [f"chr1\tx\texon\t{a}\t{b}\t.\t{strand}\t.\tParent=transcript:T{number}" for a, b in exons]
        if cds:
            parts = [(max(a, cds[0]), min(b, cds[1])) for a, b in exons]
            done = 0
            for a, b in parts if strand == "+" else parts[::-1]:
                told = f"ID=CDS:P{number};Parent=transcript:T{number};protein_id=P{number}"
                lines.append(f"chr1\tx\tCDS\t{a}\t{b}\t.\t{strand}\t{-done % 3}\t{told}")
                done += b - a + 1
    return lines
