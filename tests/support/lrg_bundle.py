"""The regions of 562 human genes as a bundle, on either assembly, built once for a run of the tests."""

import tempfile
from functools import cache
from pathlib import Path

from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from support.shared_data import shared_data

_FOLDER = tempfile.TemporaryDirectory(prefix="genescale-lrg-")


@cache
def lrg_bundle(assembly: str) -> Bundle:
    """The genes on GRCh37 or GRCh38. It belongs to everybody: do not close it."""
    fasta, genes = shared_data(f"lrg/{assembly}.regions.fa.gz"), shared_data(f"lrg/{assembly}.genes.gff3.gz")
    build_bundle(Path(_FOLDER.name, assembly), name=f"lrg-{assembly}", fasta=fasta, genes=genes, assembly=assembly)
    return Bundle.open(Path(_FOLDER.name, assembly))
