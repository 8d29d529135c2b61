"""Known facts in what annotate writes: any column of any source of the reference is a field."""

import json
from pathlib import Path

import pytest

from genescale.errors import InvalidInput
from genescale.genomics.annotate import Annotator, Options, annotate
from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Column
from genescale.genomics.knowledge_build import Fact, Source, build_facts
from support.tiny_bundle import tiny_bundle

SEQUENCE = "GATTACACACACACGGGGGGTTNNNNACGTACGTACGTACGTACGTACGTTTTTTTTTTTTTTTTTCAGCAGCAGCAGCAGTA" * 2
LINES = b"chr1\t9\t.\tACA\tA,G\t.\t.\t.\nchr1\t3\t.\tT\tA\t.\t.\t.\n"
LONG = "a condition, with | marks; " * 2000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_bundle(tmp_path_factory.mktemp("facts"), {"chr1": SEQUENCE})
    columns = (
        Column("rs", "u4", "dbSNP"),
        Column("significance", "text", "label"),
        Column("stars", "u1", "stars"),
        Column("conditions", "text", "names"),
    )
    shifted = Fact(1, "chr1", 5, "ACA", "A", (334, "Pathogenic|drug_response", 3, LONG))
    build_facts(folder, Source("clinvar", "1", "2024-05-09", "public", "GRCh38", columns), [shifted])
    af = (Column("af", "f4", "frequency"),)
    build_facts(folder, Source("gnomad", "4.1", "", "CC0", "GRCh38", af), [Fact(1, "chr1", 3, "T", "A", (6.57e-05,))])
    return folder


def written(path: Path, options: Options) -> str:
    with Bundle.open(path) as bundle:
        return b"".join(bytes(piece) for piece in Annotator(bundle, options).block(LINES)).decode()


def test_any_column_of_any_source_is_a_field(path: Path):
    fields = ("alt", "GNOMAD.AF", "clinvar.stars", "existing_variation", "clinical_significance", "clinvar.rs")
    with Bundle.open(path) as bundle:
        rows = [tuple(row.values()) for row in annotate(LINES, bundle, Options(fields=fields))]
    assert rows == [
        ("A", "-", "3", "rs334", "Pathogenic|drug_response", "334"),
        ("G", "-", "-", "-", "-", "-"),
        ("A", "6.57e-05", "-", "-", "-", "-"),
    ]


def test_csq_declares_facts_under_their_names_and_escapes_them(path: Path):
    options = Options(to="vcf", fields=("allele", "clinvar.significance", "gnomad.af", "clinvar.conditions"))
    first, second = written(path, options).splitlines()
    assert first.split("CSQ=")[1].startswith("A|Pathogenic&drug_response||a_condition&_with_&_marks%3B_a")
    assert first.count("marks") == 2000
    assert second.endswith("A||6.57e-05|")
    with Bundle.open(path) as bundle:
        layout = Annotator(bundle, options).layout
    assert "Format: Allele|clinvar.significance|gnomad.af|clinvar.conditions" in layout.declaration("1", "r")[1]


def test_json_has_numbers_for_numbers_and_nothing_where_a_source_is_silent(path: Path):
    fields = ("consequence", "clinvar.stars", "gnomad.af", "clinvar.conditions")
    lines = [json.loads(line) for line in written(path, Options(to="json", fields=fields)).splitlines()]
    assert [(line.get("clinvar.stars"), line.get("gnomad.af")) for line in lines] == [
        (3, None),
        (None, None),
        (None, 6.57e-05),
    ]
    assert lines[0]["clinvar.conditions"] == LONG


def test_a_field_that_the_reference_does_not_have_is_refused_with_those_that_it_has(path: Path):
    with (
        Bundle.open(path) as bundle,
        pytest.raises(InvalidInput, match=r"no field 'gnomad.ac'; there are gnomad.af, clinvar\.\* \(\d+\)"),
    ):
        Annotator(bundle, Options(fields=("gnomad.ac",)))


@pytest.mark.parametrize(
    ("where", "alts"),
    [
        ("clinvar.stars>=3", "A"),
        ("clinvar.stars>3", ""),
        ("clinvar.stars!=2", "A"),
        ("clinvar.significance=pathogenic|drug_response,benign", "A"),
        ("clinvar.significance!=benign", "A"),
        ("not clinvar.significance=benign", "AGA"),
        ("gnomad.af<0.0001", "A3"),
        ("gnomad.af<=6.57e-05 or clinvar.rs=334", "AA"),
        ("not gnomad.af>=1e-5", "AG"),
        ("gnomad.af", "A3"),
        ("not clinvar.stars and not gnomad.af", "G"),
        ("(clinvar.stars or gnomad.af) and impact=MODIFIER", "AA"),
    ],
)
def test_rows_are_filtered_by_facts_and_what_is_not_said_passes_no_comparison(path: Path, where: str, alts: str):
    with Bundle.open(path) as bundle:
        rows = list(annotate(LINES, bundle, Options(fields=("pos", "alt"), where=where)))
    assert "".join(row["alt"] for row in rows) == alts.replace("3", "")
    if "3" in alts:
        assert {row["pos"] for row in rows} == {"3"}


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("gnomad.ac>1", "the reference has no field 'gnomad.ac'; it has gnomad.af"),
        ("clinvar.significance>x", "clinvar.significance is text: only = and != compare it"),
        ("gnomad.af<rare", "gnomad.af is a number, and 'rare' is none"),
        ("gnomad.af=1,2", "gnomad.af is a number: compare it with one number"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(path: Path, where: str, words: str):
    with Bundle.open(path) as bundle, pytest.raises(InvalidInput, match=words):
        Annotator(bundle, Options(where=where))
