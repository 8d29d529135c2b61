"""A reference bundle small enough to make one for each test."""

from collections.abc import Mapping
from pathlib import Path

from genescale.genomics.build import build_bundle


def tiny_bundle(folder: Path, contigs: Mapping[str, str], *, assembly: str = "GRCh38", name: str = "tiny") -> Path:
    """Build a bundle of these sequences below `folder`, with one gene at the beginning of the first.

    A key `chr1:101-160` makes a bundle of regions.
    """
    first = next(iter(contigs))
    contig, _, region = first.partition(":")
    start = int(region.partition("-")[0]) if region else 1
    place = f"{start}\t{start + 8}\t.\t+\t."
    genes = [
        "##gff-version 3",
        f"{contig}\tx\tgene\t{place}\tID=gene:G;Name=G;biotype=lncRNA;gene_id=G",
        f"{contig}\tx\ttranscript\t{place}\tID=transcript:T.1;Parent=gene:G;transcript_id=T.1;biotype=lncRNA",
        f"{contig}\tx\texon\t{place}\tParent=transcript:T.1",
    ]
    fasta, gff = folder / f"{name}.fa", folder / f"{name}.gff3"
    fasta.write_text("".join(f">{key}\n{sequence}\n" for key, sequence in contigs.items()))
    gff.write_text("\n".join(genes) + "\n")
    build_bundle(folder / name, name=name, fasta=fasta, genes=gff, assembly=assembly)
    return folder / name
