"""Every form of input as VCF text: names of variants (HGVS, SPDI, rsID, VRS) and raw DNA, beside VCF itself.

What a name or a sequence means is found out by `resolve` and `align`; here each becomes VCF lines, so that one engine
annotates all. A name that cannot be read is a `Refused`, with its line, and the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from genescale.errors import InvalidInput, Permanent
from genescale.genomics.bundle import Bundle

Form: TypeAlias = Literal["vcf", "hgvs", "spdi", "id", "dna", "fasta"]
FORMS: Final = ("auto", "vcf", "hgvs", "spdi", "id", "dna", "fasta")
NOTE: Final = "GENESCALE_NOTE"

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


def as_vcf(pieces: Iterator[bytes], form: Form, bundle: Bundle, refused: list[Refused]) -> Iterator[bytes]:
    """VCF text for names or sequences. What gives no variant is appended to `refused`.

    Raises `InvalidInput` when the whole input is unreadable, for instance when it is no DNA.
    """
    yield _HEAD
    if form in {"dna", "fasta"}:
        yield from _placed(pieces, bundle, refused)
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


def _placed(pieces: Iterator[bytes], bundle: Bundle, refused: list[Refused]) -> Iterator[bytes]:
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
    aligner = Aligner(bundle)
    for dna in sequences:
        answer = aligner.place_one(dna)
        if answer.reason:
            refused.append(Refused(dna.line, answer.outcome, f"{dna.name}: {answer.reason}"))
        for call in answer.variants:
            notes = _notes([f"base {call.query_start} of the sequence"])
            yield _record(call.contig, call.position, dna.name, call.ref, call.alt, notes)


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
    '##INFO=<ID=END,Number=1,Type=Integer,Description="Last base of the variant">\n'
    '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type of a structural variant">\n'
    '##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="Length of a structural variant">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
).encode()
