"""The embedded panel of clinical genes: real sequence, real transcripts, labels that were carried over to GRCh38."""

import csv
import gzip
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from genescale.errors import OutsideReference
from genescale.genomics import compact, embedded_build, terms
from genescale.genomics.annotate import Annotator, Options
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.knowledge import Knowledge
from genescale.genomics.knowledge_build import Fact
from genescale.genomics.names import write_names
from genescale.genomics.references import verify
from genescale.genomics.resolve import resolve, variants_of
from genescale.genomics.variants import OUTSIDE_REFERENCE, Variants, variants_of_record
from genescale.genomics.vcf import read_header
from support.embedded_bundles import embedded
from support.lrg_bundle import lrg_bundle
from support.shared_data import shared_data


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return embedded("clinical-panel")


@pytest.fixture(scope="module")
def held() -> compact.Compact:
    return compact.read(embedded_build.EMBEDDED["clinical-panel"].file)


def facts(held: compact.Compact) -> list[Fact]:
    (_, found), *_ = embedded_build.EMBEDDED["clinical-panel"].facts(held)
    return [fact for fact in found if isinstance(fact, Fact)]


def test_what_there_is(bundle, held):
    assert held.about["counts"]["regions"] == len(held.texts("region_lrg")) == 562
    assert bundle.array("gene_start").size == 562
    assert bundle.array("transcript_start").size == 664
    assert bundle.array("segment_start").size == 546  # regions that overlap are stored once
    assert int((bundle.array("segment_end") - bundle.array("segment_start")).sum()) == 46_037_063
    assert (bundle.kind, bundle.assembly, bundle.synthetic) == ("regions", "GRCh38", False)
    assert bundle.contig("chr17") == bundle.contig("17") >= 0
    assert bundle.listing["about"]["counts"] == held.about["counts"]
    assert bundle.facts["clinvar"]["date"] == "2016-06-05"
    assert (bundle.facts["clinvar"]["rejected"], bundle.facts["clinvar"]["merged"]) == ({}, 0)


def test_every_row_of_clinvar_is_accounted_for(held):
    counts = held.about["counts"]
    outcomes = ("carried_over", "outside_the_regions", "at_a_difference_of_the_assemblies")
    assert sum(counts[f"clinvar_{outcome}"] for outcome in outcomes) == counts["clinvar_rows"] == 94_107
    assert counts["clinvar_carried_over"] + counts["clinvar_at_a_difference_of_the_assemblies"] == 46_567


def test_proteins(bundle):
    """Of 662 coding transcripts 631 translate to the protein of their record; the others have known differences."""
    protein, offset = bundle.array("protein").tobytes(), bundle.array("transcript_protein").tolist()
    coding = np.flatnonzero(bundle.array("coding_start") > 0).tolist()
    assert len(coding) == 662
    texts = {bundle.text("transcript_name", i): protein[offset[i] : offset[i + 1]] for i in coding}
    inner = {name for name, text in texts.items() if b"*" in text}
    without_start = {name for name, text in texts.items() if not text.startswith(b"M")}
    assert len(inner | without_start) <= 31
    assert texts["NM_000546.5"][:10] == b"MEEPQSDPSV"  # p53
    assert len(texts["NM_007294.3"]) == 1863  # BRCA1
    assert len(texts["NM_000059.3"]) == 3418  # BRCA2
    assert len(texts["NM_000492.3"]) == 1480  # CFTR


@pytest.mark.parametrize(
    ("name", "place", "effect", "protein", "significance"),
    [
        ("NM_007294.3:c.68_69del", (17, 43124027, "ACT", "A"), "frameshift_variant", "p.Glu23ValfsTer17", "Pathogenic"),
        ("NM_000059.3:c.5946del", (13, 32340300, "GT", "G"), "frameshift_variant", "p.Ser1982ArgfsTer22", "Pathogenic"),
        ("NM_000546.5:c.524G>A", (17, 7675088, "C", "T"), "missense_variant", "p.Arg175His", "Pathogenic"),
        ("NM_000492.3:c.1521_1523del", (7, 117559590, "ATCT", "A"), "inframe_deletion", "p.Phe508del", "Pathogenic"),
    ],
)
def test_well_known_variants(bundle, name, place, effect, protein, significance):
    resolved = resolve(bundle, name)
    (variant,) = resolved.variants
    assert (int(variant.chrom), variant.pos, variant.ref, variant.alt) == place
    variants = variants_of([resolved])
    pairs = judge(bundle, variants)
    names = write_names(bundle, variants, pairs)
    rows = [row for row in range(pairs.count) if names.hgvsc[row] == name]
    assert [terms.names(int(pairs.terms[row])) for row in rows] == [(effect,)]
    assert names.hgvsp[rows[0]].partition(":")[2] == protein
    knowledge = Knowledge.open(bundle)
    label = knowledge["clinvar"].values(int(knowledge.lookup(variants)["clinvar"][0]))
    assert label["significance"].startswith(significance)
    assert label["significance_class"] == "pathogenic"
    assert label["stars"] >= 2


def test_names_of_lrg_records(bundle):
    resolved = resolve(bundle, "LRG_292t1:c.68_69del")
    assert resolved.variants == resolve(bundle, "NM_007294.3:c.68_69del").variants
    assert [note.text for note in resolved.notes] == ["LRG_292t1 is NM_007294.3"]
    assert all(alias.startswith("LRG_") for alias in bundle.texts("transcript_alias"))
    assert not list(verify(bundle.path))


def test_a_protein_name_never_lacks_its_sequence(bundle):
    """Where no protein accession is known, the name stands on the transcript's."""
    variants = variants_of([resolve(bundle, "NM_000546.5:c.524G>A")])
    names = write_names(bundle, variants, judge(bundle, variants)).hgvsp.texts()
    assert len(names) == 8
    assert {"NP_000537.3:p.Arg175His", "NM_001126112.2:p.Arg175His"} <= set(names)


def test_outside_the_regions(bundle):
    variants = Variants.of_rows(variants_of_record(bundle.contig("17"), 1_000_000, "A", ["G"]))
    pairs = judge(bundle, variants)
    assert variants.flags[0] & OUTSIDE_REFERENCE
    assert pairs.count == 0  # neither a gene nor intergenic: nobody knows
    with pytest.raises(OutsideReference):
        resolve(bundle, "17-1000000-A-G")


@pytest.mark.parametrize(
    ("start", "end", "kind", "terms_of_brca1"),
    [
        (43_000_000, 43_200_000, "DEL", "transcript_ablation"),  # begins before the region
        (43_030_000, 43_300_000, "DEL", "transcript_ablation"),  # ends behind it
        (43_000_000, 43_300_000, "DUP", "transcript_amplification"),
        (43_215_000, 43_300_000, "DEL", ""),  # touches the region, but no gene of it
        (1_000_000, 1_100_000, "DEL", ""),
    ],
)
def test_structural_variants_larger_than_a_region(bundle, start, end, kind, terms_of_brca1):
    """A gene that lies in known sequence can be lost together with what nobody knows."""
    rows = variants_of_record(bundle.contig("17"), start, "N", [f"<{kind}>"], {"SVTYPE": kind, "END": str(end)})
    variants = Variants.of_rows(rows)
    pairs = judge(bundle, variants)
    found = [
        (bundle.text("transcript_name", int(pairs.transcript[row])), ",".join(terms.names(int(pairs.terms[row]))))
        for row in range(pairs.count)
    ]
    assert found == ([("NM_007294.3", terms_of_brca1)] if terms_of_brca1 else [])
    assert variants.flags[0] & OUTSIDE_REFERENCE


def test_no_line_goes_unanswered(bundle):
    """Each line of a file has rows or a reason, also where only the judge sees that it leaves the region."""
    head = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    places = [(43_000_000, 43_200_000), (43_215_000, 43_300_000), (1_000_000, 1_100_000)]
    lines = b"".join(b"chr17\t%d\t.\tN\t<DEL>\t.\t.\tSVTYPE=DEL;END=%d\n" % place for place in places)
    annotator = Annotator(bundle, Options(fields=("symbol", "consequence")))
    annotator.header(read_header(head))
    answered = b"".join(bytes(piece) for piece in annotator.block(lines)).splitlines()
    assert b"CSQ=BRCA1|transcript_ablation" in answered[0]
    assert all(line.endswith(b"GENESCALE_SKIPPED=outside_reference") for line in answered[1:])
    assert annotator.tally().reasons["outside_reference"] == 2


def test_every_label_has_the_bases_of_the_reference(bundle, held):
    said = facts(held)
    sample = random.Random(3).sample(said, 3000)
    for fact in sample:
        contig = bundle.contig(fact.contig)
        found = bundle.sequence(contig, fact.position, fact.position + len(fact.ref) - 1)
        assert found == fact.ref.encode(), fact[:5]
    assert len({fact[1:5] for fact in said}) == len(said) == 46_529


def test_pathogenic_truncating_variants_are_high(bundle, held):
    """Frameshifts within a coding exon and new stops, judged pathogenic with a star, come out HIGH."""
    chosen = [fact for fact in facts(held) if fact.values[1] == "pathogenic" and int(str(fact.values[3])) >= 1]
    rows = [
        row
        for number, fact in enumerate(chosen)
        for row in variants_of_record(bundle.contig(fact.contig), fact.position, fact.ref, [fact.alt], record=number)
    ]
    pairs = judge(bundle, Variants.of_rows(rows))
    masks: dict[int, int] = defaultdict(int)
    for variant, mask in zip(pairs.variant[: pairs.count].tolist(), pairs.terms[: pairs.count].tolist(), strict=True):
        masks[variant] |= mask
    impacts = Counter(terms.impact(mask) for mask in masks.values())
    assert impacts["HIGH"] > 3500  # of some 5,600
    shifting = [i for i, row in enumerate(rows) if (len(row.alt) - len(row.ref)) % 3]
    assert sum(terms.impact(masks[i]) == "HIGH" for i in shifting) >= 0.985 * len(shifting)


# ---- against the data that the panel was made from ----


def names_on_transcripts(bundle: Bundle, records: list[tuple[str, int, str, str]]) -> list[set[str]]:
    """Our names of each VCF record on all transcripts."""
    rows = [
        row
        for number, (contig, position, ref, alt) in enumerate(records)
        for row in variants_of_record(bundle.contig(contig), position, ref, [alt], record=number)
    ]
    variants = Variants.of_rows(rows)
    pairs = judge(bundle, variants)
    found: list[set[str]] = [set() for _ in records]
    for row, name in enumerate(write_names(bundle, variants, pairs, which=("hgvsc",)).hgvsc.texts()):
        if name:
            found[int(variants.record[int(pairs.variant[row])])].add(name)
    return found


def places_on_grch37() -> dict[int, list[tuple[str, int, str, str]]]:
    """Where ClinVar has its variants, by its number of them."""
    csv.field_size_limit(1 << 30)
    found: dict[int, list[tuple[str, int, str, str]]] = defaultdict(list)
    with gzip.open(shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz"), "rt", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            found[int(row["measureset_id"])].append((row["chrom"], int(row["pos"]), row["ref"], row["alt"]))
    return found


def lengths_of(bundle: Bundle) -> dict[str, tuple[int, int]]:
    """The length of each transcript, spliced and not."""
    spliced = bundle.array("transcript_cdna_length").tolist()
    whole = (bundle.array("transcript_end") - bundle.array("transcript_start")).tolist()
    return dict(zip(bundle.texts("transcript_name"), zip(spliced, whole, strict=True), strict=True))


@pytest.fixture(scope="module")
def twin() -> Bundle:
    """The same panel on GRCh37."""
    return lrg_bundle("GRCh37")


@pytest.mark.slow
def test_carried_over_variants_keep_their_names(bundle, twin, held):
    """The same variant has the same name on a transcript, whatever the assembly, where the assemblies agree on it."""
    before, said = places_on_grch37(), facts(held)
    old = [(i, record) for i, fact in enumerate(said) for record in before[int(fact.values[5])]]
    there: list[set[str]] = [set() for _ in said]
    for (i, _), names in zip(old, names_on_transcripts(twin, [record for _, record in old]), strict=True):
        there[i] |= names
    here = names_on_transcripts(bundle, [fact[1:5] for fact in said])
    lengths, others = lengths_of(bundle), lengths_of(twin)
    agree = {name for name in lengths if lengths[name] == others[name]}
    different = [
        (said[i][1:5], name, there[i])
        for i in range(len(said))
        for name in here[i] - there[i]
        if name.partition(":")[0] in agree
    ]
    assert different == []
    assert len(agree) > 620
    assert sum(map(bool, here)) > 46_000
