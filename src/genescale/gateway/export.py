"""The exports of an answered analysis: one table from the name of a format to what it is and who writes it.

All but PDF are pure functions from an `Analysis` to bytes. A new format is one more line in `FORMATS`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from genescale.errors import InvalidInput
from genescale.gateway.export_analysis import Analysis
from genescale.gateway.export_fhir import to_fhir
from genescale.gateway.export_json import to_json
from genescale.gateway.export_pdf import Unavailable, find_chromium, print_pdf
from genescale.gateway.export_phenopacket import to_phenopacket
from genescale.gateway.export_report import CONTENT_SECURITY_POLICY, to_html
from genescale.gateway.export_table import to_tsv
from genescale.gateway.export_vcf import to_vcf

__all__ = ["FORMATS", "Analysis", "Exported", "Format", "Unavailable", "export", "find_chromium", "state_of"]


class Format(NamedTuple):
    """How an analysis can leave the platform."""

    media_type: str
    ending: str  # of the file's name
    write: Callable[[Analysis], bytes]
    meaning: str
    most: int  # variants; what is written is held in memory
    shown: bool = False  # in the browser, and not saved at once
    printed: bool = False  # by Chromium


class Exported(NamedTuple):
    """One export, ready to send."""

    media_type: str
    file_name: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


FORMATS: Final[Mapping[str, Format]] = {
    "json": Format("application/json", "json", to_json, "the request's facts and the result, word for word", 50_000),
    "vcf": Format("text/x-vcf; charset=utf-8", "vcf", to_vcf, "VCF 4.3 with consequences in CSQ", 50_000),
    "tsv": Format(
        "text/tab-separated-values; charset=utf-8", "tsv", to_tsv, "one line per variant and transcript", 50_000
    ),
    "fhir": Format("application/fhir+json", "fhir.json", to_fhir, "FHIR R4, Genomics Reporting STU3", 2_000),
    "phenopacket": Format("application/json", "phenopacket.json", to_phenopacket, "GA4GH Phenopacket v2", 5_000),
    "html": Format("text/html; charset=utf-8", "html", to_html, "a report to read and print", 50_000, shown=True),
    "pdf": Format(
        "application/pdf", "pdf", to_html, "the report, printed by Chromium", 50_000, shown=True, printed=True
    ),
}
_UNSAFE: Final = re.compile(r"[^0-9A-Za-z_-]+")


def export(analysis: Analysis, name: str, *, chromium: str | None = None) -> Exported:
    """An analysis in the format of this name. PDF blocks for some seconds, so call it from a thread.

    Raises `InvalidInput` for a format that does not exist (`unknown_format`), for a result whose content still lies in
    the object store (`output_not_loaded`) and for more variants than the format is written for (`too_many_variants`),
    `Unavailable` with the reason when PDF cannot be printed here.
    """
    chosen = FORMATS.get(name)
    if chosen is None:
        raise InvalidInput(f"there is no such export; there are {', '.join(FORMATS)}", code="unknown_format")
    result = analysis.result
    if result.output is not None and not (result.annotations or result.sequences):
        raise InvalidInput(
            "the content of this result lies in the object store: load it before exporting", code="output_not_loaded"
        )
    if len(result.annotations) > chosen.most:
        larger = [other for other, one in FORMATS.items() if one.most >= len(result.annotations)]
        raise InvalidInput(
            f"{name} is written for up to {chosen.most:,} variants, and this answer has {len(result.annotations):,}; "
            f"{'take ' + ', '.join(larger) if larger else 'split the input'}",
            code="too_many_variants",
        )
    body = chosen.write(analysis)
    if chosen.printed:
        body = print_pdf(body, chromium)
    file_name = f"genescale-{_UNSAFE.sub('-', analysis.analysis_id)[:80]}.{chosen.ending}"
    disposition = f'{"inline" if chosen.shown else "attachment"}; filename="{file_name}"'
    headers = [(b"content-disposition", disposition.encode()), (b"cache-control", b"no-store")]
    if name == "html":
        headers.append((b"content-security-policy", CONTENT_SECURITY_POLICY.encode()))
    return Exported(chosen.media_type, file_name, body, tuple(headers))


def state_of(chromium: str | None) -> dict[str, str]:
    """Each format and `available`, or why it is not."""
    reason = "unavailable: there is no Chromium on this machine"
    return {name: "available" if chromium is not None or not one.printed else reason for name, one in FORMATS.items()}
