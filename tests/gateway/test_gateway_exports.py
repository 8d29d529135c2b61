"""Answers as files, read back by programs that are not ours; and texts that try to be more than text."""

import copy
import csv
import io
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from genescale.clock import ManualClock
from genescale.errors import InvalidInput
from genescale.events.analysis_data import AnalysisError, AnalysisRequest, AnalysisResult, ObjectReference
from genescale.events.catalogue import CATALOGUE, new_event
from genescale.gateway import export_report
from genescale.gateway.export import FORMATS, Analysis, Unavailable, export, find_chromium, state_of
from genescale.gateway.export_fhir import change_type, words
from genescale.gateway.export_vcf import vep_allele
from genescale.genomics.references import References
from genescale.worker.deps import OpenReferences, WorkerDeps
from genescale.worker.handler import handle
from support.fhir_profiles import examples, problems
from support.require import missing, require

ASKED = [
    *("m.3243A>G", "NM_007294.4:c.68_69del", "m.8993T>G", "13-32340300-GT-G", "NC_012920.1:m.263A>G"),
    *("rs113993960", "m.1A>G"),
]
TIMES = {"requested": "2026-11-21T10:00:00.000Z", "answered": "2026-11-21T10:00:00.123Z"}
PURE = [name for name, one in FORMATS.items() if not one.printed]

# What opens or closes something in one of the formats, and what looks like a formula, a tag or an end of line.
NASTY = [
    *("<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", "&lt;b&gt;", "=1+1", "+cmd|' /C calc'!A0"),
    *("-2+3", "@SUM(A1)", "\t=1", "a\tb", "a\nb", "a\r\nb", "a;b=c,d|e&f", '"quoted', "'", "%3B", "\\t", "\u2028x"),
    *("]]>", "--><b>", "\x00\x07", "\uff1d1", "\U0001d4b3 é ß", "a" * 300, "#CHROM", "  =1"),
]
hostile = st.one_of(
    st.sampled_from(NASTY), st.text(st.sampled_from("<>&\"'=+-@;|,%\t\n\r:\\ aé\x0b\x1f"), min_size=1, max_size=12)
)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """What the worker really answers: five variants, and two that it cannot answer."""
    deps = WorkerDeps(OpenReferences(References(tmp_path_factory.mktemp("none"))), ManualClock())
    extensions = {"partitionkey": "a1", "projectid": "p1", "sessionid": "s1", "revision": 1, "priority": 5}
    wanted = AnalysisRequest(variants=ASKED)
    event = new_event(
        wanted, id="r1", source="/test", time="2026-11-21T10:00:00.000Z", subject="a1", extensions=extensions
    )
    result = CATALOGUE.read(handle([event], deps)[0], AnalysisResult)
    assert (result.status, len(result.annotations), len(result.errors)) == ("partial", 5, 2)
    return Analysis(analysis_id="0b0e0c5e-7b55-5a64-8a55-1df3bb3d7b5e", project="p1", result=result, **TIMES)


def poisoned(said: str) -> Analysis:
    """An analysis whose every text is `said`, but for what the engine itself spells."""
    annotation: dict[str, Any] = {
        "input": said,
        "reference": said,
        "variant": {"contig": "17", "position": 100, "start": 100, "end": 100, "ref": "A", "alt": "G"}
        | {"accession": said, "hgvsg": said, "spdi": said, "vrs_id": said},
        "most_severe": "missense_variant",
        "impact": "MODERATE",
        "consequences": [
            {"transcript": said, "gene": said, "gene_id": said, "biotype": said, "terms": [said], "pick": True}
            | {"hgvsc": said, "hgvsp": said, "strand": -1}
        ],
        "known": {"clinvar": {"significance": said, "conditions": said, "id": said}, said: {said: said}},
        "notes": [{"code": "x", "text": said}],
        "assessment": {"method": said, "priority": 3, "of": 5, "because": said},
        "explanation": [said],
    }
    result = AnalysisResult(
        status="partial",
        annotations=[annotation],
        sequences=[{"name": said, "reason": said, "placements": [{"reference": said, "contig": said}]}],
        errors=[AnalysisError(code="SOME_CODE", message=said, place=said, detail=said)],
        versions={"bundle": said, said: said, f"clinvar in {said}": said},
    )
    return Analysis(analysis_id=said, project=said, result=result, description=said, species=said, **TIMES)


def body(analysis: Analysis, name: str) -> bytes:
    return export(analysis, name).body


# ---- every format ----


@pytest.mark.parametrize("name", PURE)
def test_the_same_analysis_gives_the_same_bytes(analysis: Analysis, name: str) -> None:
    one = export(analysis, name)
    assert one.body == export(analysis, name).body
    assert one.file_name == f"genescale-{analysis.analysis_id}.{FORMATS[name].ending}"
    assert (b"cache-control", b"no-store") in one.headers


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("status", ["success", "failed", "cancelled"])
def test_an_answer_without_variants_can_be_exported(name: str, status: Any) -> None:
    errors = [AnalysisError(code="NO_REFERENCE", message="no reference here fits")] if status == "failed" else []
    bare = Analysis(analysis_id="a1", project="p1", result=AnalysisResult(status=status, errors=errors))
    text = body(bare, name).decode()
    assert "research use only" in text.lower() or name == "phenopacket"
    assert ("no reference here fits" in text) == (status == "failed" and name != "phenopacket")


def test_no_text_reaches_the_name_of_the_file() -> None:
    one = export(poisoned('"; filename="../../x\r\nset-cookie: a'), "json")
    assert re.fullmatch(r"genescale-[0-9A-Za-z_-]+\.json", one.file_name)


def test_what_cannot_be_exported_says_why(analysis: Analysis) -> None:
    with pytest.raises(InvalidInput, match="json, vcf, tsv") as unknown:
        export(analysis, "docx")
    assert unknown.value.code == "unknown_format"
    away = AnalysisResult(status="success", output=ObjectReference(name="x", size_bytes=1, checksum="sha256:0"))
    with pytest.raises(InvalidInput, match="load it") as elsewhere:
        export(Analysis(analysis_id="a1", project="p1", result=away), "vcf")
    assert elsewhere.value.code == "output_not_loaded"
    many = msgspec.structs.replace(analysis.result, annotations=analysis.result.annotations * 1_001)
    with pytest.raises(InvalidInput, match=r"up to 2,000 variants.*5,005; take json, vcf, tsv") as large:
        export(msgspec.structs.replace(analysis, result=many), "fhir")
    assert large.value.code == "too_many_variants"
    with pytest.raises(Unavailable, match="no Chromium"):
        export(analysis, "pdf", chromium=None)
    with pytest.raises(Unavailable, match="does not start"):
        export(analysis, "pdf", chromium="/nowhere/chromium")
    with pytest.raises(Unavailable, match="Chromium ended"):
        export(analysis, "pdf", chromium="/bin/true")
    assert state_of(None)["pdf"].startswith("unavailable")
    assert set(state_of("/usr/bin/chromium").values()) == {"available"}


# ---- JSON ----


def test_json_holds_the_result_word_for_word(analysis: Analysis) -> None:
    read = json.loads(body(analysis, "json"))
    assert msgspec.convert(read["result"], AnalysisResult) == analysis.result
    assert read["analysis"] == {"analysis_id": analysis.analysis_id, "project": "p1", **TIMES}


# ---- TSV ----


def rows_of(text: str) -> Iterator[dict[str, str]]:
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    for reading in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL):  # a program that knows quotes sees the same cells
        read = list(csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter="\t", quoting=reading))
        assert {len(one) for one in read} == {len(read[0])}
        assert len(read) == len(lines)
    yield from (dict(zip(read[0], one, strict=True)) for one in read[1:])


def plain(cell: str) -> str:
    letters = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
    return re.sub(r"\\(.)", lambda found: letters[found[1]], cell)


def test_tsv_has_a_line_for_each_variant_and_transcript(analysis: Analysis) -> None:
    rows = list(rows_of(body(analysis, "tsv").decode()))
    assert len(rows) == sum(len(one["consequences"]) for one in analysis.result.annotations)
    assert rows[0]["hgvsg"] == "NC_012920.1:m.3243A>G"
    assert rows[0]["clinvar.significance"] == "Pathogenic"
    assert rows[0]["assessment_priority"] == "5"
    assert float(rows[0]["gnomad.af_het"]) == pytest.approx(6 / 56383, rel=1e-3)
    brca = next(row for row in rows if row["gene"] == "BRCA1")
    assert (brca["terms"], brca["strand"]) == ("frameshift_variant", "-1")


@given(hostile)
def test_no_text_becomes_a_formula_or_a_row(said: str) -> None:
    (row,) = rows_of(body(poisoned(said), "tsv").decode())
    assert {plain(row[name]) for name in ("hgvsg", "gene", "notes")} <= {said, f"'{said}"}
    for name, value in row.items():
        assert name == "strand" or value.lstrip()[:1] not in set('=+-@"') or not value.strip()


# ---- VCF ----


def records_of(vcf: bytes) -> list[tuple[list[str], dict[str, str]]]:
    found: list[tuple[list[str], dict[str, str]]] = []
    for line in vcf.decode().rstrip("\n").split("\n"):
        if not line.startswith("#"):
            fields = line.split("\t")
            assert len(fields) == 8
            found.append((fields, dict(pair.split("=", 1) for pair in fields[7].split(";"))))
    return found


def test_vcf_is_read_by_bcftools(analysis: Analysis, tmp_path: Path) -> None:
    bcftools = shutil.which("bcftools")
    if bcftools is None:
        missing("bcftools", "apt-get install bcftools")
    for number, one in enumerate([analysis, *map(poisoned, NASTY)]):
        file = tmp_path / f"{number}.vcf"
        file.write_bytes(body(one, "vcf"))
        packed = tmp_path / f"{number}.vcf.gz"
        command = [bcftools, "view", "-Oz", "-o", packed, file]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (made.returncode, made.stderr) == (0, "")
    subprocess.run([bcftools, "index", "-t", tmp_path / "0.vcf.gz"], check=True)
    asked = [bcftools, "query", "-f", r"%CHROM %POS %REF %ALT %HGVSG %PRIORITY\n", tmp_path / "0.vcf.gz"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "MT 3243 A G NC_012920.1:m.3243A>G 5" in lines
    assert "17 43124027 ACT A NC_000017.11:g.43124030_43124031del 5" in lines
    assert len(lines) == 5


def test_csq_says_what_the_result_says(analysis: Analysis) -> None:
    vcf = body(analysis, "vcf")
    described = re.search(rb"Format: ([^\"]+)", vcf)
    assert described is not None
    names = described[1].decode().split("|")
    (record,) = [info for fields, info in records_of(vcf) if fields[:2] == ["17", "43124027"]]
    csq = dict(zip(names, record["CSQ"].split("|"), strict=True))
    assert (csq["Allele"], csq["Consequence"], csq["SYMBOL"], csq["EXON"]) == (
        "-",
        "frameshift_variant",
        "BRCA1",
        "2/23",
    )
    assert csq["HGVSp"] == "NP_009225.1:p.Glu23ValfsTer17"


@given(hostile)
def test_every_text_can_be_read_back_from_info(said: str) -> None:
    ((_, info),) = records_of(body(poisoned(said), "vcf"))
    assert unquote(info["INPUT"]) == said
    assert [unquote(part) for part in info["CSQ"].split("|")[3:5]] == [said, said]
    assert [unquote(part) for part in info["KNOWN"].split(",")[-1].split("|")] == [said] * 3
    assert [unquote(one) for one in info["EXPLANATION"].split(",")] == [said]


def test_what_vcf_cannot_hold_is_counted() -> None:
    whole = poisoned("x")
    (annotation,) = whole.result.annotations
    structural = copy.deepcopy(annotation)
    structural["variant"] |= {"alt": "<DEL>", "end": 400}
    wrong = [copy.deepcopy(annotation) for _ in range(3)]
    wrong[0]["variant"]["contig"] = "a b"
    wrong[1]["variant"]["ref"] = "A\tC"
    del wrong[2]["variant"]["position"]
    result = msgspec.structs.replace(whole.result, annotations=[annotation, structural, *wrong])
    vcf = body(msgspec.structs.replace(whole, result=result), "vcf")
    assert b"##genescale_left_out=3 variants" in vcf
    records = records_of(vcf)
    assert len(records) == 2
    assert (records[1][1]["SVTYPE"], records[1][1]["END"]) == ("DEL", "400")


def test_the_allele_is_written_as_vep_does() -> None:
    assert [vep_allele(*one) for one in (("A", "G"), ("AC", "A"), ("A", "AC"), ("AC", "GT"), ("A", "<DEL>"))] == [
        *("G", "-", "C", "GT", "DEL"),
    ]


# ---- FHIR ----


def resources(bundle: bytes) -> list[dict[str, Any]]:
    from fhir.resources.R4B import bundle as fhir  # noqa: PLC0415 - slow to import, and only here

    fhir.Bundle.model_validate_json(bundle)
    read = json.loads(bundle)
    there = {entry["fullUrl"] for entry in read["entry"]}
    for reference in re.findall(rb'"reference":"([^"]+)"', bundle):
        assert reference.decode() in there
    return [entry["resource"] for entry in read["entry"]]


def of_profile(found: list[dict[str, Any]], profile: str) -> list[dict[str, Any]]:
    return [one for one in found if any(url.endswith(f"/{profile}") for url in one.get("meta", {}).get("profile", []))]


def component(observation: dict[str, Any], code: str) -> list[Any]:
    values = [one for one in observation["component"] if one["code"]["coding"][0]["code"] == code]
    return [value for one in values for key, value in one.items() if key.startswith("value")]


def test_fhir_says_what_the_result_says(analysis: Analysis) -> None:
    found = resources(body(analysis, "fhir"))
    (report,) = of_profile(found, "genomic-report")
    assert report["status"] == "partial"
    assert "subject" not in report
    assert len(report["result"]) == len(found) - 2  # all but itself and the device
    assert "research use only" in report["conclusion"]
    variants = of_profile(found, "variant")
    assert len(variants) == 5
    brca = variants[1]
    assert component(brca, "81290-9")[0]["coding"][0]["code"] == "NC_000017.11:g.43124030_43124031del"
    assert component(brca, "48000-4")[0]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "LA21270-6",
        "display": "Chromosome 17",
    }
    assert component(brca, "62374-4")[0]["coding"][0]["code"] == "LA26806-2"
    assert component(brca, "48019-4")[0]["coding"][0]["code"] == "SO:0000159"
    assert component(brca, "81254-5")[0] == {"low": {"value": 43124027}, "high": {"value": 43124029}}
    # it was only named: whether anybody has it is not known
    assert "valueCodeableConcept" not in brca
    assert brca["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    clinvar = of_profile(found, "diagnostic-implication")[1]
    assert component(clinvar, "53037-8")[0]["coding"][0]["code"] == "LA6668-3"
    assert component(clinvar, "53037-8")[0]["text"] == "Pathogenic;risk factor"
    assert {"text": "Familial cancer of breast"} in component(clinvar, "81259-4")
    assert "2016-06-05" in clinvar["note"][0]["text"]
    effect = of_profile(found, "molecular-consequence")[1]
    assert component(effect, "feature-consequence")[0]["coding"][0]["code"] == "SO:0001589"
    assert effect["derivedFrom"] == [{"reference": f"urn:uuid:{brca['id']}"}]


def test_a_variant_found_in_a_sequence_is_present(analysis: Analysis) -> None:
    called = [{**one, "query_start": 1, "query_end": 1} for one in analysis.result.annotations[:2]]
    called[1]["candidate"] = True
    result = msgspec.structs.replace(analysis.result, annotations=called)
    found = of_profile(resources(body(msgspec.structs.replace(analysis, result=result), "fhir")), "variant")
    assert [one["valueCodeableConcept"]["coding"][0]["code"] for one in found] == ["LA9633-4", "LA11884-6"]


@pytest.mark.slow
def test_fhir_keeps_the_rules_of_its_profiles(analysis: Analysis) -> None:
    assert [one["id"] for one in examples() if problems(one)] == []  # the checker refuses nothing that is right
    found = resources(body(analysis, "fhir"))
    for one in (*found, *resources(body(poisoned("a<b>;c"), "fhir"))):
        assert problems(one) == []
    broken = 0
    for one in found:
        for mutant in mutants(one):
            assert problems(mutant), mutant["id"]
            broken += 1
    assert broken > 80


def mutants(good: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Copies of an observation or report, each with one rule of its profile broken."""
    if "meta" not in good:
        return
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda one: one.pop("category"),
        lambda one: one["category"].pop(),
        lambda one: one["code"]["coding"][0].update(code="69548-7"),
        lambda one: one["code"]["coding"][0].update(system="http://example.org"),
    ]
    if "derivedFrom" in good:
        changes += [lambda one: one.pop("derivedFrom"), lambda one: one.update(valueString="yes")]
    hgvs = [number for number, one in enumerate(good.get("component", [])) if "varnomen" in json.dumps(one)]
    for number in hgvs:
        changes += [
            lambda one, n=number: one["component"].append(one["component"][n]),
            lambda one, n=number: one["component"][n].pop("valueCodeableConcept"),
            lambda one, n=number: one["component"][n]["valueCodeableConcept"]["coding"][0].update(system="urn:x"),
        ]
    for change in changes:
        mutant = copy.deepcopy(good)
        change(mutant)
        yield mutant


@settings(max_examples=25)
@given(hostile)
def test_every_text_survives_in_fhir(said: str) -> None:
    found = resources(body(poisoned(said), "fhir"))
    (variant,) = of_profile(found, "variant")
    (report,) = of_profile(found, "genomic-report")
    if words(said):
        assert variant["note"][0]["text"] == words(said)
        assert words(said) in report["conclusion"]
        assert component(variant, "48018-6") == [{"text": words(said)}]
    assert tags_of(report["text"]["div"]) == {"div", "p"}


def test_changes_have_terms_of_the_sequence_ontology() -> None:
    asked = [
        ("A", "G"),
        ("AC", "A"),
        ("A", "AC"),
        ("AC", "GT"),
        ("ACG", "ATT"),
        ("ACG", "AT"),
        ("A", "<DEL>"),
        ("A", "A"),
    ]
    told = [change_type(*one) for one in asked]
    assert [one and one[1] for one in told] == ["SNV", "deletion", "insertion", "MNV", "MNV", "delins", None, None]


# ---- Phenopacket ----


def packet(content: bytes) -> Any:
    import phenopackets.schema.v2 as schema  # noqa: PLC0415
    from google.protobuf import json_format  # noqa: PLC0415

    read = json_format.Parse(content, schema.Phenopacket())
    # And back: nothing is lost, nothing is added. Protobuf leaves out the words that stand for nothing known.
    unsaid = '"(interpretationStatus|acmgPathogenicityClassification|therapeuticActionability)":"[A-Z_]+",'
    assert json_format.MessageToDict(read) == json.loads(re.sub(unsaid, "", content.decode()))
    return read


def test_the_phenopacket_claims_no_disease_and_no_class(analysis: Analysis) -> None:
    read = packet(body(analysis, "phenopacket"))
    (interpretation,) = read.interpretations
    assert interpretation.diagnosis.disease.label == "Unknown"
    found = interpretation.diagnosis.genomic_interpretations
    assert {one.subject_or_biosample_id for one in found} == {read.subject.id}
    assert {one.variant_interpretation.acmg_pathogenicity_classification for one in found} == {0}
    described = found[1].variant_interpretation.variation_descriptor
    assert (described.vcf_record.genome_assembly, described.vcf_record.pos) == ("GRCh38", 43124027)
    assert {one.syntax for one in described.expressions} == {"hgvs.g", "hgvs.c", "hgvs.p", "spdi"}


@given(hostile)
def test_every_text_survives_in_a_phenopacket(said: str) -> None:
    read = packet(body(poisoned(said), "phenopacket"))
    described = read.interpretations[0].diagnosis.genomic_interpretations[0].variant_interpretation.variation_descriptor
    assert (described.label, described.description) == (said, said)


# ---- the report ----


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def tags_of(html: str) -> set[str]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.tags


SHOWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article", "div"),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ),
    "span",
}


@given(hostile)
def test_every_text_is_text_in_the_report(said: str) -> None:
    html = body(poisoned(said), "html").decode()
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert reader.tags <= SHOWN
    assert reader.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "data-of"}
    shown = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "\ufffd", said).replace("\r\n", "\n").replace("\r", "\n")
    texts = [one.replace("\r\n", "\n").replace("\r", "\n") for one in reader.said]
    assert shown in texts
    assert html.count("<style>") == 1


def test_the_report_has_the_evidence_and_the_limits(analysis: Analysis) -> None:
    html = body(analysis, "html").decode()
    for said in (
        "Clinician review required",
        "Signed off",
        "ClinVar of macarthur-lab/clinvar, 2016-06-05",
        "REF_MISMATCH",
    ):
        assert said in html
    assert analysis.result.versions["bundle_digest"].split("+")[1] in html
    assert export_report.STYLE_HASH in html
    assert html.index("m.3243A&gt;G") < html.index("m.263A&gt;G")  # the first to look at comes first
    assert "not applied" in html


def test_a_long_answer_says_what_it_leaves_out(analysis: Analysis) -> None:
    many = [analysis.result.annotations[0]] * 1_000
    result = msgspec.structs.replace(analysis.result, annotations=many)
    html = body(msgspec.structs.replace(analysis, result=result), "html").decode()
    assert "800 more variants of lower priority are not shown" in html
    assert html.count("<article>") == export_report.DETAILED


@pytest.mark.browser
def test_the_report_prints_and_obeys_its_own_policy(analysis: Analysis, tmp_path: Path) -> None:
    chromium = find_chromium()
    require("chromium", chromium, "apt-get install chromium")
    printed = export(analysis, "pdf", chromium=chromium).body
    assert printed.startswith(b"%PDF-")
    assert not any(
        found for place in ("/dev/shm", tempfile.gettempdir()) for found in Path(place).glob("genescale-print-*")
    )
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for one in (analysis, *map(poisoned, NASTY[:3])):
            saved = tmp_path / "report.html"
            saved.write_bytes(body(one, "html"))
            for width in (390, 1280):
                page = browser.new_page(viewport={"width": width, "height": 900})
                told: list[str] = []
                page.on("console", lambda message, told=told: told.append(message.text))
                page.on("dialog", lambda dialog, told=told: told.append(dialog.message))
                page.goto(saved.as_uri())
                assert told == []
                assert page.evaluate("getComputedStyle(document.querySelector('.use')).fontWeight") == "600"
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.locator("script, img").count() == 0
                page.close()
        browser.close()


def test_the_page_of_the_documentation_lists_every_format() -> None:
    page = Path(__file__).parents[2].joinpath("docs/reference/exports.md").read_text()
    for name, one in FORMATS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"`{one.media_type.partition(';')[0]}`" in row
        assert row.endswith(f"| {one.most:,} |")
