"""Names resolved on a small made-up genome whose every coordinate is known by hand."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from genescale.errors import InvalidInput, OutsideReference, ReferenceMismatch, UnknownName
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.hgvs_parser import HgvsSyntaxError
from genescale.genomics.hgvs_parts import Phase
from genescale.genomics.places import reverse_complement
from genescale.genomics.resolve import Resolved, resolve, variants_of

# Exons of both transcripts of `1` (0-based starts would only confuse: these are 1-based and inclusive).
EXONS = ((101, 150), (201, 240), (301, 360))
CDS = (121, 320)  # 30 + 40 + 20 = 90 bases, 30 codons

PROTEIN = "MRGCSWLKDEFHIQVAPTYNGRSLKCMEW*"
CODON = {
    "A": "GCA", "R": "CGC", "N": "AAC", "D": "GAC", "C": "TGT", "Q": "CAG", "E": "GAA", "G": "GGC", "H": "CAC",
    "I": "ATA", "L": "CTG", "K": "AAA", "M": "ATG", "F": "TTC", "P": "CCG", "S": "TCA", "T": "ACC", "W": "TGG",
    "Y": "TAC", "V": "GTA", "*": "TGA",
}  # fmt: skip


def genome() -> dict[str, str]:
    draw = random.Random(5)
    bases = [draw.choice("ACGT") for _ in range(600)]
    coding = [p for a, z in EXONS for p in range(a, z + 1) if CDS[0] <= p <= CDS[1]]
    for position, base in zip(coding, "".join(CODON[r] for r in PROTEIN), strict=True):
        bases[position - 1] = base
    bases[48] = "T"
    bases[49:79] = "CAG" * 5 + "TTTTTTACACACACG"  # 50-64 five CAG, 65-70 six T, 71-78 ACACACAC
    plus = "".join(bases)
    circle = [draw.choice("ACGT") for _ in range(3200)]
    circle[3106] = "N"
    circle[3104:3106] = "CC"
    circle[3107:3109] = "TG"
    # "2" is the other strand of "1", so that its transcript reads the same in the other direction.
    return {"1": plus, "2": reverse_complement(plus), "MT": "".join(circle)}


GENOME = genome()


def gff() -> str:
    lines = ["##gff-version 3"]

    def transcript(
        contig: str, name: str, gene: str, strand: str, exons: list[tuple[int, int]], cds: tuple[int, int] | None
    ) -> None:
        biotype = "protein_coding" if cds else "lncRNA"
        span = f"{exons[0][0]}\t{exons[-1][1]}\t.\t{strand}\t."
        lines.append(f"{contig}\tx\tgene\t{span}\tID=gene:{gene};Name={gene};gene_id={gene};biotype={biotype}")
        ident = f"ID=transcript:{name};Parent=gene:{gene};transcript_id={name};biotype={biotype}"
        lines.append(f"{contig}\tx\ttranscript\t{span}\t{ident}")
        lines.extend(f"{contig}\tx\texon\t{a}\t{z}\t.\t{strand}\t.\tParent=transcript:{name}" for a, z in exons)
        if cds:
            parts = [(max(a, cds[0]), min(z, cds[1])) for a, z in exons if z >= cds[0] and a <= cds[1]]
            lines.extend(
                f"{contig}\tx\tCDS\t{a}\t{z}\t.\t{strand}\t0\tParent=transcript:{name};protein_id=NP_{name[3:]}"
                for a, z in parts
            )

    mirrored = [(601 - z, 601 - a) for a, z in reversed(EXONS)]
    transcript("1", "NM_1.2", "PLUS", "+", list(EXONS), CDS)
    transcript("2", "NM_2.1", "MINUS", "-", mirrored, (601 - CDS[1], 601 - CDS[0]))
    transcript("1", "NR_3.1", "SILENT", "+", [(401, 420), (431, 450)], None)
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("resolve")
    (folder / "g.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in GENOME.items()))
    (folder / "g.gff3").write_text(gff())
    build_bundle(folder / "b", name="tiny", fasta=folder / "g.fa", genes=folder / "g.gff3")
    with Bundle.open(folder / "b") as opened:
        yield opened


def edited(bundle: Bundle, found: Resolved) -> str:
    """The contig with the only variant of `found` put in."""
    (variant,) = found.variants
    bases = GENOME[variant.chrom]
    begin = variant.pos - 1
    assert bases[begin : begin + len(variant.ref)] == variant.ref
    return bases[:begin] + variant.alt + bases[begin + len(variant.ref) :]


def replaced(low: int, high: int, alt: str, contig: str = "1") -> str:
    return GENOME[contig][: low - 1] + alt + GENOME[contig][high:]


def base(position: int) -> str:
    return GENOME["1"][position - 1]


def other(letter: str) -> str:
    return {"A": "C", "C": "G", "G": "T", "T": "A"}[letter]


# --- positions --------------------------------------------------------------------------------------------------------

PLACES = [
    ("c.1", 121),
    ("c.30", 150),
    ("c.31", 201),
    ("c.90", 320),
    ("c.-1", 120),
    ("c.-20", 101),
    ("c.*1", 321),
    ("c.*40", 360),
    ("c.30+1", 151),
    ("c.30+25", 175),
    ("c.31-25", 176),
    ("c.31-1", 200),
    ("c.70+30", 270),
    ("c.71-30", 271),
    ("c.-25", 96),
    ("c.*45", 365),
    ("n.1", 101),
    ("n.50+3", 153),
    ("n.150", 360),
]


@pytest.mark.parametrize(("place", "position"), PLACES)
def test_a_position_is_the_same_base_on_either_strand(bundle: Bundle, place: str, position: int) -> None:
    ref, alt = base(position), other(base(position))
    plus = resolve(bundle, f"NM_1.2:{place}{ref}>{alt}")
    assert edited(bundle, plus) == replaced(position, position, alt)
    minus = resolve(bundle, f"NM_2.1:{place}{ref}>{alt}")
    assert edited(bundle, minus) == reverse_complement(replaced(position, position, alt))


@pytest.mark.parametrize(
    ("change", "low", "high", "alt"),
    [
        ("c.10_12del", 130, 132, ""),
        ("c.29_30+2del", 149, 152, ""),
        ("c.10_11insGATTACA", 131, 130, "GATTACA-at-130"),
        ("c.30_30+1insGG", 151, 150, "GG-at-150"),
        ("c.31-1_31insGG", 201, 200, "GG-at-200"),
        ("c.10_12dup", 133, 132, "=130-132"),
        ("c.10_12delinsTTTT", 130, 132, "TTTT"),
        ("c.10_13inv", 130, 133, "~130-133"),
        ("c.10_11ins20_25", 131, 130, "=140-145"),
        ("c.10_11ins20_25inv", 131, 130, "~140-145"),
        ("c.10_11ins[20_25]", 131, 130, "=140-145"),
    ],
)
def test_edits_change_the_same_bases_on_either_strand(
    bundle: Bundle, change: str, low: int, high: int, alt: str
) -> None:
    bases = alt.partition("-at-")[0]
    if alt[:1] in "=~" and alt:
        a, z = (int(x) for x in alt[1:].split("-"))
        bases = GENOME["1"][a - 1 : z]
        bases = reverse_complement(bases) if alt[0] == "~" else bases
    wanted = replaced(low, high, bases)
    assert edited(bundle, resolve(bundle, f"NM_1.2:{change}")) == wanted
    assert edited(bundle, resolve(bundle, f"NM_2.1:{change}")) == reverse_complement(wanted)


def test_an_rna_name_is_a_candidate_on_dna(bundle: Bundle) -> None:
    found = resolve(bundle, "NM_1.2:r.4_6delcgc")
    assert found.ambiguous
    assert edited(bundle, found) == replaced(124, 126, "")
    assert "rna" in [note.code for note in found.notes]


def test_an_insertion_between_exons_may_stand_at_either_end_of_the_intron(bundle: Bundle) -> None:
    found = resolve(bundle, "NM_1.2:c.30_31insACGTACGT")
    assert found.ambiguous
    assert len(found.variants) == 2
    assert [note.code for note in found.notes] == ["exon_border"]
    sides = {replaced(151, 150, "ACGTACGT"), replaced(201, 200, "ACGTACGT")}
    assert {edited(bundle, Resolved("", "", (v,))) for v in found.variants} == sides


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("NM_1.2:c.10+5{10}>{alt}", "not_an_exon_end", "exon 1 of NM_1.2 is c.-20 to c.30"),
        ("NM_1.2:c.30+51{10}>{alt}", "outside_intron", "only 50 bases"),
        ("NM_1.2:c.91{10}>{alt}", "outside_cds", "c.*1"),
        ("NM_1.2:n.151{10}>{alt}", "past_end", "150 bases"),
        ("NM_1.2:c.-300000A>G", "past_end", "give it as g."),
        ("NR_3.1:c.1A>G", "wrong_type", "written n."),
        ("NM_1.2:c.12_10del", "backwards", "lower position first"),
        ("NM_1.2:c.10_12insA", "not_neighbours", "88_89ins"),
        ("NM_1.2:c.10insA", "not_neighbours", "88_89ins"),
        ("NM_1.2:c.10_12A>G", "wrong_length", "delins"),
        ("NM_1.2:c.10_12del4", "wrong_length", "states 4 bases"),
        ("NM_1.2:c.29_32del4", "wrong_length", "introns"),
        ("NM_1.2:c.10_12copy2", "unknown_form", "square brackets"),
        ("NM_1.2:c.10inv", "wrong_length", "two bases"),
        ("NM_1.2:c.10_11ins20", "unknown_bases", "no allele"),
        ("NM_1.2:c.10_11ins[A;N[5]]", "unknown_bases", "named but not told"),
        ("NM_1.2:c.?_20del", "uncertain", "not known"),
        ("NM_1.2:c.(10_20)del", "uncertain", "somewhere"),
        ("NM_1.2:c.50CAG[?]", "unknown_bases", "not known"),
        ("NM_1.2:r.spl", "no_dna_change", "says nothing"),
        ("1:c.5A>G", "wrong_type", "1(NM_...):c."),
        ("2(NM_1.2):c.5del", "wrong_contig", "lies on 1"),
        ("1:m.5A>G", "wrong_type", "takes g."),
        ("1:g.601A>G", "past_end", "600 bases"),
        ("NM_1.2:p.Met1?", "no_dna_change", "c. or g."),
        ("NM_1.2:p.Arg2fs", "no_dna_change", "frameshift"),
        ("NM_1.2:p.Arg31Cys", "past_end", "30 codons"),
        ("hello", "unknown_form", "HGVS"),
        ("p.Arg2Cys", "hgvs_syntax", "no accession and no gene"),
        ("c.10del", "hgvs_syntax", "no accession and no gene"),
        ("", "empty", "HGVS"),
    ],
)
def test_names_that_are_not_true_say_why(bundle: Bundle, name: str, code: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(bundle, name.replace("{10}", "A").replace("{alt}", "C"))
    assert words in str(caught.value)
    assert caught.value.code == code


def test_unknown_sequences_are_refused_with_what_there_is(bundle: Bundle) -> None:
    with pytest.raises(UnknownName, match=r"begin alike: NM_1\.2, NM_2\.1"):
        resolve(bundle, "NM_7.1:c.1A>G")
    with pytest.raises(UnknownName, match=r"its positions are c\. or n\."):
        resolve(bundle, "NM_1.2:g.1A>G")
    with pytest.raises(UnknownName, match="it has 1, 2, MT"):
        resolve(bundle, "7-100-A-G")


# --- stated bases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["NM_1.2:c.10{x}>{y}", "NM_2.1:c.10{x}>{y}", "1:g.130{x}>{y}", "1-130-{x}-{y}", "1:129:{x}:"]
)
def test_a_stated_base_that_is_not_ours_is_an_error_with_both(bundle: Bundle, name: str) -> None:
    wrong = other(base(130))
    with pytest.raises(ReferenceMismatch) as caught:
        resolve(bundle, name.replace("{x}", wrong).replace("{y}", other(wrong)))
    assert (caught.value.stated, caught.value.reference) == (wrong, base(130))


def test_the_other_strand_is_an_explanation_and_never_a_mend(bundle: Bundle) -> None:
    with pytest.raises(ReferenceMismatch, match="those of the other strand"):
        resolve(bundle, f"NM_1.2:c.10_12del{reverse_complement(GENOME['1'][129:132])}")


def test_an_unchanged_base_that_the_assembly_lacks_may_be_that_of_the_transcript(bundle: Bundle) -> None:
    with pytest.raises(ReferenceMismatch, match="write the change of the assembly as g"):
        resolve(bundle, f"NM_1.2:c.10{other(base(130))}=")


def test_a_name_without_change_has_no_variants(bundle: Bundle) -> None:
    for name in (
        f"NM_1.2:c.10{base(130)}=",
        "NM_1.2:c.=",
        f"1:g.130delins{base(130)}",
        f"1-130-{base(130)}-{base(130)}",
    ):
        found = resolve(bundle, name)
        assert (found.variants, [note.code for note in found.notes]) == ((), ["no_change"])


# --- which transcript -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("NM_1.2:c.10del", []),
        ("NM_1:c.10del", ["version_assumed"]),
        ("NM_1.9:c.10del", ["version_differs"]),
        ("PLUS:c.10del", ["gene_transcript"]),
        ("plus:c.10del", ["gene_transcript"]),
        ("nm_1.2:c.10del", []),
        ("NM_1.2(PLUS):c.10del", []),
        ("NM_1.2(MINUS):c.10del", ["gene_differs"]),
        ("1(NM_1.2):c.10del", []),
        ("NP_1.2:c.10del", ["protein_accession"]),
    ],
)
def test_what_was_assumed_to_find_a_transcript_is_said(bundle: Bundle, name: str, codes: list[str]) -> None:
    found = resolve(bundle, name)
    assert [note.code for note in found.notes] == codes
    assert found.transcript == "NM_1.2"
    assert edited(bundle, found) == replaced(130, 130, "")


def test_an_offset_from_the_farther_exon_is_taken_and_named_right(bundle: Bundle) -> None:
    found = resolve(bundle, f"NM_1.2:c.30+40{base(190)}>{other(base(190))}")
    assert found.variants[0].pos == 190
    assert "c.31-11" in found.notes[0].text


# --- repeats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "alt"),
    [
        ("1:g.50CAG[7]", "CAG" * 7),
        ("1:g.50_52CAG[7]", "CAG" * 7),
        ("1:g.50_64CAG[7]", "CAG" * 7),
        ("1:g.50_52[2]", "CAG" * 2),
        ("1:g.50_64CAG[2]CAA[1]", "CAGCAGCAA"),
        ("1:g.50CAG[0]", ""),
    ],
)
def test_repeats_replace_the_whole_tract(bundle: Bundle, name: str, alt: str) -> None:
    assert edited(bundle, resolve(bundle, name)) == replaced(50, 64, alt)


def test_a_repeat_unit_that_is_not_there_is_a_mismatch(bundle: Bundle) -> None:
    with pytest.raises(ReferenceMismatch):
        resolve(bundle, "1:g.50CAA[7]")
    with pytest.raises(ReferenceMismatch):
        resolve(bundle, "1:g.50_66CAG[7]")
    assert "repeat_begins_earlier" in [note.code for note in resolve(bundle, "1:g.53CAG[7]").notes]


def test_variants_are_left_aligned(bundle: Bundle) -> None:
    t = resolve(bundle, "1:g.70del").variants[0]
    assert (t.pos, t.ref, t.alt) == (64, "GT", "G")
    ac = resolve(bundle, "1:g.78_79insAC").variants[0]
    assert (ac.pos, ac.ref, ac.alt) == (70, "T", "TAC")
    rotated = resolve(bundle, "1:g.77_78insCA").variants[0]
    assert (rotated.pos, rotated.ref, rotated.alt) == (70, "T", "TAC")


def test_an_event_at_the_very_beginning_takes_the_base_behind_it(bundle: Bundle) -> None:
    found = resolve(bundle, "1:g.1_2del").variants[0]
    assert (found.pos, found.ref, found.alt) == (1, GENOME["1"][:3], GENOME["1"][2])


# --- structural and uncertain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "low", "high", "alt"),
    [
        ("c.(30+1_31-1)_(70+1_71-1)del", 200, 241, "<DEL>"),
        ("c.30+?_70+?del", 201, 240, "<DEL>"),
        ("c.31-?_70+?dup", 201, 240, "<DUP:TANDEM>"),
        ("c.(?_30)_(40_?)inv", 150, 210, "<INV>"),
    ],
)
def test_uncertain_ranges_give_their_certain_part(bundle: Bundle, change: str, low: int, high: int, alt: str) -> None:
    for name in ("NM_1.2", "NM_2.1"):
        (found,) = resolve(bundle, f"{name}:{change}").variants
        first, last = (low, high) if name == "NM_1.2" else (601 - high, 601 - low)
        info = dict(found.info)
        assert (found.pos + 1, int(info["END"]), found.alt, "IMPRECISE" in info) == (first, last, alt, True)


# --- circular ---------------------------------------------------------------------------------------------------------


def test_a_range_over_the_origin_wraps(bundle: Bundle) -> None:
    (found,) = resolve(bundle, "MT:m.3198_2del").variants
    circle = GENOME["MT"]
    assert found.ref == circle[3196:] + circle[:2]
    assert (found.pos, found.alt) == (3197, circle[3196])
    (inserted,) = resolve(bundle, "chrM:m.3200_1insGATTACA").variants
    assert (inserted.pos, inserted.ref) == (3200, circle[-1])


def test_a_mitochondrial_name_needs_no_accession(bundle: Bundle) -> None:
    found = resolve(bundle, "m.5_7del")
    assert found.variants == resolve(bundle, "MT:m.5_7del").variants
    assert [note.code for note in found.notes] == ["accession_assumed"]


def test_the_placeholder_of_the_mitochondrial_genome_is_no_place_for_a_variant(bundle: Bundle) -> None:
    for name in ("MT:m.3107del", "MT:m.3107N>C", "MT:m.3107_3108del"):
        with pytest.raises(InvalidInput, match="placeholder"):
            resolve(bundle, name)
    assert resolve(bundle, "MT:g.3105_3108del").notes[0].code == "type_m"


# --- proteins ---------------------------------------------------------------------------------------------------------


def test_a_substitution_gives_every_codon_that_fits_single_bases_first(bundle: Bundle) -> None:
    for name in ("NM_1.2:p.Arg2Cys", "PLUS p.R2C", "NP_1.2:p.R2C", "PLUS:p.(Arg2Cys)", "NM_2.1:p.Arg2Cys"):
        found = resolve(bundle, name)
        assert found.ambiguous
        assert len(found.variants) == 2  # CGC to TGC and TGT
        assert (len(found.variants[0].ref), len(found.variants[1].ref)) == (1, 3)
    plus = resolve(bundle, "NM_1.2:p.Arg2Cys").variants
    assert [(v.pos, v.ref, v.alt) for v in plus] == [(124, "C", "T"), (124, "CGC", "TGT")]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("NM_1.2:p.Trp6Ter", 3),
        ("NM_1.2:p.Arg2=", 5),
        ("NM_1.2:p.Gly3_Cys4del", 1),
        ("NM_1.2:p.Gly3_Cys4dup", 1),
        ("NM_1.2:p.Gly3_Cys4insTrp", 1),
        ("NM_1.2:p.Gly3_Cys4insArgTrp", 6),
        ("NM_1.2:p.Gly3delinsMetTrp", 1),
        ("NM_1.2:p.Ter30Trp", 1),
    ],
)
def test_other_protein_changes(bundle: Bundle, name: str, count: int) -> None:
    found = resolve(bundle, name)
    assert found.ambiguous
    assert len(found.variants) == count


def test_a_residue_that_is_not_ours_is_a_mismatch(bundle: Bundle) -> None:
    with pytest.raises(ReferenceMismatch, match=r"the name states Lys, and NM_1\.2 has Arg there"):
        resolve(bundle, "NM_1.2:p.Lys2Cys")
    with pytest.raises(InvalidInput, match="more than 256"):
        resolve(bundle, "NM_1.2:p.Gly3_Cys4insArgLeuSerArg")


# --- other forms ------------------------------------------------------------------------------------------------------


def test_vcf_and_spdi_are_told_apart(bundle: Bundle) -> None:
    ref, alt = base(130), other(base(130))
    wanted = replaced(130, 130, alt)
    for text, form in (
        (f"1-130-{ref}-{alt}", "vcf"),
        (f"chr1:130:{ref}:{alt}", "vcf"),
        (f"1:130{ref}>{alt}", "vcf"),
        (f"1\t130\trs1\t{ref}\t{alt}\t.\tPASS", "vcf"),
        (f"1 130 {ref.lower()} {alt.lower()}", "vcf"),
        ("1:129:1:" + alt, "spdi"),
        (f"NM_1.2:29:{ref}:{alt}", "spdi"),
    ):
        found = resolve(bundle, text)
        assert (edited(bundle, found), found.form) == (wanted, form), text
    assert edited(bundle, resolve(bundle, f"chr1:129:{ref}:{alt}", spdi=True)) == wanted
    assert edited(bundle, resolve(bundle, "1:129::GG")) == replaced(130, 129, "GG")
    assert edited(bundle, resolve(bundle, f"1:129:{GENOME['1'][129:132]}:")) == replaced(130, 132, "")


def test_several_alts_are_several_variants(bundle: Bundle) -> None:
    ref = base(130)
    found = resolve(bundle, f"1-130-{ref}-{other(ref)},{ref}GG")
    assert [v.alt for v in found.variants] == [other(ref), f"{ref}GG"]
    for alts in (".", "*", "<DEL>", f"{ref},"):
        with pytest.raises(InvalidInput):
            resolve(bundle, f"1-130-{ref}-{alts}")


def test_alleles_keep_their_chromosomes(bundle: Bundle) -> None:
    found = resolve(bundle, "NM_1.2:c.[10del;20_21insGATTACA];[40del]")
    assert (found.phase, found.chromosomes, len(found.variants)) == (Phase.TRANS, (0, 0, 1), 3)
    assert not found.ambiguous


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("PLUS:NM_1.2:exon1:c.10del:p.Cys4fs", "protein_agrees"),
        ("PLUS:NM_1.2:exon1:c.10del:p.C4Vfs", "protein_agrees"),
        ("PLUS:NM_1.2:exon1:c.10del:p.Cys5fs", "protein_differs"),
        ("NM_1.2(PLUS):c.4C>T (p.Arg2Cys)", "protein_agrees"),
        ("NM_1.2:c.4C>T p.(Arg2Cys)", "protein_agrees"),
        ("NM_1.2(PLUS):c.4C>T (p.Arg2His)", "protein_differs"),
        ("NM_1.2(PLUS):c.-5del (p.?)", "protein_not_used"),
    ],
)
def test_the_protein_of_a_lab_string_is_compared_with_the_change_on_dna(bundle: Bundle, text: str, code: str) -> None:
    found = resolve(bundle, text)
    assert [note.code for note in found.notes if note.code != "exon_not_used"] == [code], found.notes
    assert ("exon_not_used" in [note.code for note in found.notes]) == ("exon1" in text)


def test_a_vrs_identifier_that_nobody_knows_says_so(bundle: Bundle) -> None:
    with pytest.raises(UnknownName, match="no table of known variants"):
        resolve(bundle, "ga4gh:VA.0AePZIWZUNsUlQTamyLrjm2HWUw2opLt")
    with pytest.raises(InvalidInput, match="32 letters"):
        resolve(bundle, "ga4gh:SQ.0AePZIWZUNsUlQTamyLrjm2HWUw2opLt")


def test_a_malformed_name_is_a_syntax_error_with_its_column(bundle: Bundle) -> None:
    with pytest.raises(HgvsSyntaxError, match="column 11"):
        resolve(bundle, "NM_1.2:c.5?>A")


def test_columns_of_many_names_keep_their_order(bundle: Bundle) -> None:
    names = ["NM_1.2:c.10del", "NM_1.2:p.Arg2Cys", "NM_1.2:c.=", "1:g.50CAG[7]"]
    variants = variants_of(resolve(bundle, name) for name in names)
    assert variants.record.tolist() == [0, 1, 1, 3]
    assert [variants.alt(row) for row in range(variants.count)] == ["", "T", "TGT", "CAGCAG"]


# --- regions ----------------------------------------------------------------------------------------------------------


def test_a_bundle_of_regions_knows_where_it_ends(tmp_path: Path) -> None:
    bases = GENOME["1"]
    (tmp_path / "r.fa").write_text(f">1:90-400\n{bases[89:400]}\n")
    (tmp_path / "g.gff3").write_text(
        "\n".join(line for line in gff().splitlines() if "PLUS" in line or "NM_1.2" in line) + "\n"
    )
    build_bundle(tmp_path / "b", name="regions", fasta=tmp_path / "r.fa", genes=tmp_path / "g.gff3")
    with Bundle.open(tmp_path / "b") as regions:
        assert resolve(regions, "NM_1.2:c.10del").variants == resolve(regions, "1:g.130del").variants
        for name in ("1:g.80del", "1-80-A-C", "NM_1.2:c.-40del", "1:79:A:C", "1:g.400_401del"):
            with pytest.raises(OutsideReference, match="regions"):
                resolve(regions, name)
        edge = resolve(regions, "1:g.90_91del").variants[0]
        assert (edge.pos, edge.ref, edge.alt) == (90, bases[89:92], bases[91])
