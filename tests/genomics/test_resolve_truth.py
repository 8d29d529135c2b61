"""Names that others wrote resolve to the variants that they were written for: Ensembl VEP 115 and ClinVar of 2016."""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from genescale.errors import InvalidInput
from genescale.genomics.bundle import Bundle
from genescale.genomics.places import GenomicEdit, VcfVariant, as_vcf
from genescale.genomics.resolve import resolve, resolve_spdi
from genescale.genomics.spdi import parse_spdi
from support.lrg_bundle import lrg_bundle
from support.shared_data import shared_data
from support.vep_parity import parity_bundle


@pytest.fixture(scope="module")
def parity() -> Bundle:
    return parity_bundle()


@pytest.fixture(scope="module")
def human() -> Bundle:
    return lrg_bundle("GRCh37")


def vep_rows() -> Iterator[tuple[dict[str, str], tuple[str, int, str, str]]]:
    """What VEP says of each variant and transcript, with the VCF record."""
    records: dict[str, tuple[str, int, str, str]] = {}
    with gzip.open(shared_data("vep-parity/main.vcf.gz"), "rt") as lines:
        for line in lines:
            if not line.startswith("#"):
                chrom, pos, name, ref, alt = line.split("\t")[:5]
                records[name] = (chrom, int(pos), ref, alt)
    with gzip.open(shared_data("vep-parity/main.vep115.tsv.gz"), "rt") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row, records[row["#Uploaded_variation"]]


def normal(bundle: Bundle, chrom: str, pos: int, ref: str, alt: str) -> VcfVariant:
    return as_vcf(bundle, GenomicEdit(bundle.contig_named(chrom), pos, pos + len(ref) - 1, alt))


def outcome(bundle: Bundle, name: str, wanted: VcfVariant) -> str:
    try:
        found = resolve(bundle, name)
    except InvalidInput as error:
        return error.code
    if found.ambiguous:
        return "ambiguous"
    return "same" if found.variants == (wanted,) else "other"


def judged_names(parity: Bundle, every: int) -> tuple[Counter[str], Counter[str]]:
    """Outcomes of VEP's HGVSc strings: on transcripts whose CDS starts in phase 0, and on the others' substitutions."""
    phase = dict(zip(parity.texts("transcript_name"), parity.array("transcript_phase").tolist(), strict=True))
    plain: Counter[str] = Counter()
    padded: Counter[str] = Counter()
    for number, (row, record) in enumerate(row for row in vep_rows() if row[0]["HGVSc"] != "-"):
        if number % every:
            continue
        accession = row["HGVSc"].partition(":")[0]
        # On transcripts with a start phase VEP counts the padding of substitutions, and of nothing else.
        counts = padded if phase[accession] and ">" in row["HGVSc"] and ":c." in row["HGVSc"] else plain
        counts[outcome(parity, row["HGVSc"], normal(parity, *record))] += 1
    return plain, padded


def test_names_on_transcripts_from_vep_resolve_to_their_variants(parity: Bundle) -> None:
    plain, _padded = judged_names(parity, every=12)
    assert plain.keys() == {"same"}
    assert plain.total() > 1_900


@pytest.mark.slow
def test_every_name_on_a_transcript_from_vep(parity: Bundle) -> None:
    plain, padded = judged_names(parity, every=1)
    assert plain.keys() == {"same"}
    assert plain.total() > 23_900
    assert padded["same"] == 0 or padded["same"] < padded.total() / 2


def test_genomic_names_and_spdi_from_vep_resolve_to_their_variants(parity: Bundle) -> None:
    seen: set[str] = set()
    for row, record in vep_rows():
        name = row["#Uploaded_variation"]
        if name in seen or len(seen) % 6:
            seen.add(name)
            continue
        seen.add(name)
        wanted = normal(parity, *record)
        if row["HGVSg"] != "-":
            assert resolve(parity, row["HGVSg"]).variants == (wanted,)
        if row["SPDI"] != "-":
            assert resolve_spdi(parity, parse_spdi(row["SPDI"])).variants == (wanted,)
        assert resolve(parity, "-".join(map(str, record))).variants == (wanted,)
    assert len(seen) > 9_000


# ClinVar's table has insertions whose POS is too small by one to three bases: for the 318 of them that are frameshifts,
# its own hgvs_p agrees with the variant of hgvs_c in 315 and never with the row alone. So insertions are counted apart.
def clinvar(human: Bundle) -> tuple[Counter[str], Counter[str]]:
    names = set(human.texts("transcript_name"))
    insertions: Counter[str] = Counter()
    others: Counter[str] = Counter()
    path = shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz")
    csv.field_size_limit(1 << 30)
    with gzip.open(path, "rt") as lines:
        rows = (
            row
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["hgvs_c"].partition(":")[0] in names
        )
        for row in rows:
            pos, ref = int(row["pos"]), row["ref"]
            if human.sequence(human.contig(row["chrom"]), pos, pos + len(ref) - 1) is None:
                continue
            counts = insertions if len(row["alt"]) > len(ref) else others
            counts[outcome(human, row["hgvs_c"], normal(human, row["chrom"], pos, ref, row["alt"]))] += 1
    return insertions, others


@pytest.mark.slow
def test_every_name_from_clinvar(human: Bundle) -> None:
    insertions, others = clinvar(human)
    assert others["same"] / others.total() > 0.994
    assert insertions["same"] / insertions.total() > 0.74
    assert insertions.total() + others.total() > 34_790


@pytest.mark.slow
def test_the_variant_of_a_clinvar_row_is_among_the_candidates_of_its_protein_name(human: Bundle) -> None:
    names = set(human.texts("transcript_name"))
    simple = re.compile(r"p\.[A-Z][a-z]{2}[0-9]+(?:[A-Z][a-z]{2}|=)")
    csv.field_size_limit(1 << 30)
    counts: Counter[str] = Counter()
    with gzip.open(shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz"), "rt") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            transcript, protein = row["hgvs_c"].partition(":")[0], row["hgvs_p"].partition(":")[2]
            if transcript not in names or not simple.fullmatch(protein) or len(row["ref"] + row["alt"]) != 2:
                continue
            pos = int(row["pos"])
            wanted = VcfVariant(human.contig(row["chrom"]), row["chrom"], pos, row["ref"], row["alt"])
            try:
                found = resolve(human, f"{transcript}:{protein}")
            except InvalidInput as error:
                counts[error.code] += 1
            else:
                counts["among" if wanted in found.variants else "not among"] += 1
    assert counts.total() > 23_000
    assert counts["among"] / counts.total() > 0.996
    assert counts.keys() == {"among", "not among", "ref_mismatch"}
