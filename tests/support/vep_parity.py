"""The parity genome as a bundle, its variants, and what VEP says of them, for tests that compare."""

import csv
import gzip
import io
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from genescale.genomics import terms
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import Pairs
from genescale.genomics.variants import Row, Variants, variants_of_record
from support.shared_data import shared_data

_FOLDER = tempfile.TemporaryDirectory(prefix="genescale-parity-")

Key = tuple[str, str, str]  # variant, transcript without version ("-" for none), number of the allele


@cache
def parity_bundle() -> Bundle:
    """Built once for a test session. It belongs to everybody: do not close it."""
    folder = Path(_FOLDER.name, "parity")
    genome, genes = shared_data("vep-parity/genome.fa.gz"), shared_data("vep-parity/genes.gff3.gz")
    build_bundle(folder, name="parity", fasta=genome, genes=genes)
    return Bundle.open(folder)


def parity_variants(file: str) -> tuple[Variants, list[str]]:
    """All alleles of a VCF file of the parity set, and the ids of its records."""
    bundle = parity_bundle()
    rows: list[Row] = []
    ids: list[str] = []
    for line in gzip.decompress(shared_data(f"vep-parity/{file}").read_bytes()).decode().splitlines():
        if line.startswith("#"):
            continue
        contig, pos, name, ref, alts, _, _, info = line.rstrip("\n").split("\t")[:8]
        fields = dict(part.split("=", 1) for part in info.split(";") if "=" in part)
        rows += variants_of_record(bundle.contig(contig), int(pos), ref, alts.split(","), fields, record=len(ids))
        ids.append(name)
    return Variants.of_rows(rows), ids


def vep_answers(file: str) -> dict[Key, dict[str, str]]:
    """The rows of a truth file by variant, transcript and allele."""
    text = gzip.decompress(shared_data(f"vep-parity/{file}").read_bytes()).decode()
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    return {
        (row["#Uploaded_variation"], row["Feature"].split("@")[0].split(".")[0], row.get("ALLELE_NUM", "1")): row
        for row in rows
    }


def our_answers(
    bundle: Bundle, variants: Variants, ids: list[str], pairs: Pairs
) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Our rows, spelled as VEP spells its columns."""
    names = bundle.texts("transcript_name")
    exons = bundle.array("transcript_exon")
    coding = bundle.array("cds_cdna_end") - bundle.array("cds_cdna_start") + 1
    lengths = {
        "cDNA_position": bundle.array("transcript_cdna_length"),
        "CDS_position": coding + bundle.array("transcript_phase"),
        "Protein_position": bundle.array("transcript_protein")[1:] - bundle.array("transcript_protein")[:-1],
    }
    columns = {"cDNA_position": "cdna", "CDS_position": "cds", "Protein_position": "protein"}
    for row in range(pairs.count):
        variant, t = int(pairs.variant[row]), int(pairs.transcript[row])
        key = (ids[variants.record[variant]], names[t].split(".")[0] if t >= 0 else "-", str(variants.allele[variant]))
        count = int(exons[t + 1] - exons[t]) if t >= 0 else 0
        mask = int(pairs.terms[row])
        answer: dict[str, Any] = {
            "row": row,
            "Consequence": set(terms.names(mask)),
            "IMPACT": terms.impact(mask),
            "VARIANT_CLASS": variants.variant_class(variant),
            "DISTANCE": str(pairs.distance[row]) if pairs.distance[row] >= 0 else "-",
            "EXON": _numbers(pairs.exon_first[row], pairs.exon_last[row], count),
            "INTRON": _numbers(pairs.intron_first[row], pairs.intron_last[row], count - 1),
            "Amino_acids": _change(pairs.peptides(row), merge=True),
            "Codons": _change(pairs.codons(row), merge=False),
            "OverlapBP": str(pairs.overlap_bp[row]) if pairs.overlap_bp[row] else "-",
            "OverlapPC": f"{pairs.overlap_pc[row]:.2f}" if pairs.overlap_bp[row] else "-",
        }
        for column, prefix in columns.items():
            place = _place(int(getattr(pairs, f"{prefix}_start")[row]), int(getattr(pairs, f"{prefix}_end")[row]))
            answer[column] = place if place == "-" else f"{place}/{lengths[column][t]}"
        yield key, answer


def _numbers(first: int, last: int, count: int) -> str:
    if not first:
        return "-"
    return f"{first}/{count}" if first == last else f"{first}-{last}/{count}"


def _place(start: int, end: int) -> str:
    if not start and not end:
        return "-"
    if start == end:
        return str(start)
    low, high = (end, start) if start > end > 0 else (start, end)
    return f"{low or '?'}-{high or '?'}"


def _change(two: tuple[str, str] | None, *, merge: bool) -> str:
    if two is None:
        return "-"
    return two[0] if merge and two[0] == two[1] else f"{two[0] or '-'}/{two[1] or '-'}"
