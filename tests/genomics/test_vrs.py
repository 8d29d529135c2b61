"""VRS identifiers: the published vectors, and equal identifiers for equal changes."""

from pathlib import Path

import pytest

from genescale.genomics.bundle import Bundle
from genescale.genomics.normalise import Form
from genescale.genomics.variants import Variants, variants_of_record
from genescale.genomics.vrs import allele_id, sequence_id, sha512t24u, vrs_ids
from support.tiny_bundle import tiny_bundle

_BASES = "ACGTTGCAACACACACACGGTTTTTTGCATGCAT"


@pytest.mark.parametrize(
    ("data", "digest"),
    [(b"", "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"), (b"ACGT", "aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2")],
)
def test_the_digest_is_that_of_the_specification(data: bytes, digest: str) -> None:
    assert sha512t24u(data) == digest


def test_a_sequence_is_named_by_its_bases() -> None:
    assert sequence_id(b"ACGT") == "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"


@pytest.mark.parametrize(
    ("refget", "form", "identifier"),
    [
        # rs7412
        (
            "SQ.IIB53T8CNeJJdUqzn9V_JnRtQadwWCbl",
            Form(44908821, 44908822, "C", "T"),
            "ga4gh:VA.0AePZIWZUNsUlQTamyLrjm2HWUw2opLt",
        ),
        # an insertion that repeats bases: length 11, unit 3; which bases is left out of the digest
        (
            "SQ.Ya6Rs7DHhDeg7YaOSg1EoNi3U_nQ9SvO",
            Form(40819438, 40819446, "ACTACTAC", "ACTACTACTAC"),
            "ga4gh:VA.Oop4kjdTtKcg1kiZjIJAAR3bp7qi4aNT",
        ),
    ],
)
def test_published_alleles(refget: str, form: Form, identifier: str) -> None:
    assert allele_id(refget, form) == identifier


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path, {"chr1": _BASES}))


def _ids(bundle: Bundle, *records: tuple[int, str, str]) -> list[str]:
    rows = [row for pos, ref, alt in records for row in variants_of_record(0, pos, ref, alt.split(","))]
    return vrs_ids(bundle, Variants.of_rows(rows))


def test_one_change_has_one_identifier_however_it_is_written(bundle: Bundle) -> None:
    deletion = _ids(bundle, (8, "AAC", "A"), (9, "ACA", "A"), (11, "ACA", "A"), (10, "CAC", "C"))
    assert len(set(deletion)) == 1
    assert deletion[0].startswith("ga4gh:VA.")
    insertion = _ids(bundle, (20, "G", "GT"), (22, "T", "TT"), (26, "T", "TT"), (20, "GT", "GTT"))
    assert len(set(insertion)) == 1
    assert insertion != deletion


def test_a_batch_gives_what_single_alleles_give(bundle: Bundle) -> None:
    refget = bundle.contigs[0].refget
    assert refget == sequence_id(_BASES.encode())
    assert _ids(bundle, (3, "G", "T"), (7, "CA", "C")) == [
        allele_id(refget, Form(2, 3, "G", "T")),
        allele_id(refget, Form(7, 9, "AA", "A")),
    ]


def test_what_has_no_form_has_no_identifier(bundle: Bundle) -> None:
    assert _ids(bundle, (3, "G", "*"), (3, "G", "N"), (3, "G", "<DUP>")) == ["", "", ""]


def test_regions_of_an_unknown_assembly_have_no_digest_and_give_none(tmp_path: Path) -> None:
    with Bundle.open(tiny_bundle(tmp_path, {"chr1:11-44": _BASES}, assembly="made")) as regions:
        assert _ids(regions, (13, "G", "T")) == [""]


def test_regions_of_a_known_assembly_are_named_on_its_chromosomes(tmp_path: Path) -> None:
    with Bundle.open(tiny_bundle(tmp_path, {"chr1:11-44": _BASES}, assembly="GRCh38")) as regions:
        assert regions.contigs[0].refget == "SQ.Ya6Rs7DHhDeg7YaOSg1EoNi3U_nQ9SvO"
        assert _ids(regions, (13, "G", "T")) == [allele_id(regions.contigs[0].refget, Form(12, 13, "G", "T"))]
