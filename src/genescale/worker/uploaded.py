"""The content of an uploaded object as work: VCF or BCF records, names of variants one a line, or DNA.

What is small is handled whole. What is larger is refused with the word `unavailable`, until it can be split.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from genescale.errors import InvalidInput
from genescale.genomics import bcf, bgzf
from genescale.genomics.annotate import refuse_other_assembly
from genescale.genomics.dna import read_dna
from genescale.genomics.inputs import Form, form_of
from genescale.genomics.variants import variants_of_record
from genescale.genomics.vcf import header_length, read_header, without_mark
from genescale.worker.deps import Limits
from genescale.worker.task import Named, Record, Task

_SHOWN: Final = 200
_FIELDS: Final = ("END", "SVTYPE", "SVLEN")


def parse(task: Task, content: bytes, limits: Limits) -> None:
    """Fill a task from the content. Raises `InvalidInput` when nothing of it can be read."""
    text = _unpacked(content, limits.unpacked_bytes)
    form = _form(without_mark(text[: 1 << 16]))
    if form in {"dna", "fasta"}:
        task.dna = read_dna(text, most_bases=limits.bases + 1, most_sequences=limits.sequences + 1)
        if len(task.dna) > limits.sequences or sum(map(len, task.dna)) > limits.bases:
            raise _too_large(f"more than {limits.sequences:,} sequences or {limits.bases:,} bases")
    elif form == "vcf":
        _parse_vcf(task, text, limits)
    else:
        for number, line in enumerate(text.decode("utf-8", "replace").split("\n"), 1):
            name = line.strip().lstrip("\ufeff")
            if name and not name.startswith("#"):
                task.names.append(Named(name, f"line {number}"))
        if len(task.names) > limits.records:
            raise _too_large(f"more than {limits.records:,} names")


def _form(start: bytes) -> Form:
    """What it is, comments aside: people put them above a list of names, too."""
    lines = [line for line in start.splitlines() if not line.startswith(b"#") or line.startswith(b"#CHROM")]
    return form_of(b"\n".join(lines))


def _too_large(what: str) -> InvalidInput:
    return InvalidInput(f"unavailable: this input has {what}; splitting arrives", code="unavailable")


def _unpacked(content: bytes, most: int) -> bytes:
    """The text, whatever it was packed in, and never more of it than is allowed."""
    pieces: Iterator[bytes] = iter([content])
    if bgzf.is_gzip(content[:2]):
        pieces = bgzf.read_gzip(io.BytesIO(content))
    text = _joined(pieces, most)
    return _joined(bcf.as_text(iter([text])), most) if text.startswith(b"BCF") else text


def _joined(pieces: Iterator[bytes], most: int) -> bytes:
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if len(whole) > most:
            raise _too_large(f"more than {most:,} bytes when it is unpacked")
    return bytes(whole)


def _parse_vcf(task: Task, text: bytes, limits: Limits) -> None:
    references = task.references
    assert references is not None
    text = without_mark(text)
    begin = header_length(text)
    header = read_header(text[:begin])
    for resident in references:
        refuse_other_assembly(resident.bundle, header)
    first = 1 + text.count(b"\n", 0, begin)
    lines = text[begin:].decode("utf-8", "replace").split("\n")
    if len(lines) > limits.records + 1:  # the last line has an end
        raise _too_large(f"more than {limits.records:,} records")
    for number, line in enumerate(lines, first):
        if line.strip() and not line.startswith("#"):
            _parse_line(task, line, f"line {number}")


def _parse_line(task: Task, line: str, place: str) -> None:
    references = task.references
    assert references is not None
    fields = line.rstrip("\r").split("\t", 8)
    if len(fields) < 5 or not (fields[1].isascii() and fields[1].isdigit() and len(fields[1]) < 11):
        task.problem("MALFORMED", place=place)
        return
    contig, position, identifier, ref, alts = fields[:5]
    found = references.contig(contig)
    if found is None:
        task.problem("UNKNOWN_CONTIG", place=place, detail=f"there is no sequence {contig[:60]!r}")
        return
    resident, index = found
    info = _info(fields[7]) if len(fields) > 7 else {}
    listed = alts.split(",")
    named = f"{contig}-{position}-{ref}-"
    for row in variants_of_record(index, int(position), ref, listed, info):
        alt = listed[row.allele - 1]
        shown = identifier if identifier not in {".", ""} else named + alt
        task.records.append(Record(resident, row, ref.upper(), alt.upper(), shown[:_SHOWN], place))


def _info(text: str) -> dict[str, str]:
    """The fields that say how long a structural variant is."""
    if not any(name in text for name in _FIELDS):
        return {}
    pairs = (field.partition("=") for field in text.split(";"))
    return {name: value for name, _, value in pairs if name in _FIELDS}
