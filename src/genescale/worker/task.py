"""One request on its way through the stages: what is known of it so far."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from genescale.errors import GenescaleError
from genescale.events.analysis_data import AnalysisError, AnalysisRequest
from genescale.genomics.dna import Dna
from genescale.genomics.resident import Resident
from genescale.genomics.variants import Row
from genescale.worker.deps import ReferenceSet

_PROBLEMS_MAX: Final = 100
_DETAIL_MAX: Final = 2_000

# What an error says to everybody. It must quote nothing of the input; the exact words are in its `detail`.
_MESSAGES: Final[dict[str, str]] = {
    "REF_MISMATCH": "the stated bases are not those of the reference there: another assembly, or off by one?",
    "OUTSIDE_REFERENCE": "the reference holds no sequence at this place; a whole genome must be built for it",
    "PAST_END": "the position is behind the end of its sequence, or before its beginning",
    "UNKNOWN_CONTIG": "no reference here has a sequence of this name",
    "UNKNOWN_NAME": "no reference here knows a sequence, transcript, gene or dbSNP number of this name",
    "NO_CHANGE": "it states no change of the reference",
    "MALFORMED": "this is no record of a variant",
}
_FALLBACK: Final = "it cannot be read, or is not true of the reference; the detail says what exactly"


class Named(NamedTuple):
    """A variant as somebody wrote it, and where."""

    text: str
    place: str


class Record(NamedTuple):
    """One allele of a VCF record: the row for the kernels, and REF and ALT as they were given."""

    resident: Resident
    row: Row
    ref: str
    alt: str
    text: str
    place: str


@dataclass(slots=True)
class Site:
    """One variant on one reference, found somehow; `told` is what is known of it."""

    resident: Resident
    row: Row
    ref: str
    alt: str
    told: dict[str, Any]  # begins with how it was asked for; becomes one annotation
    place: str
    notes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


@dataclass(slots=True)
class Task:
    """One request of a batch. Stages skip what is `over`: something is wrong with the whole of it."""

    request: AnalysisRequest
    references: ReferenceSet | None = None
    input: bytes | None = None  # content of the object that the request refers to
    names: list[Named] = field(default_factory=list[Named])
    records: list[Record] = field(default_factory=list[Record])
    dna: list[Dna] = field(default_factory=list[Dna])
    sites: list[Site] = field(default_factory=list[Site])
    annotations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    sequences: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: list[AnalysisError] = field(default_factory=list[AnalysisError])
    untold: int = 0  # problems beyond those that are listed
    answered: int = 0  # variants, records and sequences that got an answer
    over: bool = False

    def refuse(self, code: str, message: str, detail: str = "") -> None:
        """The request as a whole cannot be done."""
        self.over = True
        self.problem(code, message, detail=detail)

    def problem(
        self, code: str, message: str = "", *, place: str = "", detail: str = "", warning: bool = False
    ) -> None:
        """Something that could not be done. `message` quotes nothing of the input, `detail` may."""
        if len(self.problems) >= _PROBLEMS_MAX:
            self.untold += not warning
            return
        self.problems.append(
            AnalysisError(
                code=code,
                message=message or _MESSAGES.get(code, _FALLBACK),
                severity="warning" if warning else "error",
                place=place or None,
                detail=detail[:_DETAIL_MAX] or None,
            )
        )

    def wrong(self, error: GenescaleError, *, place: str = "") -> None:
        """The same, for what the genomics engine refused."""
        self.problem(code_of(error), place=place, detail=str(error))


def code_of(error: GenescaleError) -> str:
    """`ref_mismatch` becomes `REF_MISMATCH`."""
    return str(getattr(error, "code", "invalid_input")).upper()
