"""How VCF alleles become rows, rule by rule."""

from hypothesis import given
from hypothesis import strategies as st

from genescale.genomics import variants as v
from genescale.genomics.variants import Variants, variants_of_record


def spans(ref: str, *alts: str) -> list[tuple[int, int, str, str]]:
    return [(r.start, r.end, r.ref, r.alt) for r in variants_of_record(0, 100, ref, alts)]


def test_one_alt_is_trimmed_prefix_first() -> None:
    assert spans("A", "G") == [(100, 100, "A", "G")]
    assert spans("CTA", "CTG") == [(100, 102, "CTA", "CTG")]
    assert spans("A", "AT") == [(101, 100, "", "T")]
    assert spans("ATTT", "AT") == [(102, 103, "TT", "")]
    assert spans("CA", "GAA") == [(100, 100, "C", "GA")]


def test_several_alts_lose_only_the_first_base_they_all_share() -> None:
    assert spans("G", "GA", "GCG") == [(101, 100, "", "A"), (101, 100, "", "CG")]
    assert spans("GT", "GTCTC", "TT") == [(100, 101, "GT", "GTCTC"), (100, 101, "GT", "TT")]
    assert spans("ACG", "A", "*") == [(101, 102, "CG", ""), (100, 102, "", "")]
    assert spans("ACTT", "A", "ACTTTC") == [(101, 103, "CTT", ""), (101, 103, "CTT", "CTTTC")]


def test_the_class_is_that_of_the_whole_record() -> None:
    def classes(ref: str, *alts: str) -> list[str]:
        rows = Variants.of_rows(variants_of_record(0, 100, ref, alts))
        return [rows.variant_class(i) for i in range(rows.count)]

    assert classes("G", "C", "GGCA") == ["indel", "indel"]
    assert classes("ACTT", "A", "ACTTTC") == ["sequence_alteration"] * 2
    assert classes("A", "AC", "ACG") == ["insertion"] * 2
    assert classes("A", "C", "G") == ["SNV", "SNV"]
    assert classes("AC", "GT") == ["substitution"]
    assert classes("ACT", "A") == ["deletion"]


def test_alleles_that_nobody_judges_keep_their_number() -> None:
    rows = variants_of_record(0, 5, "A", ["<NON_REF>", ".", "*", "C", "x1"])
    assert [r.flags for r in rows] == [v.NON_VARIANT, v.NON_VARIANT, v.STAR, 0, v.MALFORMED]
    assert [r.kind for r in rows] == [v.OTHER, v.OTHER, v.OTHER, v.SNV, v.OTHER]
    assert [r.allele for r in rows] == [1, 2, 3, 4, 5]


def test_a_reference_block_allele_does_not_count_as_a_second_alt() -> None:
    assert spans("ATTT", "ATT", "<NON_REF>")[0] == (103, 103, "T", "")


def test_structural_spans() -> None:
    def one(alt: str, **info: str) -> tuple[int, int, int]:
        row = variants_of_record(0, 100, "A", [alt], info)[0]
        return row.start, row.end, row.sv

    assert one("<DEL>", END="150") == (101, 150, v.SV_DEL)
    assert one("<DEL>", SVLEN="-50") == (101, 150, v.SV_DEL)
    assert one("<DUP:TANDEM>", END="150", SVTYPE="DUP") == (101, 150, v.SV_TANDEM_DUP)
    assert one("<INS>", END="100", SVLEN="200") == (101, 300, v.SV_INS)
    assert one("<INS>") == (101, 100, v.SV_INS)
    assert one("N[chr2:5[") == (101, 101, v.SV_BND)
    assert variants_of_record(0, 100, "A", ["<DEL>"], {})[0].flags == v.MALFORMED


@given(st.integers(-1, 3), st.integers(), st.text(max_size=5), st.lists(st.text(max_size=6), max_size=4))
def test_any_text_becomes_rows(contig: int, pos: int, ref: str, alts: list[str]) -> None:
    rows = variants_of_record(contig, pos, ref, alts, {"SVTYPE": "DEL", "SVLEN": ref})
    assert [r.allele for r in rows] == list(range(1, len(alts) + 1))
    columns = Variants.of_rows(rows)
    assert [columns.ref(i) for i in range(columns.count)] == [r.ref for r in rows]


@given(st.text("ACGT", min_size=1, max_size=8), st.text("ACGT", min_size=1, max_size=8))
def test_trimming_keeps_the_edit(ref: str, alt: str) -> None:
    row = variants_of_record(0, 1, ref, [alt])[0]
    assert ref[: row.start - 1] + row.alt + ref[row.end :] == alt
