"""The embedded mitochondrial genome end to end: what a variant does, what it is called, what is known about it."""

import itertools
import json
from collections import defaultdict

import numpy as np
import pytest

from genescale.errors import InvalidInput
from genescale.genomics import embedded_build, mito, terms
from genescale.genomics.bundle import INCOMPLETE_STOP_BY_POLYA, LIST_FILE, Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.knowledge import Knowledge
from genescale.genomics.names import write_names
from genescale.genomics.resolve import resolve, variants_of
from genescale.genomics.variants import Variants, variants_of_record
from support.embedded_bundles import embedded


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return embedded("mitochondrion")


def variants(*records: tuple[int, str, str]) -> Variants:
    rows = [
        row
        for number, (position, ref, alt) in enumerate(records)
        for row in variants_of_record(0, position, ref, [alt], record=number)
    ]
    return Variants.of_rows(rows)


def answers(bundle: Bundle, position: int, ref: str, alt: str, **options) -> dict[str, tuple[str, str, str]]:
    """By gene: terms, name on the transcript, name on the protein."""
    one = variants((position, ref, alt))
    pairs = judge(bundle, one, **options)
    names = write_names(bundle, one, pairs, strict=options.get("strict", False))
    return {
        bundle.text("transcript_name", int(pairs.transcript[row])): (
            ",".join(terms.names(int(pairs.terms[row]))),
            names.hgvsc[row].partition(":")[2],
            names.hgvsp[row].partition(":")[2],
        )
        for row in range(pairs.count)
        if pairs.transcript[row] >= 0
    }


def known(bundle: Bundle, position: int, ref: str, alt: str) -> dict[str, dict[str, object]]:
    """What each source says about a variant."""
    knowledge = Knowledge.open(bundle)
    rows = knowledge.lookup(variants((position, ref, alt)))
    return {name: knowledge[name].values(int(found[0])) for name, found in rows.items()}


def test_what_poly_a_does_to_a_frame_is_in_the_name(bundle: Bundle) -> None:
    """MT-ND1 ends with TA, and poly(A) makes it TAA."""
    assert answers(bundle, 4261, "TA", "T")["MT-ND1"][2] == "p.Ter319="  # T and two of poly(A)
    assert answers(bundle, 4260, "CT", "C")["MT-ND1"][2] == "p.Ter319LysextTer?"  # A and two: lysine, and no stop
    assert answers(bundle, 4260, "CTA", "C")["MT-ND1"][2] == "p.Ter319LysextTer?"  # poly(A) alone
    assert answers(bundle, 4261, "T", "C")["MT-ND1"][2] == "p.Ter319GlnextTer?"


@pytest.mark.parametrize(("ref", "alt"), [("T", "C"), ("T", "A"), ("T", "G")])
def test_a_start_that_is_not_atg_and_stays_one_carries_e14(bundle: Bundle, ref: str, alt: str) -> None:
    one = variants((4472, ref, alt))
    names = write_names(bundle, one, judge(bundle, one))  # MT-ND2 begins with ATT
    said = [(text, int(note)) for text, note in zip(names.hgvsp.texts(), names.hgvsp_exception, strict=True) if text]
    assert [(text.partition(":")[2], note) for text, note in said] == [("p.Met1=", 14)]


EXON = "non_coding_transcript_exon_variant"
# Well-known variants: (position, ref, alt), gene, terms, c. or n., p., ClinVar, dbSNP, words of its conditions
FACTS = [
    ((3243, "A", "G"), "MT-TL1", EXON, "n.14A>G", "", "Pathogenic", 199474657, "stroke"),
    ((8344, "A", "G"), "MT-TK", EXON, "n.50A>G", "", "Conflicting", 118192098, "ragged red fibers"),
    ((11778, "G", "A"), "MT-ND4", "missense_variant", "c.1019G>A", "p.Arg340His", "Pathogenic", 199476112, "Leber"),
    ((3460, "G", "A"), "MT-ND1", "missense_variant", "c.154G>A", "p.Ala52Thr", "Pathogenic", 199476118, "Leber"),
    ((14484, "T", "C"), "MT-ND6", "missense_variant", "c.190A>G", "p.Met64Val", "Pathogenic", 199476104, "Leber"),
    ((8993, "T", "G"), "MT-ATP6", "missense_variant", "c.467T>G", "p.Leu156Arg", "Pathogenic", 199476133, "Leigh"),
    ((8993, "T", "C"), "MT-ATP6", "missense_variant", "c.467T>C", "p.Leu156Pro", "Pathogenic", 199476133, "Leigh"),
    ((9185, "T", "C"), "MT-ATP6", "missense_variant", "c.659T>C", "p.Leu220Pro", "Pathogenic", 199476138, "Leigh"),
    ((13513, "G", "A"), "MT-ND5", "missense_variant", "c.1177G>A", "p.Asp393Asn", "Pathogenic", 267606897, "Leigh"),
    ((1555, "A", "G"), "MT-RNR1", EXON, "n.908A>G", "", "drug response", 267606617, "gentamicin response"),
    ((1494, "C", "T"), "MT-RNR1", EXON, "n.847C>T", "", "drug response", 267606619, "gentamicin response"),
    ((1095, "T", "C"), "MT-RNR1", EXON, "n.448T>C", "", "drug response", 267606618, "gentamicin response"),
    (
        (7445, "A", "G"),
        "MT-CO1",
        "stop_retained_variant",
        "c.1542A>G",
        "p.Ter514=",
        "Pathogenic",
        199474818,
        "Deafness",
    ),
]


@pytest.mark.parametrize(("variant", "gene", "effect", "coding", "protein", "label", "rs", "words"), FACTS)
def test_clinical_facts(bundle, variant, gene, effect, coding, protein, label, rs, words):
    assert answers(bundle, *variant) == {gene: (effect, coding, protein)}
    said = known(bundle, *variant)
    assert said["clinvar"]["significance"].startswith(label)
    assert words in said["clinvar"]["conditions"]
    assert said["hmtvar"]["rs"] == rs
    assert said["hmtvar"]["locus"] == gene


@pytest.mark.parametrize(
    ("position", "ref", "alt", "share"), [(73, "A", "G", 0.73), (263, "A", "G", 0.91), (16519, "T", "C", 0.61)]
)
def test_polymorphisms_of_the_d_loop(bundle, position, ref, alt, share):
    assert answers(bundle, position, ref, alt) == {}
    said = known(bundle, position, ref, alt)
    assert said["hmtvar"]["locus"] == "MT-DLOOP"
    assert said["hmtvar"]["frequency_healthy"] == pytest.approx(share, abs=0.005)
    assert said["gnomad"]["af_hom"] > 0.5


def test_a_tier_is_no_clinical_class(bundle):
    knowledge = Knowledge.open(bundle)
    assert "tier" in knowledge["hmtvar"].columns
    assert "no clinical" in knowledge["hmtvar"].columns["tier"].meaning
    tiers, labels = (np.bincount(knowledge[s].column(c)) for s, c in (("hmtvar", "tier"), ("clinvar", "significance")))
    assert tiers[1:].max() > 18_000  # "pathogenic"
    assert labels[1:].sum() == 535


def test_overlapping_genes_give_two_rows(bundle):
    assert answers(bundle, 8550, "A", "G") == {
        "MT-ATP8": ("missense_variant", "c.185A>G", "p.His62Arg"),
        "MT-ATP6": ("synonymous_variant", "c.24A>G", "p.Ser8="),
    }
    assert answers(bundle, 10763, "C", "T").keys() == {"MT-ND4L", "MT-ND4"}
    assert answers(bundle, 4330, "T", "C") == {"MT-TI": (EXON, "n.68T>C", ""), "MT-TQ": (EXON, "n.71A>G", "")}
    said = known(bundle, 8550, "A", "G")
    assert (said["hmtvar"]["locus"], said["hmtvar_other_gene"]["locus"]) == ("MT-ATP8", "MT-ATP6")


@pytest.mark.parametrize(
    ("position", "ref", "alt", "gene"),
    [(9207, "A", "G", "MT-CO3"), (3309, "A", "G", "MT-ND1"), (4472, "T", "C", "MT-ND2"), (14673, "T", "C", "MT-ND6")],
)
def test_another_codon_that_starts_a_protein(bundle, position, ref, alt, gene):
    """ATA, ATC, ATT, ATG and GTG all start proteins here, and each gives Met."""
    effect, _, protein = answers(bundle, position, ref, alt)[gene]
    assert effect == "start_retained_variant"
    assert protein == "p.Met1="
    assert answers(bundle, 4470, "A", "G")["MT-ND2"][::2] == ("start_lost", "p.Met1?")


def test_stops_that_polyadenylation_completes(bundle):
    flags = bundle.array("transcript_flags")
    completed = {bundle.text("transcript_name", i) for i in range(37) if flags[i] & INCOMPLETE_STOP_BY_POLYA}
    assert completed == {"MT-ND1", "MT-ND2", "MT-CO3", "MT-ND3", "MT-ND4", "MT-CYB"}
    assert answers(bundle, 5511, "T", "C")["MT-ND2"][0] == "stop_lost"
    strict = answers(bundle, 5511, "T", "C", strict=True)["MT-ND2"][0]
    assert strict == "incomplete_terminal_codon_variant,coding_sequence_variant"


def test_conservation_stands_in_the_right_rows(bundle):
    """In the database it does not; all variants of one position must have one score."""
    knowledge = Knowledge.open(bundle)["hmtvar"]
    scores = defaultdict(set)
    for row, (cons, phylop) in enumerate(
        zip(knowledge.column("phastcons_100way").tolist(), knowledge.column("phylop_100way").tolist(), strict=True)
    ):
        spelling = knowledge.spelling(row)
        if len(spelling.ref) == len(spelling.alt) == 1:
            scores[spelling.start].add((cons, phylop))
    assert len(scores) > 14_000
    assert all(len(found) == 1 for found in scores.values())


def test_predictions_of_another_amino_acid_are_left_out(bundle):
    """HmtVar reads m.8702C>A as T59D, from a wrong base in the codon; the genome says T59N."""
    said = known(bundle, 8702, "C", "A")["hmtvar"]
    assert answers(bundle, 8702, "C", "A")["MT-ATP6"][2] == "p.Thr59Asn"
    assert "frequency_healthy" in said
    assert not {"tier", "mutpred", "mutpred_class", "disease_score"} & said.keys()
    neighbour = known(bundle, 8699, "T", "C")["hmtvar"]
    assert {"tier", "mutpred", "mutpred_class", "disease_score"} <= neighbour.keys()


def test_gnomad_counts(bundle):
    said = known(bundle, 3243, "A", "G")["gnomad"]
    assert said["filter"] == "PASS"
    assert said["ac_het"] > said["ac_hom"]  # a heteroplasmic disease variant
    common = known(bundle, 73, "A", "G")["gnomad"]
    by_population = {name: count for name, count in common.items() if name.startswith("ac_hom_")}
    assert sum(by_population.values()) == common["ac_hom"] == 40_199
    assert common["af_hom_afr"] > 0.9


def test_nothing_is_known_at_the_placeholder(bundle):
    for source in Knowledge.open(bundle).values():
        assert all(source.spelling(row).start != mito.PLACEHOLDER for row in range(source.rows)), source.name


def test_insertions_are_found_however_they_are_written(bundle):
    left = known(bundle, 302, "A", "AC")
    assert left["gnomad"]["ac_hom"] > 0
    assert known(bundle, 309, "C", "CC") == left  # 309.1C in forensic custom


def test_the_list_says_where_from(bundle):
    listing = bundle.listing
    assert bundle.kind == "whole"
    assert not bundle.synthetic
    assert bundle.contigs[0].md5 == mito.SEQUENCE_MD5
    assert bundle.contigs[0].circular
    assert bundle.contigs[0].codon_table == mito.CODON_TABLE
    for name in ("chrM", "M", "chrMT", mito.ACCESSION):
        assert bundle.contig(name) == 0
    assert "research use" in listing["about"]["use"]
    assert {source["licence"] for source in listing["sources"] if source["role"] == "origin"} >= {"MIT", "CC0"}
    assert all(len(source["sha256"]) == 64 for source in listing["sources"])
    assert all(table["licence"] and table["date"] for table in bundle.facts.values())
    assert not listing["dropped"]
    assert all(table["rejected"] == {} and table["merged"] == 0 for table in bundle.facts.values())


def test_the_same_file_gives_the_same_bundle(bundle, tmp_path):
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "old.npy").touch()  # whatever is there is replaced
    again = embedded_build.build("mitochondrion", tmp_path / "again")
    assert (again / LIST_FILE).read_bytes() == (bundle.path / LIST_FILE).read_bytes()
    for name, entry in json.loads((again / LIST_FILE).read_text())["arrays"].items():
        assert entry["sha256"] == bundle.arrays[name]["sha256"]
    assert not (again / "old.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


# ---- every substitution, against a translation that knows nothing of the engine ----

COMPLEMENT = str.maketrans("ACGT", "TGCA")
# NCBI's table 2 in its own order of bases, TCAG
AMINO_ACIDS = "FFLLSSSSYY**CCWWLLLLPPPPHHQQRRRRIIMMTTTTNNKKSS**VVVVAAAADDEEGGGG"
LETTERS = dict(zip(map("".join, itertools.product("TCAG", repeat=3)), AMINO_ACIDS, strict=True))
STARTS = {"ATT", "ATC", "ATA", "ATG", "GTG"}


def slow_answer(gene: mito.Gene, position: int, alt: str) -> str:
    """The term of a substitution in a gene."""
    if not gene.protein:
        return EXON
    bases = list(mito.sequence()[gene.start - 1 : gene.end])
    changed = bases.copy()
    changed[position - gene.start] = alt
    before, after = "".join(bases), "".join(changed)
    if gene.strand == "-":
        before, after = before.translate(COMPLEMENT)[::-1], after.translate(COMPLEMENT)[::-1]
        place = gene.end - position
    else:
        place = position - gene.start
    tail = "A" * (-len(before) % 3)  # poly(A)
    codon = place // 3 * 3
    old, new = ((text + tail)[codon : codon + 3] for text in (before, after))
    if codon == 0:
        lost = "stop_gained,start_lost" if LETTERS[new] == "*" else "start_lost"
        return "start_retained_variant" if new in STARTS else lost
    if LETTERS[old] == LETTERS[new]:
        return "stop_retained_variant" if LETTERS[old] == "*" else "synonymous_variant"
    if LETTERS[old] == "*":
        return "stop_lost"
    return "stop_gained" if LETTERS[new] == "*" else "missense_variant"


def compare(bundle: Bundle, places: list[int]) -> int:
    """Judge every substitution at these positions in one batch; returns how many rows were compared."""
    sequence = mito.sequence()
    records = [(p, sequence[p - 1], alt) for p in places for alt in "ACGT" if sequence[p - 1] not in (alt, "N")]
    batch = variants(*records)
    pairs = judge(bundle, batch)
    found = defaultdict(dict)
    for row in range(pairs.count):
        if pairs.transcript[row] >= 0:
            name = bundle.text("transcript_name", int(pairs.transcript[row]))
            found[int(pairs.variant[row])][name] = ",".join(terms.names(int(pairs.terms[row])))
    rows = 0
    for number, (position, ref, alt) in enumerate(records):
        expected = {
            gene.name: slow_answer(gene, position, alt) for gene in mito.genes() if gene.start <= position <= gene.end
        }
        ours = found[number]
        assert ours.keys() == expected.keys(), (position, ref, alt)
        for name, term in expected.items():
            assert ours[name] == term, (position, ref, alt, name)
            rows += 1
    return rows


def test_every_substitution(bundle):
    assert compare(bundle, list(range(1, mito.LENGTH + 1))) > 46_000


# ---- the origin ----


@pytest.mark.parametrize("name", ["m.16569_1insA", "m.16568_2del", "m.16569_1del", "m.16567_3delinsGG", "m.1G>A"])
def test_names_across_the_origin(bundle, name):
    """Names to VCF variants and back: VCF counts on behind the last base, HGVS begins again."""
    resolved = resolve(bundle, f"{mito.ACCESSION}:{name}")
    assert resolved.variants[0].pos <= mito.LENGTH
    crossing = variants_of([resolved])
    nothing = judge(bundle, crossing)
    written = write_names(bundle, crossing, nothing, which=("hgvsg",)).hgvsg
    assert written.texts() == [f"MT:{name}"]
    assert nothing.count <= 1  # the D-loop is no gene


def test_no_variant_starts_at_the_placeholder(bundle):
    for name in ("m.3107del", "m.3107N>A"):
        with pytest.raises(InvalidInput, match="placeholder"):
            resolve(bundle, f"{mito.ACCESSION}:{name}")
