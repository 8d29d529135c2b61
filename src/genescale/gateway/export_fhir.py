"""An analysis as FHIR R4 in the profiles of Genomics Reporting STU3 (3.0.0): a Bundle of type `collection`.

It holds one `genomic-report`, one `variant` for each finding, one `molecular-consequence` for the transcript that
stands for all, one `diagnostic-implication` for what ClinVar says, and the program as a `Device`. There is no patient
and no specimen: the platform does not know them. Everything is `preliminary`, since nobody has signed it.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final, TypeAlias

import msgspec

from genescale.gateway.export_analysis import LIMITS, RESEARCH_USE, UNKNOWN, Analysis, Finding, text
from genescale.genomics.terms import BY_NAME

Json: TypeAlias = dict[str, Any]

GUIDE: Final = "http://hl7.org/fhir/uv/genomics-reporting"
_PROFILE: Final = f"{GUIDE}/StructureDefinition"
_TBD: Final = f"{GUIDE}/CodeSystem/tbd-codes-cs"
_LOINC: Final = "http://loinc.org"
_SO: Final = "http://www.sequenceontology.org"
_HGVS: Final = "http://varnomen.hgvs.org"
_REFSEQ: Final = "http://www.ncbi.nlm.nih.gov/refseq"
_DBSNP: Final = "http://www.ncbi.nlm.nih.gov/projects/SNP"
_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"

_ASSEMBLIES: Final = {"GRCh37": "LA14029-5", "GRCh38": "LA26806-2"}
# LOINC's answer list LL2938-0: the chromosomes, in this order. It has no mitochondrion.
_CHROMOSOMES: Final = (
    *("LA21254-0", "LA21255-7", "LA21256-5", "LA21257-3", "LA21258-1", "LA21259-9", "LA21260-7", "LA21261-5"),
    *("LA21262-3", "LA21263-1", "LA21264-9", "LA21265-6", "LA21266-4", "LA21267-2", "LA21268-0", "LA21269-8"),
    *("LA21270-6", "LA21271-4", "LA21272-2", "LA21273-0", "LA21274-8", "LA21275-5", "LA21276-3", "LA21277-1"),
)
# ClinVar's classes, as the bundles spell them, in LOINC's answer list LL4034-6.
_SIGNIFICANCE: Final[Mapping[str, tuple[str, str]]] = {
    "pathogenic": ("LA6668-3", "Pathogenic"),
    "likely_pathogenic": ("LA26332-9", "Likely pathogenic"),
    "uncertain": ("LA26333-7", "Uncertain significance"),
    "likely_benign": ("LA26334-5", "Likely benign"),
    "benign": ("LA6675-8", "Benign"),
}
_STARS: Final = ("no-star", "1-star", "2-star", "3-star", "4-star")
_STATUS: Final = {"success": "preliminary", "partial": "partial", "failed": "cancelled", "cancelled": "cancelled"}
_CODE: Final = re.compile(r"[^\s\x00-\x1f\x7f]+( [^\s\x00-\x1f\x7f]+)*")
_ACCESSION: Final = re.compile(r"(?:[NX][CGMPRTW]_|ENS[A-Z]*[TPG]|LRG_)[0-9][0-9A-Za-z._]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def to_fhir(analysis: Analysis) -> bytes:
    """The Bundle as JSON. Identifiers are the same whenever the same analysis is exported."""
    device = _device(analysis)
    observations = [one for finding in analysis.findings() for one in _observations(analysis, finding)]
    report = _report(analysis, observations)
    bundle: Json = {
        "resourceType": "Bundle",
        "id": analysis.unique("bundle"),
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{analysis.unique('bundle')}"},
        "type": "collection",
        **({"timestamp": analysis.answered} if analysis.answered else {}),
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in (report, device, *observations)],
    }
    return msgspec.json.encode(bundle) + b"\n"


# ---- resources ----


def _device(analysis: Analysis) -> Json:
    versions = [
        {"type": {"text": words(name)}, "value": words(value)}
        for name, value in analysis.result.versions.items()
        if words(name) and words(value)
    ]
    device: Json = {
        "resourceType": "Device",
        "id": analysis.unique("device"),
        "deviceName": [{"name": "Genescale", "type": "model-name"}],
        "type": {"text": "annotation software"},
    }
    return {**device, "version": versions} if versions else device


def _report(analysis: Analysis, observations: list[Json]) -> Json:
    result = analysis.result
    problems = [words(f"{one.place or 'analysis'}: {one.message}") for one in result.errors]
    conclusion = f"{RESEARCH_USE} Variants: {len(result.annotations)}."
    if problems:
        conclusion += " Not answered: " + " ".join(problems)
    report: Json = {
        "resourceType": "DiagnosticReport",
        "id": analysis.unique("report"),
        "meta": {"profile": [f"{_PROFILE}/genomic-report"]},
        "text": {"status": "generated", "div": _narrative(analysis)},
        "extension": [
            {"url": f"{_PROFILE}/genomic-report-note", "valueAnnotation": _note(one, "test-disclaimer")}
            for one in (RESEARCH_USE, *LIMITS)
        ],
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{analysis.unique('analysis')}"}],
        "status": _STATUS[result.status],
        "category": [_category("v2-0074", "GE")],
        "code": _coding(_LOINC, "51969-4", "Genetic analysis report"),
        "conclusion": conclusion,
    }
    if analysis.answered:
        report["issued"] = analysis.answered
    if observations:
        report["result"] = [{"reference": f"urn:uuid:{one['id']}"} for one in observations]
    return report


def _observations(analysis: Analysis, finding: Finding) -> Iterator[Json]:
    variant = _variant(analysis, finding)
    yield variant
    if finding.picked.get("transcript"):
        yield _consequence(analysis, finding, variant["id"])
    if text(finding.known.get("clinvar", {}).get("significance")):
        yield _implication(analysis, finding, variant["id"])


def _variant(analysis: Analysis, finding: Finding) -> Json:
    observation = _observation(
        analysis, finding, "variant", _coding(_LOINC, "69548-6", "Genetic variant assessment"), "variant"
    )
    if finding.in_sequence and not finding.annotation.get("candidate"):
        observation["valueCodeableConcept"] = _coding(_LOINC, "LA9633-4", "Present")
    elif finding.in_sequence:
        observation["valueCodeableConcept"] = _coding(_LOINC, "LA11884-6", "Indeterminate")
    else:  # somebody named it: whether a sample has it is not known here
        observation["dataAbsentReason"] = _coding(_ABSENT, "unknown", "Unknown")
    notes = [f"The variant was {finding.origin}.", *(text(one.get("text")) for one in finding.notes)]
    observation["note"] = [_note(one) for one in (*finding.explanation, *notes) if words(one)]
    observation["component"] = [one for one in _variant_components(analysis, finding) if one]
    return observation


def _variant_components(analysis: Analysis, finding: Finding) -> Iterator[Json]:
    picked = finding.picked
    for gene in dict.fromkeys(text(one.get("gene")) for one in finding.consequences if "distance" not in one):
        yield _named("48018-6", "Gene studied [ID]", {"text": words(gene)} if words(gene) else {})
    assembly = analysis.known_assembly(finding)
    if assembly in _ASSEMBLIES:
        yield _named("62374-4", "Human reference sequence assembly", _coding(_LOINC, _ASSEMBLIES[assembly], assembly))
    yield _chromosome(finding)
    yield _named("48013-7", "Genomic reference sequence [ID]", _code(_REFSEQ, finding.accession))
    yield _named("81290-9", "Genomic DNA change (gHGVS)", _code(_HGVS, finding.hgvsg))
    yield from _span(finding)
    yield _text("69547-8", "Genomic ref allele [ID]", finding.ref)
    if not finding.alt.startswith("<"):
        yield _text("69551-0", "Genomic alt allele [ID]", finding.alt)
    change = change_type(finding.ref, finding.alt)
    if change:
        yield _named("48019-4", "DNA change type", _coding(_SO, *change))
    for name in finding.dbsnp:
        yield _named("81252-9", "Discrete genetic variant", _code(_DBSNP, name))
    for name in ("spdi", "vrs_id"):
        said = words(text(finding.variant.get(name)))
        yield _named("81252-9", "Discrete genetic variant", {"text": said} if said else {})
    transcript = text(picked.get("transcript"))
    if _ACCESSION.fullmatch(transcript):
        system = _REFSEQ if "_" in transcript and not transcript.startswith("LRG_") else ""
        yield _named("51958-7", "Transcript reference sequence [ID]", _code(system, transcript))
        yield _named("48004-6", "DNA change (c.HGVS)", _code(_HGVS, text(picked.get("hgvsc"))))
        yield _named("48005-3", "Amino acid change (pHGVS)", _code(_HGVS, text(picked.get("hgvsp"))))


def _chromosome(finding: Finding) -> Json:
    matched = re.fullmatch(r"NC_0000([0-2][0-9])\.[0-9]+", finding.accession)
    number = int(matched[1]) if matched else 0
    if not 1 <= number <= len(_CHROMOSOMES):
        return {}
    name = {23: "X", 24: "Y"}.get(number, str(number))
    return _named("48000-4", "Chromosome [Identifier]", _coding(_LOINC, _CHROMOSOMES[number - 1], f"Chromosome {name}"))


def _span(finding: Finding) -> Iterator[Json]:
    if finding.position is None or not finding.ref:
        return
    low, high = finding.position, finding.position + len(finding.ref) - 1
    if finding.alt.startswith("<"):
        end = finding.variant.get("end")
        high = end if isinstance(end, int) and end >= low else high
    numbers = {"low": {"value": low}, "high": {"value": high}}
    yield {"code": _coding(_LOINC, "81254-5", "Variant exact start-end"), "valueRange": numbers}
    yield _named(
        "92822-6",
        "Genomic coord system [Type]",
        _coding(_LOINC, "LA30102-0", "1-based character counting"),
    )


def _consequence(analysis: Analysis, finding: Finding, variant: str) -> Json:
    picked = finding.picked
    observation = _observation(
        analysis,
        finding,
        "molecular-consequence",
        _coding(_TBD, "molecular-consequence", "Molecular Consequence"),
        "consequence",
    )
    observation["derivedFrom"] = [{"reference": f"urn:uuid:{variant}"}]
    transcript = text(picked.get("transcript"))
    components: list[Json] = []
    if _ACCESSION.fullmatch(transcript):
        system = _REFSEQ if "_" in transcript and not transcript.startswith("LRG_") else ""
        components += [
            _named("48004-6", "DNA change (c.HGVS)", _code(_HGVS, text(picked.get("hgvsc")))),
            _named("51958-7", "Transcript reference sequence [ID]", _code(system, transcript)),
            _named("48005-3", "Amino acid change (pHGVS)", _code(_HGVS, text(picked.get("hgvsp")))),
        ]
    for term in picked.get("terms", ()):
        known = BY_NAME.get(text(term))
        concept = _coding(_SO, known.accession, known.term) if known else {"text": words(text(term)) or UNKNOWN}
        components.append(
            {"code": _coding(_TBD, "feature-consequence", "Feature Consequence"), "valueCodeableConcept": concept}
        )
    components = [one for one in components if one]
    return {**observation, "component": components} if components else observation


def _implication(analysis: Analysis, finding: Finding, variant: str) -> Json:
    said = finding.known["clinvar"]
    observation = _observation(
        analysis,
        finding,
        "diagnostic-implication",
        _coding(_TBD, "diagnostic-implication", "Diagnostic Implication"),
        "clinvar",
    )
    observation["derivedFrom"] = [{"reference": f"urn:uuid:{variant}"}]
    label = words(text(said.get("significance"))) or UNKNOWN
    known = _SIGNIFICANCE.get(text(said.get("significance_class")))
    concept: Json = {**_coding(_LOINC, *known), "text": label} if known else {"text": label}
    components = [_named("53037-8", "Genetic variation clinical significance [Imp]", concept)]
    conditions = filter(None, map(words, text(said.get("conditions")).split(";")))
    components += [_named("81259-4", "Associated phenotype", {"text": condition}) for condition in conditions]
    stars = said.get("stars")
    if isinstance(stars, int) and 0 <= stars < len(_STARS):
        level = _coding(f"{GUIDE}/CodeSystem/clinvar-evidence-level-custom-cs", _STARS[stars])
        components.append(_named("93044-6", "Level of evidence", level))
    observation["component"] = components
    source = f"Said by {finding.source_version('clinvar')}, not by this analysis."
    review = text(said.get("review_status"))
    number = text(said.get("id"))
    more = [f"Review status: {review}." if review else "", f"Number in ClinVar: {number}." if number else ""]
    observation["note"] = [_note(" ".join(part for part in (source, *more) if part))]
    return observation


# ---- parts ----


def _observation(analysis: Analysis, finding: Finding, profile: str, code: Json, what: str) -> Json:
    observation: Json = {
        "resourceType": "Observation",
        "id": analysis.unique(f"{what} {finding.number}"),
        "meta": {"profile": [f"{_PROFILE}/{profile}"]},
        "status": "preliminary",
        "category": [_category("observation-category", "laboratory"), _category("v2-0074", "GE")],
        "code": code,
        "device": {"reference": f"urn:uuid:{analysis.unique('device')}"},
    }
    if analysis.answered:
        observation["issued"] = analysis.answered
    return observation


def _category(system: str, code: str) -> Json:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def _coding(system: str, code: str, display: str = "") -> Json:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def _code(system: str, value: str) -> Json:
    """A value as a code of its system; as words when it cannot be a code; nothing when there is none."""
    if system and _CODE.fullmatch(value):
        return _coding(system, value)
    return {"text": words(value)} if words(value) else {}


def _named(code: str, display: str, concept: Json) -> Json:
    return {"code": _coding(_LOINC, code, display), "valueCodeableConcept": concept} if concept else {}


def _text(code: str, display: str, value: str) -> Json:
    return {"code": _coding(_LOINC, code, display), "valueString": words(value)} if words(value) else {}


def _note(said: str, kind: str = "") -> Json:
    note: Json = {"text": words(said)}
    if kind:
        coded = _coding(f"{GUIDE}/CodeSystem/coded-annotation-types-cs", kind)
        note = {"extension": [{"url": f"{_PROFILE}/annotation-code", "valueCodeableConcept": coded}], **note}
    return note


def _narrative(analysis: Analysis) -> str:
    lines = [RESEARCH_USE, *(finding.name for finding in analysis.findings())]
    items = "".join(f"<p>{escape(words(one) or UNKNOWN)}</p>" for one in lines)
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{items}</div>'


def words(value: str) -> str:
    """A text without what FHIR and XML forbid, and without space around it."""
    return _CONTROL.sub("\ufffd", value).strip()


def change_type(ref: str, alt: str) -> tuple[str, str] | None:
    """Accession and term of the Sequence Ontology for a change written out in bases; None for a symbolic one."""
    ref, alt = ref.upper(), alt.upper()
    if not (ref.isalpha() and alt.isalpha()) or ref == alt:
        return None
    if len(ref) == len(alt) == 1:
        return "SO:0001483", "SNV"
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        ref, alt = ref[1:], alt[1:]
    if not alt:
        return "SO:0000159", "deletion"
    if not ref:
        return "SO:0000667", "insertion"
    if len(ref) == len(alt):
        return ("SO:0001483", "SNV") if len(ref) == 1 else ("SO:0002007", "MNV")
    return "SO:1000032", "delins"
