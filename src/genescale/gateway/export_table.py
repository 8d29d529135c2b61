r"""An analysis as tab-separated text: one line for each variant and transcript, for spreadsheets and scripts.

One record is always one line, and a tab always ends a cell: what would break that is written as backslash and letter
(`\t`, `\n`, `\r`, `\\`). A text that a spreadsheet would run as a formula, or that begins like a comment or a
quoted cell, gets an apostrophe before it. Numbers are left as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from genescale.gateway.export_analysis import RESEARCH_USE, Analysis, Finding, text

_VARIANT: Final = ("contig", "position", "ref", "alt", "accession", "hgvsg", "spdi", "vrs_id")
_ROW: Final = (
    *("gene", "gene_id", "transcript", "biotype", "strand", "canonical", "mane_select", "pick", "terms", "impact"),
    *("hgvsc", "hgvsp", "exon", "intron", "cdna_position", "cds_position", "protein_position", "amino_acids", "codons"),
    "distance",
)
_ASSESSMENT: Final = ("method", "priority", "because")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# Full-width forms too: spreadsheets of East Asian locales read them as the plain ones.
_FORMULA: Final = frozenset("=+-@#\"'\uff1d\uff0b\uff0d\uff20")


def to_tsv(analysis: Analysis) -> bytes:
    """Comment lines that begin with `#`, one line of names, and the rows."""
    findings = list(analysis.findings())
    facts = sorted({(source, name) for one in findings for source, said in one.known.items() for name in said})
    names = [
        *("input", "reference", *_VARIANT, "most_severe", *_ROW, *(f"assessment_{name}" for name in _ASSESSMENT)),
        *(f"{source}.{name}" for source, name in facts),
        *("explanation", "notes"),
    ]
    lines = [*_comments(analysis), "\t".join(cell(name) for name in names)]
    for finding in findings:
        lines += _rows(finding, facts)
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _comments(analysis: Analysis) -> Iterator[str]:
    yield f"# {RESEARCH_USE}"
    for name, value in (("analysis", analysis.analysis_id), ("status", analysis.result.status)):
        yield f"# {name}: {_one_line(value)}"
    for name, value in analysis.result.versions.items():
        yield f"# {_one_line(name)}: {_one_line(value)}"
    for one in analysis.result.errors:
        yield f"# {one.severity} {_one_line(one.code)} {_one_line(one.place or '')}: {_one_line(one.message)}"


def _rows(finding: Finding, facts: list[tuple[str, str]]) -> Iterator[str]:
    before = [finding.annotation.get("input"), finding.reference, *(finding.variant.get(name) for name in _VARIANT)]
    known = finding.known
    after = [
        *(finding.assessment.get(name) for name in _ASSESSMENT),
        *(known[source].get(name) if source in known else None for source, name in facts),
        " ".join(finding.explanation),
        [text(one.get("text")) for one in finding.notes],
    ]
    nothing: list[Mapping[str, Any]] = [{}]
    for row in finding.consequences or nothing:
        terms = ",".join(text(term) for term in row.get("terms", ()))
        middle = (terms if name == "terms" else row.get(name) for name in _ROW)
        cells = [*before, finding.annotation.get("most_severe"), *middle, *after]
        yield "\t".join(cell(one) for one in cells)


def cell(value: Any) -> str:
    """A value as it stands between two tabs."""
    if isinstance(value, (int, float)):
        return text(value)
    said = _one_line(text(value))
    return f"'{said}" if said.lstrip()[:1] in _FORMULA and said.strip() else said


def _one_line(value: str) -> str:
    return value.translate(_ESCAPES)
