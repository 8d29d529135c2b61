"""An analysis as VCF 4.3, without samples: one record for each variant, consequences in CSQ as VEP writes them.

Special characters in INFO are percent-encoded as VCF 4.3 says, so that every text can be read back; in CSQ also `|` and
`&`, which join its own fields. Records are sorted, so that the file can be compressed and indexed as it is.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from genescale.gateway.export_analysis import RESEARCH_USE, Analysis, Finding, known_sequence, text, whole

_CSQ: Final = (
    *(("Allele", ""), ("Consequence", "terms"), ("IMPACT", "impact"), ("SYMBOL", "gene"), ("Gene", "gene_id")),
    *(("Feature_type", ""), ("Feature", "transcript"), ("BIOTYPE", "biotype"), ("EXON", "exon")),
    *(("INTRON", "intron"), ("HGVSc", "hgvsc"), ("HGVSp", "hgvsp"), ("cDNA_position", "cdna_position")),
    *(("CDS_position", "cds_position"), ("Protein_position", "protein_position"), ("Amino_acids", "amino_acids")),
    *(("Codons", "codons"), ("DISTANCE", "distance"), ("STRAND", "strand"), ("PICK", "pick")),
    ("CANONICAL", "canonical"),
)
_INFO: Final = (
    ("CSQ", "."), ("INPUT", "1"), ("HGVSG", "1"), ("SPDI", "1"), ("VRS_ID", "1"), ("PRIORITY", "1"),
    ("PRIORITY_BECAUSE", "1"), ("KNOWN", "."), ("EXPLANATION", "."), ("NOTE", "."), ("END", "1"), ("SVTYPE", "1"),
)  # fmt: skip
_MEANING: Final[Mapping[str, str]] = {
    "CSQ": "Consequence annotations. Format: " + "|".join(name for name, _ in _CSQ),
    "INPUT": "How the variant was asked for",
    "HGVSG": "HGVS name on the genome",
    "SPDI": "SPDI in its fully justified form",
    "VRS_ID": "Computed identifier of GA4GH VRS 2.0",
    "PRIORITY": "How soon to look at it, 5 the soonest, by the rule-based baseline. No classification",
    "PRIORITY_BECAUSE": "The rule that gave the priority",
    "KNOWN": "What sources say, as source|field|value",
    "EXPLANATION": "Sentences made from the facts of this record",
    "NOTE": "What was assumed",
    "END": "Last position of a structural variant",
    "SVTYPE": "Type of a structural variant",
}
_NUMBERS: Final = frozenset({"PRIORITY", "END"})
_CONTIG: Final = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")
_REF: Final = re.compile(r"[ACGTN]+")
_ALT: Final = re.compile(r"[ACGTN]+|<[0-9A-Za-z_:.*-]+>|\.?[ACGTN]*[\[\]][^\s,;=<>\[\]]+[\[\]][ACGTN]*\.?")
_SPECIAL: Final = re.compile(r"[%;=,\x00-\x1f\x7f]")
_SPECIAL_IN_CSQ: Final = re.compile(r"[%;=,|&\x00-\x1f\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


class _Record(NamedTuple):
    order: tuple[int, int]
    line: str


def to_vcf(analysis: Analysis) -> bytes:
    """The file. A variant whose place, REF or ALT is not known is counted in the header and left out."""
    contigs: dict[str, str] = {}  # name to accession, in the order in which they come
    records: list[_Record] = []
    left_out = 0
    for finding in analysis.findings():
        position = finding.position
        written = position is not None and position >= 0 and bool(_CONTIG.fullmatch(finding.contig))
        ref, alt = finding.ref.upper(), finding.alt if finding.alt.startswith("<") else finding.alt.upper()
        if position is None or not (written and _REF.fullmatch(ref) and _ALT.fullmatch(alt)):
            left_out += 1
            continue
        contigs.setdefault(finding.contig, finding.accession)
        named = ";".join(finding.dbsnp) or "."
        info = ";".join(_info(finding, alt)) or "."
        order = (list(contigs).index(finding.contig), position)
        records.append(_Record(order, f"{finding.contig}\t{position}\t{named}\t{ref}\t{alt}\t.\t.\t{info}"))
    records.sort(key=lambda record: record.order)
    lines = [*_header(analysis, contigs, left_out), *(record.line for record in records)]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _header(analysis: Analysis, contigs: Mapping[str, str], left_out: int) -> Iterator[str]:
    yield "##fileformat=VCFv4.3"
    yield f"##genescale_use={RESEARCH_USE}"
    yield f"##genescale_analysis={_plain(analysis.analysis_id)}"
    yield f"##genescale_status={analysis.result.status}"
    for name, value in analysis.result.versions.items():
        yield f"##genescale_version={_plain(name)}: {_plain(value)}"
    for one in analysis.result.errors:
        yield f"##genescale_{one.severity}={_plain(one.code)} {_plain(one.place or '')}: {_plain(one.message)}"
    if left_out:
        yield f"##genescale_left_out={left_out} variants whose place, REF or ALT cannot be written in VCF"
    for name, accession in contigs.items():
        known = known_sequence(accession)
        length = f",length={known[1]}" if known else ""
        assembly = f",assembly={known[0]}" if known and known[0] else ""
        yield f"##contig=<ID={name}{length}{assembly}>"
    for name, number in _INFO:
        kind = "Integer" if name in _NUMBERS else "String"
        yield f'##INFO=<ID={name},Number={number},Type={kind},Description="{_MEANING[name]}">'
    yield "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def _info(finding: Finding, alt: str) -> Iterator[str]:
    rows = [_csq(finding, row, alt) for row in finding.consequences]
    if rows:
        yield "CSQ=" + ",".join(rows)
    single = {
        "INPUT": finding.annotation.get("input"),
        "HGVSG": finding.hgvsg,
        "SPDI": finding.variant.get("spdi"),
        "VRS_ID": finding.variant.get("vrs_id"),
        "PRIORITY": finding.priority or None,
        "PRIORITY_BECAUSE": finding.assessment.get("because"),
    }
    for name, value in single.items():
        if value is not None and value != "":
            yield f"{name}={encoded(text(value))}"
    known = [
        "|".join(encoded(text(part), joined=True) for part in (source, name, value))
        for source, said in finding.known.items()
        for name, value in said.items()
    ]
    lists = {
        "KNOWN": known,
        "EXPLANATION": [encoded(one) for one in finding.explanation],
        "NOTE": [encoded(text(one.get("text"))) for one in finding.notes],
    }
    for name, values in lists.items():
        if values:
            yield f"{name}={','.join(values)}"
    end = whole(finding.variant.get("end"))
    if alt.startswith("<"):
        yield f"SVTYPE={encoded(alt[1:-1].partition(':')[0])}"
        if end is not None and finding.position is not None and end >= finding.position:
            yield f"END={end}"


def _csq(finding: Finding, row: Mapping[str, Any], alt: str) -> str:
    fields: list[str] = []
    for name, key in _CSQ:
        if name == "Allele":
            fields.append(encoded(vep_allele(finding.ref, alt), joined=True))
        elif name == "Feature_type":
            fields.append("Transcript" if row.get("transcript") else "")
        elif name == "Consequence":
            fields.append("&".join(encoded(text(term), joined=True) for term in row.get("terms", ())))
        else:
            value = row.get(key)
            said = {"PICK": "1", "CANONICAL": "YES"}.get(name, "") if value is True else text(value)
            fields.append(encoded(said, joined=True))
    return "|".join(fields)


def vep_allele(ref: str, alt: str) -> str:
    """The ALT allele as VEP writes it: without the first base that it shares, `-` for nothing left."""
    if alt.startswith("<"):
        return alt[1:-1]
    if len(ref) != len(alt) and ref[:1].upper() == alt[:1].upper():
        return alt[1:] or "-"
    return alt


def encoded(value: str, *, joined: bool = False) -> str:
    """A text for INFO, or for a part of a field whose parts are `joined` by `|`. `urllib.parse.unquote` reads it."""
    special = _SPECIAL_IN_CSQ if joined else _SPECIAL
    return special.sub(lambda found: f"%{ord(found[0]):02X}", value)


def _plain(value: str) -> str:
    """A text for a header line, which has no escapes: no line breaks, and never the beginning of a structure."""
    return _CONTROL.sub(" ", value).lstrip("<")
