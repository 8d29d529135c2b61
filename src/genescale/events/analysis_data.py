"""The payloads of `genetic.analysis.*`: what is asked, and what is answered.

Who asked, the session, the lane, the priority and the revision are extensions of the envelope and stand in none of
these. A field marked `x-sensitive` must not be printed; `redaction` obeys the mark, and so does whatever shows events.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from genescale.errors import InvalidEvent

SEQUENCE_LETTERS_MAX = 1_000_000
VARIANTS_MAX = 10_000

# IUPAC nucleotide codes, upper and lower case (lower case is soft masking, and means the same base).
NUCLEOTIDES = "ACGTURYSWKMBDHVN"
_NUCLEOTIDE_BYTES = (NUCLEOTIDES + NUCLEOTIDES.lower()).encode()
OUTPUT_BOUND = "genetic.analysis.result.output"
"""What a sealed answer in the object store is bound to, beside the id of its event and its project."""

_SENSITIVE: dict[str, Any] = {"x-sensitive": True}

Code: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{1,63}$", description="Upper case, for programs")]


class ObjectReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payload that lies in the object store because it is too large for the log."""

    name: Annotated[str, Meta(min_length=1, max_length=1024, description="Name in the object store")]
    size_bytes: Annotated[int, Meta(ge=0, description="Size of the object in bytes")]
    checksum: Annotated[str, Meta(min_length=1, max_length=256, description="Algorithm, colon, hex digits")]
    media_type: Annotated[str, Meta(max_length=256, description="Media type of the content")] = "application/json"
    sealed: (
        Annotated[str, Meta(max_length=128, description="Id of the key that opens the content; absent: not sealed")]
        | None
    ) = None


class SyntheticSequence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sequence that the worker makes from a seed: bursts and benchmarks send this instead of the letters."""

    seed: Annotated[int, Meta(ge=0, description="Seed of the burst")]
    index: Annotated[int, Meta(ge=0, description="Number of this sequence within the burst")]
    size: Annotated[int, Meta(ge=1, le=SEQUENCE_LETTERS_MAX, description="Length in bases, or how many variants")]
    kind: Annotated[
        Literal["sequence", "variants"], Meta(description="`variants`: made-up variants instead of one sequence")
    ] = "sequence"


class AnalysisRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One analysis that somebody asks for. Exactly one of the four inputs is given."""

    sequence: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=SEQUENCE_LETTERS_MAX,
                description="Nucleotides in IUPAC codes",
                extra_json_schema={**_SENSITIVE, "pattern": f"^[{NUCLEOTIDES}{NUCLEOTIDES.lower()}]+$"},
            ),
        ]
        | None
    ) = None
    variants: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=10_000)]],
            Meta(
                min_length=1,
                max_length=VARIANTS_MAX,
                description="Variants as HGVS, SPDI or rs numbers",
                extra_json_schema=_SENSITIVE,
            ),
        ]
        | None
    ) = None
    generate: Annotated[SyntheticSequence, Meta(description="Sequence to be made by the worker")] | None = None
    input: Annotated[ObjectReference, Meta(description="Input that lies in the object store")] | None = None
    species: Annotated[str, Meta(max_length=128, description="Species name, as Ensembl writes it")] = "homo_sapiens"
    assembly: (
        Annotated[str, Meta(max_length=64, description="Reference to use; absent: the worker's default")] | None
    ) = None
    description: (
        Annotated[
            str,
            Meta(max_length=2_000, description="Free text of the person who asks", extra_json_schema=_SENSITIVE),
        ]
        | None
    ) = None


class AnalysisError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that could not be done. The message is written for the person who asked and quotes no input."""

    code: Code
    message: Annotated[str, Meta(min_length=1, max_length=2_000, description="What went wrong, and the way out")]
    severity: Annotated[
        Literal["warning", "error"], Meta(description="`error` took something from the answer, `warning` did not")
    ] = "error"
    place: (
        Annotated[str, Meta(max_length=200, description="Where in the input: `variant 3`, `line 12`, `sequence 2`")]
        | None
    ) = None
    detail: (
        Annotated[
            str,
            Meta(max_length=2_000, description="What exactly, in the words of the input", extra_json_schema=_SENSITIVE),
        ]
        | None
    ) = None


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that differs between two runs of the same work. What was not measured is null, never guessed."""

    cpu_s: Annotated[float, Meta(ge=0, description="Processor time in seconds")] | None = None
    processing_ms: Annotated[float, Meta(ge=0, description="Wall time of the handling in milliseconds")] | None = None
    attempt: Annotated[int, Meta(ge=0, description="Which try this was; 0: ended before the first")] = 1
    method: Annotated[str, Meta(max_length=64, description="How the processor time was found")] | None = None
    batch: Annotated[int, Meta(ge=1, description="How many requests were handled together")] | None = None
    stages_ms: Annotated[dict[str, float], Meta(description="Wall time of each stage, for the whole batch")] | None = (
        None
    )


class AnalysisResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one answer to a request: a failure and a cancellation are answers too."""

    status: Annotated[
        Literal["success", "partial", "failed", "cancelled"],
        Meta(description="`partial` and `failed` carry at least one error"),
    ]
    annotations: Annotated[
        list[dict[str, Any]], Meta(description="One object per variant", extra_json_schema=_SENSITIVE)
    ] = []
    sequences: Annotated[
        list[dict[str, Any]],
        Meta(description="One object per sequence: where it lies and how it fits", extra_json_schema=_SENSITIVE),
    ] = []
    summary: Annotated[
        dict[str, Any], Meta(description="Counts over the whole answer", extra_json_schema=_SENSITIVE)
    ] = {}
    predictions: Annotated[
        dict[str, Any], Meta(description="Scores of the models, by model name", extra_json_schema=_SENSITIVE)
    ] = {}
    output: Annotated[ObjectReference, Meta(description="Answer that is too large for the log")] | None = None
    errors: list[AnalysisError] = []
    versions: Annotated[
        dict[str, str], Meta(description="What made this answer: pipeline, bundle, models, by name")
    ] = {}
    measured: Measured = Measured()


REQUEST_RULES: dict[str, Any] = {
    "oneOf": [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("sequence", "variants", "generate", "input")
    ]
}
RESULT_RULES: dict[str, Any] = {
    "if": {"required": ["status"], "properties": {"status": {"enum": ["partial", "failed"]}}},
    "then": {"required": ["errors"], "properties": {"errors": {"minItems": 1}}},
}


def check_request(request: AnalysisRequest) -> None:
    """The rules that types cannot say. Raises `InvalidEvent` without ever quoting the sequence."""
    given = (
        (request.sequence is not None)
        + (request.variants is not None)
        + (request.generate is not None)
        + (request.input is not None)
    )
    if given != 1:
        raise InvalidEvent(f"data: exactly one of sequence, variants, generate and input must be given, not {given}")
    if request.sequence is not None:
        _check_letters(request.sequence)


def _check_letters(sequence: str) -> None:
    if not sequence.isascii():
        place = next(index for index, letter in enumerate(sequence) if not letter.isascii())
    else:
        # Deleting every good letter costs about 1 us per 1,000 bases; a regular expression costs ten times that.
        rest = sequence.encode().translate(None, _NUCLEOTIDE_BYTES)
        if not rest:
            return
        place = sequence.encode().index(rest[:1])
    raise InvalidEvent(
        f"data.sequence: the letter at place {place + 1} of {len(sequence)} is no IUPAC nucleotide ({NUCLEOTIDES})"
    )


def check_result(result: AnalysisResult) -> None:
    """`partial` and `failed` say why. Raises `InvalidEvent`."""
    if result.status in ("partial", "failed") and not result.errors:
        raise InvalidEvent(f"data.errors: a result with status {result.status!r} must carry at least one error")
