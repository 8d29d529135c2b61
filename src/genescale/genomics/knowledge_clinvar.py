"""ClinVar's VCF (format 2.0, `clinvar.vcf.gz`): the clinical significance of a variant, and how well it is reviewed.

The terms are ClinVar's own and are kept letter by letter; `significance_class` and `stars` only order them. A label is
the opinion of submitters at a date, never a fact about a patient: the date of the release travels with the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from genescale.errors import InvalidInput
from genescale.genomics.bundle import file_digest
from genescale.genomics.knowledge import Column, Value
from genescale.genomics.knowledge_build import Fact, ImportReport, Rejected, Source, build_facts
from genescale.genomics.knowledge_files import (
    InfoReader,
    Progress,
    VcfHeader,
    VcfRow,
    allele_problem,
    read_vcf,
    rs_numbers,
    whole_or_none,
)

# https://www.ncbi.nlm.nih.gov/clinvar/docs/review_status/ : gold stars by review status, old and new words
STARS: Final[Mapping[str, int]] = {
    "practice_guideline": 4,
    "reviewed_by_expert_panel": 3,
    "criteria_provided,_multiple_submitters,_no_conflicts": 2,
    "criteria_provided,_multiple_submitters": 2,
    "criteria_provided,_conflicting_classifications": 1,
    "criteria_provided,_conflicting_interpretations": 1,
    "criteria_provided,_single_submitter": 1,
    "no_assertion_criteria_provided": 0,
    "no_assertion_provided": 0,
    "no_classification_provided": 0,
    "no_classifications_from_unflagged_records": 0,
    "no_classification_for_the_single_variant": 0,
    "no_interpretation_for_the_single_variant": 0,
}

COLUMNS: Final = (
    Column("id", "u4", "ClinVar Variation ID; VCV and nine digits of it are the accession"),
    Column("allele_id", "u4", "ClinVar Allele ID"),
    Column("significance", "text", "CLNSIG: aggregate germline classification, in ClinVar's words"),
    Column("significance_class", "category", "the same as one of a dozen classes, derived here"),
    Column("conflicting", "text", "CLNSIGCONF: the conflicting classifications and how many submitters gave each"),
    Column("review_status", "category", "CLNREVSTAT, in ClinVar's words"),
    Column("stars", "u1", "gold stars of the review status, 0 to 4"),
    Column("conditions", "text", "CLNDN: names of the conditions"),
    Column("oncogenicity", "text", "ONC: aggregate oncogenicity classification"),
    Column(
        "origin", "u4", "ORIGIN: allele origin as ClinVar's bit mask, 1 germline, 2 somatic, 4 inherited, 32 de novo"
    ),
    Column("rs", "u4", "dbSNP number"),
)
_WANTED: Final = frozenset(("ALLELEID", "CLNSIG", "CLNSIGCONF", "CLNREVSTAT", "CLNDN", "ONC", "ORIGIN", "RS"))
_CLASSES: Final[Mapping[str, str]] = {
    "pathogenic": "pathogenic",
    "likely_pathogenic": "likely_pathogenic",
    "benign": "benign",
    "likely_benign": "likely_benign",
    "uncertain_significance": "uncertain",
    "not_provided": "not_provided",
    "no_classification_for_the_single_variant": "not_provided",
    "drug_response": "drug_response",
    "risk_factor": "risk",
    "established_risk_allele": "risk",
    "likely_risk_allele": "risk",
    "uncertain_risk_allele": "risk",
    "association": "association",
    "protective": "protective",
    "affects": "affects",
}


def import_clinvar(
    bundle_dir: str | Path, path: str | Path, *, name: str = "clinvar", progress: Progress | None = None
) -> ImportReport:
    """Add a ClinVar release to a bundle. The file is `clinvar.vcf.gz` of the bundle's own assembly.

    Raises `InvalidInput` when the file is no ClinVar VCF of format 2.0 or is of another assembly.
    """
    file = Path(path)
    header, rows = read_vcf(file, progress)
    source = clinvar_source(header, file, name)
    return build_facts(bundle_dir, source, clinvar_facts(rows))


def clinvar_source(header: VcfHeader, file: Path, name: str = "clinvar") -> Source:
    """What the header says about the release."""
    if "CLNREVSTAT" not in header.info or "CLNSIG" not in header.info:
        raise InvalidInput("no ClinVar VCF: INFO fields CLNSIG and CLNREVSTAT are not declared", place=str(file))
    if "ALLELEID" not in header.info:
        raise InvalidInput(
            "a ClinVar VCF of format 1.0 (before 2017), whose labels are numbers: take a newer clinvar.vcf.gz",
            place=str(file),
        )
    date = header.values.get("fileDate", "")
    return Source(
        name,
        version=date,
        date=date,
        licence="public domain (NCBI); ClinVar asks to be cited",
        assembly=header.assembly(),
        columns=COLUMNS,
        prefer="stars",
        files=((file.name, file_digest(file)),),
    )


def clinvar_facts(rows: Iterator[VcfRow | Rejected]) -> Iterator[Fact | Rejected]:
    """One fact for each line that is about an allele."""
    info = InfoReader(_WANTED)
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        said = info.read(row.info)
        problem = "several_alternatives" if len(row.alts) > 1 else allele_problem(row.ref, row.alts[0])
        try:
            values = clinvar_values(row.ids, said)
        except ValueError:
            problem, values = problem or "bad_number", ()
        if problem:
            yield Rejected(row.line, problem)
        else:
            yield Fact(row.line, row.contig, row.position, row.ref, row.alts[0], values)


def clinvar_values(variation: str, said: Mapping[str, str]) -> tuple[Value | tuple[int, ...] | None, ...]:
    """The values of `COLUMNS`, from ClinVar's INFO fields. Raises ValueError where an identifier is no number."""
    significance, status = said.get("CLNSIG"), said.get("CLNREVSTAT")
    return (
        whole_or_none(variation),
        whole_or_none(said.get("ALLELEID")),
        significance,
        significance_class(significance) if significance else None,
        said.get("CLNSIGCONF"),
        status,
        STARS.get(status) if status else None,
        said.get("CLNDN"),
        said.get("ONC"),
        whole_or_none(said.get("ORIGIN")),
        rs_numbers(said["RS"]) if "RS" in said else None,
    )


@lru_cache(1 << 12)  # three million lines say one of a hundred things
def significance_class(significance: str) -> str:
    """One class for ClinVar's aggregate term.

    Additions such as `|drug_response` or `,_low_penetrance` do not change the class of the main term; a term that is
    not known here is `other`, and the words themselves are always kept beside it.
    """
    term = significance.replace(" ", "_").lower()
    if term.startswith("conflicting_"):
        return "conflicting"
    parts = {part.split(",")[0] for part in term.split("|")[0].split("/")}
    for likely in ("pathogenic", "benign"):
        if {likely, f"likely_{likely}"} <= parts:
            return f"{likely}_or_likely"
    return next((named for plain, named in _CLASSES.items() if plain in parts), "other")
