"""Well-known names on the embedded human genes."""

import pytest

from genescale.errors import UnknownName
from genescale.genomics.inputs import Form, Refused, as_vcf, form_of
from genescale.genomics.resolve import resolve, variants_of
from genescale.genomics.vrs import vrs_ids
from support.embedded_bundles import embedded


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("m.3243A>G", "MT-3243-A-G"),
        ("NC_012920.1:m.3243A>G", "MT-3243-A-G"),
        ("NC_012920.1(MT-TL1):m.3243A>G", "MT-3243-A-G"),
        ("MT-TL1:n.14A>G", "MT-3243-A-G"),
        ("rs199474657", "MT-3243-A-G"),
        ("MT-ND4:c.1019G>A", "MT-11778-G-A"),
        ("ND4:c.1019G>A", "MT-11778-G-A"),
        ("MT-ND6:c.190A>G", "MT-14484-T-C"),
        ("MT-ATP6:c.467T>G", "MT-8993-T-G"),
        ("MT-RNR1:n.908A>G", "MT-1555-A-G"),
        ("m.8272_8280del", "MT-8270-CACCCCCTCT-C"),
        ("m.16565_3del", "MT-16564-ACGATGGAT-A"),
    ],
)
def test_mitochondrial_names(name: str, variant: str) -> None:
    assert [str(v) for v in resolve(embedded("mitochondrion"), name).variants] == [variant]


@pytest.mark.parametrize(
    ("gene", "protein", "variant"),
    [
        ("MT-ND4", "Arg340His", "MT-11778-G-A"),
        ("MT-ND6", "Met64Val", "MT-14484-T-C"),
        ("MT-CO1", "Ter514=", "MT-7445-A-G"),
    ],
)
def test_the_known_change_is_the_first_candidate_of_its_protein_name(gene: str, protein: str, variant: str) -> None:
    found = resolve(embedded("mitochondrion"), f"{gene}:p.{protein}")
    assert str(found.variants[0]) == variant
    assert found.ambiguous


def test_a_vrs_identifier_of_a_known_variant_is_met_again() -> None:
    bundle = embedded("mitochondrion")
    identifier = vrs_ids(bundle, variants_of([resolve(bundle, "m.3243A>G")]))[0]
    found = resolve(bundle, identifier)
    assert [str(v) for v in found.variants] == ["MT-3243-A-G"]
    assert [note.code for note in found.notes] == ["vrs_source"]
    with pytest.raises(UnknownName, match="cannot be read back"):
        resolve(bundle, "ga4gh:VA.0AePZIWZUNsUlQTamyLrjm2HWUw2opLt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("NM_000059.3:c.5946delT", "13-32340300-GT-G"),
        ("NM_000059.3(BRCA2):c.5946del (p.Ser1982fs)", "13-32340300-GT-G"),
        ("BRCA2:c.5946del", "13-32340300-GT-G"),
        ("NC_000013.11:g.32340301del", "13-32340300-GT-G"),
        ("NC_000013:g.32340301del", "13-32340300-GT-G"),
        ("NC_000013.11:32340300:T:", "13-32340300-GT-G"),
        ("chr13-32340300-GT-G", "13-32340300-GT-G"),
        ("NM_007294.3:c.68_69delAG", "17-43124027-ACT-A"),
        ("NM_007294.4:c.5266dupC", "17-43057062-T-TG"),
        ("NM_000492.3:c.1521_1523delCTT", "7-117559590-ATCT-A"),
        ("NM_198253.2:c.-124C>T", "5-1295113-G-A"),
        ("NM_004006.2:c.(6438+1_6439-1)_(7098+1_7099-1)del", None),
    ],
)
def test_names_on_the_clinical_panel(name: str, variant: str | None) -> None:
    found = [str(v) for v in resolve(embedded("clinical-panel"), name).variants]
    assert found == [variant] if variant else found[0].endswith("<DEL>")


@pytest.mark.slow
def test_another_assembly_is_named() -> None:
    with pytest.raises(UnknownName, match=r"It is 13 of GRCh37\.p13; clinical-panel is GRCh38"):
        resolve(embedded("clinical-panel"), "NC_000013.10:g.32914438del")


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("m.3243A>G", "hgvs"),
        ("ND4 p.R340H", "hgvs"),
        ("NM_000059.3(BRCA2):c.5946del (p.Ser1982fs)", "hgvs"),
        ("BRCA2:NM_000059:exon11:c.5946delT:p.S1982fs", "hgvs"),
        ("13-32340300-GT-G", "hgvs"),
        ("NC_000013.11:32340300:T:", "hgvs"),
        ("rs199474657", "id"),
        ("MT\t3243\t.\tA\tG", "vcf"),
        ("MT 3243", "vcf"),
    ],
)
def test_names_are_known_by_their_first_line(line: str, form: str) -> None:
    assert form_of(line.encode() + b"\nmore\n") == form


def test_four_fields_are_spdi_where_the_input_is_said_to_be_spdi() -> None:
    def read(form: Form) -> bytes:
        refused: list[Refused] = []
        text = b"".join(as_vcf(iter([b"MT:3242:A:G\n"]), form, embedded("mitochondrion"), refused))
        return text.splitlines()[-1] if not refused else refused[0].reason.encode()

    assert read("spdi").startswith(b"MT\t3243\tMT:3242:A:G\tA\tG")
    assert read("hgvs") == b"ref_mismatch"
