"""Each entry of `docs/reference/vep-differences.md` that changes consequences, in VEP's mode and in ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from genescale.genomics import terms
from genescale.genomics.consequence import judge
from genescale.genomics.variants import Variants, variants_of_record
from support.nasty_genome import Model, Nasty, built


def gene(
    folder: Path,
    cds: str,
    *,
    contig: str = "chr1",
    u5: str = "GGGGG",
    u3: str = "CCCCCCCCCCCCCCCCCCCCCCCC",
    introns: dict[int, int] | None = None,
    biotype: str = "protein_coding",
    coding: bool = True,
    tags: tuple[str, ...] = (),
    sisters: int = 1,
) -> Nasty:
    """A gene on the plus strand that begins at 101; `introns` gives a length for each mRNA position it follows."""
    mrna = u5 + cds + u3
    text = ""
    exons: list[tuple[int, int]] = []
    at = 0
    for cut in [*sorted(introns or {}), len(mrna)]:
        exons.append((101 + len(text), 100 + len(text) + cut - at))
        text += mrna[at:cut]
        at = cut
        if cut < len(mrna):
            length = (introns or {})[cut]
            text += "GT" + "C" * (length - 4) + "AG"
    sequence = {contig: "T" * 100 + text + "T" * 100}
    positions = [p for a, b in exons for p in range(a, b + 1)]
    span = (positions[len(u5)], positions[len(u5) + len(cds) - 1]) if coding else None
    models = [Model(f"T{i}", contig, "+", biotype, exons, span, 0, list(tags)) for i in range(sisters)]
    return built(folder, sequence, models)


def said(
    genome: Nasty, pos: int, ref: str, *alts: str, info: dict[str, str] | None = None, **options: bool
) -> list[tuple[str, int, str]]:
    """Terms, exception and VEP's terms of each row of the last allele."""
    contig = next(iter(genome.sequence))
    assert genome.sequence[contig][pos - 1 :].startswith(ref)
    rows = variants_of_record(genome.bundle.contig(contig), pos, ref, alts, info)[-1:]
    pairs = judge(genome.bundle, Variants.of_rows(rows), **options)
    return [
        (
            ",".join(terms.names(int(pairs.terms[i]))),
            int(pairs.exception[i]),
            ",".join(terms.names(int(pairs.vep_terms[i]))),
        )
        for i in range(pairs.count)
    ]


def check(
    genome: Nasty, pos: int, ref: str, *alts: str, number: int, vep: str, right: str, info: dict[str, str] | None = None
) -> None:
    assert {row[0] for row in said(genome, pos, ref, *alts, info=info, strict=True)} == {vep}
    assert set(said(genome, pos, ref, *alts, info=info)) == {(right, number, vep)}


CDS = "ATGGTAAAACCCGGATAA"  # M V K P G stop, from 106 on
ATG, VALINE = 106, 109


def test_e1_a_premature_stop_is_a_stop_gained(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS)
    vep = "inframe_insertion,stop_retained_variant"
    check(genome, VALINE + 1, "T", "TATA", number=1, vep=vep, right="stop_gained,inframe_insertion")
    check(genome, VALINE + 1, "T", "TATAA", number=1, vep=vep, right="stop_gained,frameshift_variant")


def test_e2_no_indel_at_a_stop_ends_a_run(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS)
    for pos in range(ATG - 3, ATG + len(CDS) + 3):
        base = genome.sequence["chr1"][pos - 1]
        for alts in ((base + "TAA", base + "T"), (base + "TGATGA",), ("*", base + "C")):
            assert said(genome, pos, base, *alts, strict=True)
            assert said(genome, pos, base, *alts)


def test_e4_transcripts_with_the_same_end_get_the_same_answer(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, sisters=4)
    start = ATG + len(CDS) - 3
    ref = genome.sequence["chr1"][start - 1 : start + 6]
    for strict in (True, False):
        answers = said(genome, start, ref, ref[0], strict=strict)
        assert len(answers) == 4
        assert len(set(answers)) == 1


def test_e8_an_incomplete_end_has_no_start_or_stop_to_lose(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, tags=("cds_start_NF", "cds_end_NF"))
    check(genome, ATG + 1, "T", "C", number=8, vep="start_lost", right="missense_variant")


def test_e9_every_intron_and_every_changed_base_counts(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, introns={11: 40})  # two codons, then the intron at 112-151
    vep, right = "missense_variant", "missense_variant,splice_region_variant"
    check(genome, 152, "AAACCC", "CAACCG", number=9, vep=vep, right=right)


def test_e12_a_structural_deletion_does_not_keep_the_start_that_it_deletes(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, u5="GGGGGGGGGG")
    vep = "frameshift_variant,start_lost,feature_truncation,start_retained_variant,5_prime_UTR_variant"
    right = "frameshift_variant,start_lost,feature_truncation,5_prime_UTR_variant"
    check(genome, 107, "G", "<DEL>", number=12, vep=vep, right=right, info={"END": "117"})


def test_e13_a_long_alt_does_not_reach_beyond_ref(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, introns={11: 40})
    vep = "splice_donor_variant,frameshift_variant,splice_donor_5th_base_variant,intron_variant"
    right = "frameshift_variant,splice_region_variant"
    check(genome, 110, "TA", "CCCCCCC", number=13, vep=vep, right=right)


def test_e14_the_genetic_code_is_that_of_the_contig_whatever_its_name(tmp_path: Path) -> None:
    genome = gene(tmp_path, "ATGTGGAAATAA", contig="chrM")
    check(genome, ATG + 5, "G", "A", number=14, vep="stop_gained", right="synonymous_variant")
    check(genome, ATG, "A", "G", number=14, vep="start_lost", right="start_retained_variant")


def test_e15_poly_a_completes_a_mitochondrial_stop(tmp_path: Path) -> None:
    genome = gene(tmp_path, "ATGTGGAAAT", contig="MT", u3="")
    vep = "incomplete_terminal_codon_variant,coding_sequence_variant"
    check(genome, ATG + 9, "T", "C", number=15, vep=vep, right="stop_lost")


def test_e16_a_coding_transcript_without_cds_is_not_intergenic(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, coding=False)
    check(genome, ATG + 5, "A", "C", number=16, vep="intergenic_variant", right="sequence_variant")


def test_e17_padding_changes_nothing(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, introns={10: 40})
    vep, right = "splice_region_variant,coding_sequence_variant", "missense_variant,splice_region_variant"
    check(genome, 110, "TG", "CG", number=17, vep=vep, right=right)
    assert said(genome, 110, "T", "C") == [(right, 0, right)]


def test_e18_codons_mark_the_changed_bases_of_the_transcript(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, introns={11: 40})
    ref = genome.sequence["chr1"][109:152]
    shown: list[tuple[str, str] | None] = []
    for strict in (True, False):
        pairs = judge(genome.bundle, Variants.of_rows(variants_of_record(0, 110, ref, [ref[0]])), strict=strict)
        shown.append(pairs.codons(0))
    assert shown == [("gtAAAA", "gtaa"), ("gtAAaa", "gtaa")]


def test_e19_a_symbolic_insertion_lies_between_two_bases(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS)
    vep = "feature_elongation,coding_sequence_variant"
    info = {"END": "99", "SVLEN": "5"}
    rows = said(genome, 99, "T", "<INS>", info=info, strict=True)
    assert rows == [("5_prime_UTR_variant", 0, "5_prime_UTR_variant")]
    assert said(genome, 99, "T", "<INS>", info=info) == [("upstream_gene_variant", 19, "5_prime_UTR_variant")]
    assert said(genome, 112, "A", "<INS>", info={"END": "112", "SVLEN": "3"}) == [(vep, 0, vep)]


def test_e20_an_artefact_is_no_intron_and_has_no_splice_sites(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, introns={11: 8})
    vep = "missense_variant,splice_region_variant"
    check(genome, 110, "T", "C", number=20, vep=vep, right="missense_variant")


def test_e21_on_a_circle_flanks_are_told_on_request_and_go_round(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, contig="MT")
    last = len(genome.sequence["MT"])
    assert said(genome, 50, "T", "C", strict=True)[0][0] == "upstream_gene_variant"
    assert said(genome, 50, "T", "C")[0][0] == "intergenic_variant"
    assert said(genome, 50, "T", "C", circular_flanks=True)[0][0] == "upstream_gene_variant"
    assert said(genome, last, "T", "C", strict=True)[0][0] == "downstream_gene_variant"


def test_e22_an_indel_that_moved_out_of_an_intron_has_left_it(tmp_path: Path) -> None:
    genome = gene(tmp_path, "ATGGTAGAGCCCGGATAA", introns={10: 40})  # the intron at 111-150 ends in CAG, then AGAG
    vep = "frameshift_variant,start_retained_variant,intron_variant"  # it also takes the way of 6 for a position
    assert said(genome, 148, "C", "CAG", strict=True, shift=True)[0][0] == vep
    assert said(genome, 148, "C", "CAG", shift=True)[0][0] == "frameshift_variant"
    assert "intron_variant" in said(genome, 148, "C", "CAG")[0][0]


def test_e23_a_stop_in_another_frame_is_not_retained(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS)
    vep = "inframe_insertion,stop_retained_variant"
    check(genome, ATG + 14, "A", "ACCCC", number=23, vep=vep, right="frameshift_variant")
    assert said(genome, ATG + 14, "A", "ACCC") == [(vep, 0, vep)]  # in frame: the stop stays


def test_e24_a_start_or_stop_goes_with_the_sequence_around_it(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS)
    first, last = genome.sequence["chr1"][97:108], genome.sequence["chr1"][121:150]
    vep, right = "coding_sequence_variant,5_prime_UTR_variant", "start_lost,5_prime_UTR_variant"
    check(genome, 98, first, first[0], number=24, vep=vep, right=right)  # from before the transcript into the start
    vep, right = "coding_sequence_variant,3_prime_UTR_variant", "stop_lost,3_prime_UTR_variant"
    check(genome, 122, last, last[0], number=24, vep=vep, right=right)  # from the stop to behind the transcript
    check(genome, 122, "AACC", "GGGG", number=24, vep=vep, right=right)  # a substitution over the border


def test_e25_a_deleted_start_is_lost_with_or_without_a_5_prime_utr(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS, u5="")
    check(genome, 100, "TATG", "T", number=25, vep="inframe_deletion", right="start_lost,inframe_deletion")


def test_e26_an_insertion_of_one_base_is_not_in_frame(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS)
    vep = "inframe_insertion,stop_retained_variant"
    check(genome, ATG + 15, "T", "TA", number=26, vep=vep, right="stop_retained_variant")


def test_e27_the_whole_protein_decides_whether_a_stop_stays(tmp_path: Path) -> None:
    genome = gene(tmp_path, CDS[:-3] + "TGA", u3="AAAACCCCCCCCCC")
    vep = "frameshift_variant,stop_lost"
    check(genome, ATG + 15, "TG", "T", number=27, vep=vep, right="stop_retained_variant")  # TGA|A becomes TAA
    # GGA TGA becomes TAA GTA: the stop moves one codon forward
    check(genome, ATG + 12, "GGATG", "TAAGT", number=27, vep="missense_variant", right="stop_gained")


def test_e28_selenocysteine_is_a_residue_and_no_stop(tmp_path: Path) -> None:
    genome = gene(tmp_path, "ATGGTATGACCCGGATAA", tags=("seleno",))  # M V U P G stop
    check(genome, ATG + 8, "A", "G", number=28, vep="stop_lost", right="missense_variant")
    check(genome, ATG + 7, "G", "A", number=28, vep="stop_retained_variant", right="stop_gained")
    assert said(genome, ATG + 16, "A", "C") == [("stop_lost", 0, "stop_lost")]


@pytest.mark.parametrize("pos", [ATG, ATG + 4, 112, 130, 151, 155])
def test_where_vep_is_right_nothing_differs(tmp_path: Path, pos: int) -> None:
    genome = gene(tmp_path, CDS, introns={11: 40})
    base = genome.sequence["chr1"][pos - 1]
    alt = "G" if base != "G" else "C"
    strict = said(genome, pos, base, alt, strict=True)
    assert said(genome, pos, base, alt) == strict
    assert strict[0][1] == 0
