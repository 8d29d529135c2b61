"""A reference bundle small enough to have one for each test. Equal ones are built once in a session, and copied."""

import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from genescale.genomics.build import build_bundle

_FOLDER = tempfile.TemporaryDirectory(prefix="genescale-tiny-")


def tiny_bundle(folder: Path, contigs: Mapping[str, str], *, assembly: str = "GRCh38", name: str = "tiny") -> Path:
    """A bundle of these sequences as `folder / name`, with one gene at the beginning of the first.

    A key `chr1:101-160` makes a bundle of regions.
    """
    shutil.copytree(_built(tuple(contigs.items()), assembly, name), folder / name)
    return folder / name


@cache
def _built(contigs: tuple[tuple[str, str], ...], assembly: str, name: str) -> Path:
    folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    contig, _, region = contigs[0][0].partition(":")
    start = int(region.partition("-")[0]) if region else 1
    place = f"{start}\t{start + 8}\t.\t+\t."
    genes = [
        "##gff-version 3",
        f"{contig}\tx\tgene\t{place}\tID=gene:G;Name=G;biotype=lncRNA;gene_id=G",
        f"{contig}\tx\ttranscript\t{place}\tID=transcript:T.1;Parent=gene:G;transcript_id=T.1;biotype=lncRNA",
        f"{contig}\tx\texon\t{place}\tParent=transcript:T.1",
    ]
    fasta, gff = folder / "genome.fa", folder / "genes.gff3"
    fasta.write_text("".join(f">{key}\n{sequence}\n" for key, sequence in contigs))
    gff.write_text("\n".join(genes) + "\n")
    build_bundle(folder / name, name=name, fasta=fasta, genes=gff, assembly=assembly)
    return folder / name
