"""An analysis as a Phenopacket v2 in its JSON form.

The schema wants a subject and a disease for each interpretation. Neither is known here: the subject's identifier stands
for whoever the input is of and means nothing outside this packet, and the disease is NCIT's concept `Unknown`. No
classification is claimed: what ClinVar says stands in the variant's extensions, with its version.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from genescale.gateway.export_analysis import LIMITS, RESEARCH_USE, UNKNOWN, Analysis, Finding, text

Json: TypeAlias = dict[str, Any]

_GENE_ID: Final = re.compile(r"HGNC:[0-9]+|ENSG[0-9]{11}(\.[0-9]+)?")
_LONE: Final = re.compile("[\ud800-\udfff]")


def to_phenopacket(analysis: Analysis) -> bytes:
    """The packet. A result without variants has no interpretation."""
    subject = f"subject-of-{analysis.unique('subject')}"
    genomic = [_genomic(analysis, finding, subject) for finding in analysis.findings()]
    packet: Json = {"id": analysis.unique("phenopacket"), "subject": {"id": subject}}
    if genomic:
        packet["interpretations"] = [
            {
                "id": analysis.unique("interpretation"),
                "progressStatus": "IN_PROGRESS",
                "diagnosis": {
                    "disease": {"id": "NCIT:C17998", "label": "Unknown"},
                    "genomicInterpretations": genomic,
                },
                "summary": " ".join((RESEARCH_USE, *LIMITS)),
            }
        ]
    packet["metaData"] = _meta(analysis)
    return msgspec.json.encode(packet) + b"\n"


def _meta(analysis: Analysis) -> Json:
    versions = analysis.result.versions
    meta: Json = {
        "createdBy": f"Genescale {versions.get('code', UNKNOWN)}",
        "submittedBy": UNKNOWN,
        "resources": [
            {
                "id": "ncit",
                "name": "NCI Thesaurus",
                "url": "http://purl.obolibrary.org/obo/ncit.owl",
                "version": UNKNOWN,
                "namespacePrefix": "NCIT",
                "iriPrefix": "http://purl.obolibrary.org/obo/NCIT_",
            }
        ],
        "phenopacketSchemaVersion": "2.0",
        "externalReferences": [
            {"id": f"genescale:{_clean(name)}".replace(" ", "_"), "description": _clean(value)}
            for name, value in versions.items()
        ],
    }
    return {"created": analysis.answered, **meta} if analysis.answered else meta


def _genomic(analysis: Analysis, finding: Finding, subject: str) -> Json:
    return {
        "subjectOrBiosampleId": subject,
        "interpretationStatus": "UNKNOWN_STATUS",
        "variantInterpretation": {
            "acmgPathogenicityClassification": "NOT_PROVIDED",
            "therapeuticActionability": "UNKNOWN_ACTIONABILITY",
            "variationDescriptor": _descriptor(analysis, finding),
        },
    }


def _descriptor(analysis: Analysis, finding: Finding) -> Json:
    descriptor: Json = {
        "id": analysis.unique(f"variant {finding.number}"),
        "label": _clean(finding.name),
        "description": _clean(" ".join(finding.explanation)),
        "expressions": [{"syntax": kind, "value": _clean(value)} for kind, value in _expressions(finding)],
        "moleculeContext": "genomic",
        "extensions": [{"name": _clean(name), "value": _clean(value)} for name, value in _extensions(finding) if value],
    }
    record = _vcf_record(analysis, finding)
    if record:
        descriptor["vcfRecord"] = record
    picked = finding.picked
    if _GENE_ID.fullmatch(text(picked.get("gene_id"))) and text(picked.get("gene")):
        descriptor["geneContext"] = {"valueId": text(picked["gene_id"]), "symbol": _clean(text(picked["gene"]))}
    if finding.dbsnp:
        descriptor["xrefs"] = [f"dbSNP:{name}" for name in finding.dbsnp]
    return {name: value for name, value in descriptor.items() if value}


def _expressions(finding: Finding) -> Iterator[tuple[str, str]]:
    kind = finding.hgvsg.rpartition(":")[2][:1]
    if finding.hgvsg and kind in {"g", "m"}:
        yield f"hgvs.{kind}", finding.hgvsg
    for name in ("hgvsc", "hgvsp"):
        value = text(finding.picked.get(name))
        kind = value.rpartition(":")[2][:1]
        if kind in {"c", "n", "p"}:
            yield f"hgvs.{kind}", value
    spdi = text(finding.variant.get("spdi"))
    if spdi:
        yield "spdi", spdi


def _vcf_record(analysis: Analysis, finding: Finding) -> Json:
    if finding.position is None or not (finding.contig and finding.ref and finding.alt):
        return {}
    return {
        "genomeAssembly": _clean(analysis.known_assembly(finding) or UNKNOWN),
        "chrom": _clean(finding.contig),
        "pos": str(finding.position),  # 64 bits: protobuf writes these as texts
        "ref": _clean(finding.ref),
        "alt": _clean(finding.alt),
    }


def _extensions(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "input", text(finding.annotation.get("input"))
    yield "reference", finding.reference
    yield "vrs_id", text(finding.variant.get("vrs_id"))
    picked = finding.picked
    yield "gene", text(picked.get("gene"))
    yield "transcript", text(picked.get("transcript"))
    yield "consequence", ",".join(text(term) for term in picked.get("terms", ()))
    yield "impact", text(picked.get("impact"))
    for name in ("method", "priority", "because"):
        yield f"assessment.{name}", text(finding.assessment.get(name))
    for source, said in finding.known.items():
        yield f"{source}.version", finding.source_version(source)
        for name, value in said.items():
            yield f"{source}.{name}", text(value)
    for one in finding.notes:
        yield "note", text(one.get("text"))


def _clean(value: str) -> str:
    return _LONE.sub("\ufffd", value)
