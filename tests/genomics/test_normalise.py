"""The normal forms of a variant: each stays what it is, and all denote the same edited sequence."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels import normalise as kernel
from genescale.genomics.names import write_names
from genescale.genomics.normalise import Form, normalise
from genescale.genomics.variants import REF_MISMATCH, Variants, variants_of_record
from support.interpreted_kernels import interpreted_kernels
from support.require import require
from support.tiny_bundle import tiny_bundle

# Repeats of many units, an N within a run, and a stretch of all letters.
_BASES = "ACACACACTTTTTTGGATCGATCGAAANAAACCCGGGCAGCAGCAGCAGTTACGTRYACGTTTTTT"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("normal"), {"chr1": _BASES}))


def _variants(*records: tuple[int, str, str]) -> Variants:
    return Variants.of_rows(
        row
        for number, (pos, ref, alt) in enumerate(records)
        for row in variants_of_record(0, pos, ref, [alt], record=number)
    )


def _edited(form: Form) -> str:
    return _BASES[: form.start] + form.alt + _BASES[form.end :]


@st.composite
def _records(draw: Callable[[st.SearchStrategy[object]], object]) -> tuple[int, str, str]:
    start = draw(st.integers(0, len(_BASES) - 1))
    length = draw(st.integers(1, 6))
    assert isinstance(start, int)
    assert isinstance(length, int)
    ref = _BASES[start : start + length]
    alt = draw(st.one_of(st.text("ACGT", min_size=1, max_size=6), st.just(ref * 2), st.just(ref[:1])))
    assert isinstance(alt, str)
    return start + 1, ref, alt


@settings(max_examples=150)
@given(record=_records())
def test_all_forms_give_the_sequence_of_the_record(bundle: Bundle, record: tuple[int, str, str]) -> None:
    pos, ref, alt = record
    if ref == alt:
        return
    ours = normalise(bundle, _variants(record))
    whole = _BASES[: pos - 1] + alt + _BASES[pos - 1 + len(ref) :]
    forms = {"trimmed": ours.trimmed(0), "left": ours.left_most(0), "right": ours.right_most(0)}
    forms["justified"] = ours.justified(0)
    for name, form in forms.items():
        assert _BASES[form.start : form.end] == form.ref, name
        assert _edited(form) == whole, name
    at, vcf_ref, vcf_alt = ours.vcf(0)
    assert vcf_ref
    assert vcf_alt
    assert _BASES[: at - 1] + vcf_alt + _BASES[at - 1 + len(vcf_ref) :] == whole


@settings(max_examples=150)
@given(record=_records())
def test_a_form_of_a_form_is_itself(bundle: Bundle, record: tuple[int, str, str]) -> None:
    if record[1] == record[2] or "N" in "".join(record[1:]):
        return
    ours = normalise(bundle, _variants(record))
    vcf, justified = ours.vcf(0), ours.justified(0)
    again = normalise(bundle, _variants(vcf))
    assert again.vcf(0) == vcf
    assert again.justified(0) == justified
    assert again.right_most(0) == ours.right_most(0)


@settings(max_examples=100)
@given(record=_records())
def test_vcf_form_is_parsimonious_and_left_aligned(bundle: Bundle, record: tuple[int, str, str]) -> None:
    if record[1] == record[2] or not set(record[1] + record[2]) <= set("ACGT"):
        return
    pos, ref, alt = normalise(bundle, _variants(record)).vcf(0)
    if pos > 1:  # at the first base there is none to the left, and VCF takes the anchor behind
        assert ref[-1] != alt[-1] or _BASES[pos - 1] not in "ACGT"
    assert len(ref) == 1 or len(alt) == 1 or ref[0] != alt[0]


@pytest.mark.parametrize(
    ("record", "vcf", "right", "justified"),
    [
        # one AC less of four
        ((3, "ACA", "A"), (1, "ACA", "A"), Form(6, 8, "AC", ""), Form(0, 8, "ACACACAC", "ACACAC")),
        # one T more of six
        ((9, "T", "TT"), (8, "C", "CT"), Form(14, 14, "", "T"), Form(8, 14, "TTTTTT", "TTTTTTT")),
        # nothing to roll
        ((15, "G", "C"), (15, "G", "C"), Form(14, 15, "G", "C"), Form(14, 15, "G", "C")),
        # a run of A is not rolled through an N
        ((25, "AA", "A"), (24, "GA", "G"), Form(26, 27, "A", ""), Form(24, 27, "AAA", "AA")),
    ],
)
def test_known_forms(
    bundle: Bundle, record: tuple[int, str, str], vcf: tuple[int, str, str], right: Form, justified: Form
) -> None:
    ours = normalise(bundle, _variants(record))
    assert ours.vcf(0) == vcf
    assert ours.right_most(0) == right
    assert ours.justified(0) == justified


def test_a_variant_whose_ref_is_not_the_reference_is_not_moved(bundle: Bundle) -> None:
    variants = _variants((10, "TTT", "T"))
    variants.flags[0] |= REF_MISMATCH
    ours = normalise(bundle, variants)
    assert (int(ours.left[0]), int(ours.right[0])) == (0, 0)


def test_structural_and_skipped_alleles_have_no_form(bundle: Bundle) -> None:
    variants = Variants.of_rows(variants_of_record(0, 10, "T", ["<DEL>", "*", "."], {"END": "20"}))
    ours = normalise(bundle, variants)
    assert [ours.trimmed(row)[2:] for row in range(3)] == [("", "")] * 3
    texts = write_names(bundle, variants, _NoPairs(), which=("spdi_canonical",)).spdi_canonical
    assert texts is not None
    assert texts.texts() == ["", "", ""]


class _NoPairs:
    count = 0


@settings(max_examples=100)
@given(record=_records())
def test_canonical_spdi_is_the_justified_form(bundle: Bundle, record: tuple[int, str, str]) -> None:
    if record[1] == record[2] or "N" in "".join(record[1:]):
        return
    variants = _variants(record)
    form = normalise(bundle, variants).justified(0)
    texts = write_names(bundle, variants, _NoPairs(), which=("spdi_canonical",)).spdi_canonical
    assert texts is not None
    if set(record[1] + record[2]) <= set("ACGT"):
        assert texts[0] == f"chr1:{form.start}:{form.ref}:{form.alt}"


def test_the_interpreted_kernel_gives_the_same_forms(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    require(
        "a compiled kernel to compare with", kernel.COMPILED, "python3-dev, then uv sync --reinstall-package genescale"
    )
    records = [
        (pos, _BASES[pos - 1 : pos - 1 + n], alt) for pos in range(1, 60, 3) for n in (1, 3) for alt in ("A", "TT")
    ]
    variants = _variants(*records)
    compiled = normalise(bundle, variants)
    (plain,) = interpreted_kernels("normalise")
    monkeypatch.setattr("genescale.genomics.normalise._justify", plain.justify)
    monkeypatch.setattr("genescale.genomics.normalise.Sequence", plain.Sequence)
    interpreted = normalise(bundle, variants)
    for column in ("start", "end", "alt_offset", "alt_length", "left", "right"):
        assert getattr(interpreted, column).tolist() == getattr(compiled, column).tolist()


def test_a_region_bundle_rolls_within_its_region(tmp_path: Path) -> None:
    with Bundle.open(tiny_bundle(tmp_path, {"chr1:101-160": "A" * 60})) as regions:
        ours = normalise(regions, _variants((130, "A", "AA")))
        assert ours.justified(0)[:2] == (100, 160)
