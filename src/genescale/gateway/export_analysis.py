"""What every export reads: the facts of the request, and the result as findings with plain fields.

A field that the result does not hold is an empty text, None or an empty list here, and absent or `unknown` in the
export. Nothing is filled in.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast
from uuid import NAMESPACE_URL, uuid5

import msgspec

from genescale.events.analysis_data import AnalysisResult
from genescale.genomics.aliases import known_contigs

UNKNOWN: Final = "unknown"
_NOTHING: Final[Mapping[str, Any]] = {}
RESEARCH_USE: Final = "For research use only. A clinician must review this before anybody acts on it."
LIMITS: Final = (
    "A variant that is not listed was not found or not asked for; that does not show that it is absent.",
    "Which parts of the genome were read, and how well, is not known here: the input does not say.",
    "The priority is a rule-based order for reading. It is no classification, and no diagnosis.",
    'The criteria of ACMG/AMP are not applied. Labels such as "pathogenic" are those of the named source, on its date.',
    "Secondary findings were not looked for, and nothing is said about medicines.",
    "No laboratory director has signed this.",
)


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """One answered analysis. Times are RFC 3339; None when they are not known."""

    analysis_id: str
    project: str
    result: AnalysisResult  # whole: what lies in the object store was fetched before
    result_id: str | None = None
    revision: int | None = None
    requested: str | None = None
    answered: str | None = None
    species: str | None = None
    assembly: str | None = None  # as the request named it
    description: str | None = None

    def findings(self) -> Iterator["Finding"]:
        """One for each variant, in the order of the result."""
        for number, annotation in enumerate(self.result.annotations, 1):
            yield Finding(number, annotation, self.result.versions)

    def unique(self, what: str) -> str:
        """A UUID that is the same whenever the same analysis is exported."""
        return str(uuid5(NAMESPACE_URL, f"urn:genescale:{self.project}:{self.analysis_id}:{what}"))

    def known_assembly(self, finding: "Finding") -> str:
        """GRCh37, GRCh38 or another, or an empty text: from the result, or because only one has this accession."""
        known = known_sequence(finding.accession)
        said = text(finding.annotation.get("assembly")) or (known[0] if known else "")
        return said or self.result.versions.get("assembly", "")


class Finding(NamedTuple):
    """One variant of a result, and what is said of it."""

    number: int
    annotation: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def variant(self) -> Mapping[str, Any]:
        """Where it is and what its names are."""
        return mapping(self.annotation.get("variant"))

    @property
    def contig(self) -> str:
        """Name of the sequence in the reference."""
        return text(self.variant.get("contig"))

    @property
    def position(self) -> int | None:
        """POS of VCF."""
        return whole(self.variant.get("position"))

    @property
    def ref(self) -> str:
        """REF of VCF."""
        return text(self.variant.get("ref"))

    @property
    def alt(self) -> str:
        """ALT of VCF, one allele."""
        return text(self.variant.get("alt"))

    @property
    def accession(self) -> str:
        """RefSeq accession of the sequence."""
        return text(self.variant.get("accession"))

    @property
    def hgvsg(self) -> str:
        """Name on the genome."""
        return text(self.variant.get("hgvsg"))

    @property
    def name(self) -> str:
        """The best short name there is."""
        return self.hgvsg or f"{self.contig or UNKNOWN}:{self.position or UNKNOWN} {self.ref}>{self.alt}"

    @property
    def reference(self) -> str:
        """The reference that it was found in."""
        return text(self.annotation.get("reference"))

    @property
    def consequences(self) -> list[Mapping[str, Any]]:
        """One for each transcript."""
        return mappings(self.annotation.get("consequences"))

    @property
    def picked(self) -> Mapping[str, Any]:
        """The consequence that stands for all, empty when there is none."""
        return next((one for one in self.consequences if one.get("pick")), _NOTHING)

    @property
    def known(self) -> dict[str, Mapping[str, Any]]:
        """What each source says of it."""
        return {source: mapping(said) for source, said in mapping(self.annotation.get("known")).items()}

    def source_version(self, source: str) -> str:
        """Name and date of a source in the reference of this variant, or `unknown`."""
        return self.versions.get(f"{source} in {self.reference}", UNKNOWN)

    @property
    def dbsnp(self) -> list[str]:
        """The dbSNP numbers that sources give."""
        numbers = (whole(said.get("rs")) for said in self.known.values())
        return [f"rs{number}" for number in dict.fromkeys(numbers) if number]

    @property
    def assessment(self) -> Mapping[str, Any]:
        """Method, priority and reason."""
        return mapping(self.annotation.get("assessment"))

    @property
    def priority(self) -> int:
        """How soon to look at it; 0 when nothing says so."""
        return whole(self.assessment.get("priority")) or 0

    @property
    def in_sequence(self) -> bool:
        """Whether it was found in a sequence that was given, and not merely asked for by its name."""
        return "query_start" in self.annotation

    @property
    def origin(self) -> str:
        """How it came into the analysis, in words."""
        given = text(self.annotation.get("input")) or UNKNOWN
        if not self.in_sequence:
            return f"asked for as {given}"
        return f"found in {given}" + (", as a candidate only" if self.annotation.get("candidate") else "")

    @property
    def explanation(self) -> list[str]:
        """Sentences."""
        return texts(self.annotation.get("explanation"))

    @property
    def notes(self) -> list[Mapping[str, Any]]:
        """What was assumed."""
        return mappings(self.annotation.get("notes"))


def text(value: Any) -> str:
    """A value as words: nothing is an empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, (list, tuple)):
        return "; ".join(text(one) for one in cast("list[Any]", value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {text(one)}" for name, one in cast("dict[str, Any]", value).items())
    return str(value)


def whole(value: Any) -> int | None:
    """A whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; anything else is an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [mapping(one) for one in cast("list[Any]", value)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The texts of a list."""
    return [text(one) for one in cast("list[Any]", value)] if isinstance(value, list) else []


@lru_cache(maxsize=1_000)
def known_sequence(accession: str) -> tuple[str, int] | None:
    """The human assembly that a sequence of this accession is of, without its patch level, and the sequence's length.

    The assembly is an empty text where several share the sequence, as all do the mitochondrion.
    """
    found = [one for one in known_contigs() if accession and accession in one.names]
    assemblies = {one.assembly.partition(".")[0] for one in found}
    return ("".join(assemblies) if len(assemblies) == 1 else "", found[0].length) if found else None
