"""Every form of input as VCF text: names of variants (HGVS, SPDI, rsID, VRS) and raw DNA, beside VCF itself.

What a name or a sequence means is found out by `resolve` and `align`; here each becomes VCF lines, so that one engine
annotates all. A name that cannot be read is a `Refused`, with its line, and the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from genescale.errors import InvalidInput, Permanent
from genescale.genomics.bundle import Bundle

if TYPE_CHECKING:
    from genescale.genomics.align import Answer

Form: TypeAlias = Literal["vcf", "hgvs", "spdi", "id", "dna", "fasta"]
FORMS: Final = ("auto", "vcf", "hgvs", "spdi", "id", "dna", "fasta")
NOTE: Final = "GENESCALE_NOTE"
CANDIDATE: Final = "GENESCALE_CANDIDATE"

_NAMES: Final = re.compile(r"(rs[0-9]+|ga4gh:\S+|\S+:\S+|\S+-[0-9]+-[A-Za-z]+-[A-Za-z]+|m\.\S+)\s*\Z", re.IGNORECASE)
_LAB_NAME: Final = re.compile(r"\S+ +\(?[cgmnp]\.\S")  # BRCA2 c.5946delT, NM_000059.3(BRCA2):c.5946del (p.Ser1982fs)
_DNA: Final = re.compile(rb"[ACGTUNRYSWKMBDHVacgtunryswkmbdhv]{12,}\s*\Z")
_MOST_DNA: Final = 256 << 20  # bytes of sequence that are held at once


@dataclass(frozen=True, slots=True)
class Refused:
    """A line or sequence of the input that gave no variant, and why."""

    line: int
    reason: str
    message: str


def form_of(start: bytes) -> Form:
    """What the input is, from its first bytes (decompressed): `vcf` where nothing else is clear."""
    if not start.strip():
        return "vcf"
    line = next((line for line in start.splitlines() if line.strip() and not line.startswith(b"##")), b"")
    if line.startswith(b">"):
        return "fasta"
    if line.startswith(b"#CHROM") or line.count(b"\t") >= 4:
        return "vcf"
    if _DNA.match(line):
        return "dna"
    text = line.decode("utf-8", "replace").strip()
    if text.lower().startswith("rs") and text[2:].isdigit():
        return "id"
    return "hgvs" if _NAMES.match(text) or _LAB_NAME.match(text) else "vcf"


def as_vcf(
    pieces: Iterator[bytes],
    form: Form,
    bundle: Bundle,
    refused: list[Refused],
    beside: Callable[[], Sequence[Bundle]] = tuple,
) -> Iterator[bytes]:
    """VCF text for names or sequences. What gives no variant is appended to `refused`.

    `beside` gives other references in which DNA is looked for too, so that what lies there, or fits both, is told and
    not forced onto `bundle`. Variants are those on `bundle` alone.

    Raises `InvalidInput` when the whole input is unreadable, for instance when it is no DNA.
    """
    yield _HEAD
    if form in {"dna", "fasta"}:
        yield from _placed(pieces, bundle, refused, beside)
    else:
        yield from _resolved(pieces, form, bundle, refused)


def _resolved(pieces: Iterator[bytes], form: Form, bundle: Bundle, refused: list[Refused]) -> Iterator[bytes]:
    from genescale.genomics.resolve import resolve  # noqa: PLC0415 - VCF input does without

    for number, line in enumerate(_lines(pieces), 1):
        name = line.decode("utf-8", "replace").strip().lstrip("\ufeff")
        if not name or name.startswith("#"):
            continue
        try:
            found = resolve(bundle, name, spdi=form == "spdi")
        except Permanent as error:
            refused.append(Refused(number, getattr(error, "code", "invalid_input"), f"{name}: {error}"))
            continue
        if not found.variants:
            refused.append(Refused(number, "no_change", f"{name}: the name states no change"))
        notes = [note.text for note in found.notes]
        if found.ambiguous:
            notes.append(f"one of {len(found.variants)} variants that the name fits")
        for variant in found.variants:
            info = [*(f"{key}={value}" for key, value in variant.info), *_notes(notes)]
            yield _record(variant.chrom, variant.pos, name, variant.ref, variant.alt, info)


def _placed(
    pieces: Iterator[bytes], bundle: Bundle, refused: list[Refused], beside: Callable[[], Sequence[Bundle]]
) -> Iterator[bytes]:
    from genescale.genomics.align import Aligner  # noqa: PLC0415 - only raw DNA needs it
    from genescale.genomics.dna import read_dna  # noqa: PLC0415

    text = bytearray()
    for piece in pieces:
        text += piece
        if len(text) > _MOST_DNA:
            raise InvalidInput(
                f"more than {_MOST_DNA >> 20} MiB of sequence in one input; send it in parts", code="too_large"
            )
    sequences = read_dna(bytes(text))
    aligner = Aligner([bundle, *beside()])
    for dna in sequences:
        answer = aligner.place_one(dna)
        remarks = [answer.reason] if answer.reason else []
        if answer.outcome != "placed":
            refused.append(Refused(dna.line, answer.outcome, f"{dna.name}: {'; '.join(remarks + _rivals(answer))}"))
        for placement in answer.placements:
            if placement.reference != bundle.name:
                where = f"{placement.contig}:{placement.start}-{placement.end} of {placement.reference}"
                text = f"{dna.name}: it lies at {where}; for its variants name --reference {placement.reference}"
                refused.append(Refused(dna.line, "other_reference", text))
                continue
            for call in placement.variants:
                notes = _notes([f"base {call.query_start} of the sequence", *remarks])
                info = [*notes, CANDIDATE] if call.candidate else notes
                yield _record(call.contig, call.position, dna.name, call.ref, call.alt, info)


def _rivals(answer: Answer) -> list[str]:
    """The places between which nobody can choose, as far as a line of text takes them."""
    places = [place for one in answer.placements if one.ambiguous for place in (one, *one.alternatives)]
    told = [f"{one.contig}:{one.start}-{one.end} of {one.reference}" for one in places[:5]]
    return [f"at {', '.join(told)}" + (" and others" if len(places) > len(told) else "")] if told else []


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _record(chrom: str, pos: int, name: str, ref: str, alt: str, info: list[str]) -> bytes:
    shown = re.sub(r"[\s;,]", "_", name) or "."
    return f"{chrom}\t{pos}\t{shown}\t{ref}\t{alt}\t.\t.\t{';'.join(info) or '.'}\n".encode()


def _notes(notes: list[str]) -> list[str]:
    text = ",".join(re.sub(r"[\s;,=]+", "_", note) for note in notes)
    return [f"{NOTE}={text}"] if text else []


_HEAD: Final = (
    "##fileformat=VCFv4.2\n"
    f'##INFO=<ID={NOTE},Number=.,Type=String,Description="What had to be assumed about the name or the sequence">\n'
    f'##INFO=<ID={CANDIDATE},Number=0,Type=Flag,Description="One of several bases that an ambiguous letter of the '
    'sequence allows: perhaps heterozygous, and no call">\n'
    '##INFO=<ID=END,Number=1,Type=Integer,Description="Last base of the variant">\n'
    '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type of a structural variant">\n'
    '##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="Length of a structural variant">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
).encode()
