"""Reading DNA as people have it: a bare string from an e-mail, FASTA with one or many sequences, a GenBank listing.

`read_dna` gives each sequence as BAM's base codes, one a byte (A 1, C 2, G 4, T 8; an IUPAC letter is the OR of its
bases, N is 15). Called by `align`'s users and by whatever takes sequence from a person. Nothing here prints bases: a
`Dna` shows its length and a keyed digest, and an error names a line, a column and the one letter that it cannot read.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.sensitive import digest

MOST_BASES: Final = 300_000_000  # human chromosome 1 has 249 million
MOST_SEQUENCES: Final = 100_000

_LETTERS: Final = b"?ACMGRSVTWYHKDBN"  # the letter of each code; 0 is no base
_BLANKS: Final = b" \t\r\n\v\f"


def _code_table() -> bytes:
    table = bytearray(256)
    for code, letter in enumerate(_LETTERS.decode()):
        if code:
            table[ord(letter)] = table[ord(letter.lower())] = code
    table[ord("U")] = table[ord("u")] = 8
    return bytes(table)


_CODE: Final = _code_table()
_LETTER: Final = (_LETTERS * 16)[:256]
_COMPLEMENT: Final = bytes(int(f"{code & 15:04b}"[::-1], 2) for code in range(256))
_LINE_NUMBER: Final = re.compile(rb"(?m)^([ \t]*)(\d+)([ \t])")
_HINTS: Final = {
    "-": "gaps of an alignment must be taken out first",
    ".": "gaps of an alignment must be taken out first",
    "*": "a stop belongs to a protein; this reads DNA",
}


@dataclass(frozen=True, slots=True)
class Dna:
    """One sequence. `codes` are its bases; `lower_case` its soft-masked stretches, a row [from, to) each.

    `uracil` counts the letters U that were read as T. `line` is where the sequence begins in the text.
    """

    name: str
    codes: bytes = field(repr=False)
    lower_case: NDArray[np.int64] = field(repr=False, compare=False)
    uracil: int
    line: int

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"<Dna {self.name!r}, {len(self.codes)} bases, {digest(self.codes)}>"


def read_dna(
    text: str | bytes, *, name: str = "sequence", most_bases: int = MOST_BASES, most_sequences: int = MOST_SEQUENCES
) -> list[Dna]:
    """The sequences of `text`, in order: FASTA when a line begins with `>`, else one bare sequence called `name`.

    Case, spaces, line ends, a byte order mark and the line numbers of a GenBank listing do not matter; U is read as T
    and counted. Raises `InvalidInput` for any other letter (with its line and column), for text without a sequence, and
    beyond the limits.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    _refuse_other_formats(raw)
    found: list[Dna] = []
    total = 0
    for title, body, line in _records(raw):
        if title is None and not body.strip(_BLANKS):
            continue  # blank lines before the first header
        if len(found) == most_sequences:
            raise InvalidInput(
                f"more than {most_sequences} sequences in one text; send them in parts",
                code="too_large",
                place=f"line {line}",
            )
        dna = _read_one(title if title is not None else name, body, line, len(found) + 1)
        total += len(dna)
        if total > most_bases:
            raise InvalidInput(
                f"more than {most_bases} bases in one text; send the sequences in parts",
                code="too_large",
                place=f"line {line}",
            )
        found.append(dna)
    if not found:
        raise InvalidInput("there is no sequence in this text", code="empty")
    return found


def letters(codes: bytes) -> str:
    """The bases of `codes` as upper-case text."""
    return codes.translate(_LETTER).decode("ascii")


def reverse_complement(codes: bytes) -> bytes:
    """The other strand, read in its own direction."""
    return codes.translate(_COMPLEMENT)[::-1]


def _records(raw: bytes) -> list[tuple[str | None, bytes, int]]:
    """Title, body and first line of each record; without any `>` one record with no title."""
    heads = [0] if raw.startswith(b">") else []
    heads += [match.end() - 1 for match in re.finditer(rb"[\r\n]>", raw)]
    records: list[tuple[str | None, bytes, int]] = []
    if not heads:
        return [(None, raw, 1)]
    if heads[0] > 0:
        records.append((None, raw[: heads[0]], 1))
    line, counted = 1, 0
    for at, following in zip(heads, [*heads[1:], len(raw)], strict=True):
        line += _lines_in(raw[counted:at])
        counted = at
        end = re.compile(rb"\r\n?|\n").search(raw, at, following)
        stop = end.start() if end else following
        title = raw[at + 1 : stop].decode("utf-8", "replace").strip()
        records.append((title.split()[0] if title else "", raw[end.end() : following] if end else b"", line + 1))
    return records


def _lines_in(text: bytes) -> int:
    """Line ends in `text`, whichever of the three kinds they are."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _read_one(title: str, body: bytes, line: int, number: int) -> Dna:
    name = title or f"sequence {number}"
    bases = body
    codes = bases.translate(_CODE, _BLANKS)
    if 0 in codes:
        bases = _LINE_NUMBER.sub(lambda match: b" " * len(match.group()), bases)
        codes = bases.translate(_CODE, _BLANKS)
    if 0 in codes:
        _refuse_letter(bases, line, name)
    kept = bases.translate(None, _BLANKS)
    return Dna(name, codes, _lower_stretches(kept), kept.count(b"U") + kept.count(b"u"), line)


def _lower_stretches(kept: bytes) -> NDArray[np.int64]:
    """Where lower case begins and ends."""
    if kept.isupper() or not kept:
        return np.empty((0, 2), np.int64)
    lower = np.zeros(len(kept) + 2, np.int8)
    lower[1:-1] = np.frombuffer(kept, np.uint8) >= ord("a")
    return np.flatnonzero(np.diff(lower)).reshape(-1, 2)


def _refuse_letter(bases: bytes, line: int, name: str) -> None:
    """Raise for the first letter that is no base, naming where it stands."""
    known = bytes(i for i in range(256) if _CODE[i]) + _BLANKS
    odd = bases.translate(None, known)[:1]
    at = bases.index(odd)
    before = bases[:at]
    start = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
    base = len(before.translate(None, _BLANKS)) + 1
    shown = ascii(chr(odd[0])) if odd[0] < 128 else f"byte 0x{odd[0]:02x}"
    hint = _HINTS.get(chr(odd[0]))
    if hint is None:
        protein = set(bases[:10_000].upper()) & set(b"EFILPQZ")
        hint = "it looks like a protein; this reads DNA" if protein else "IUPAC letters A C G T U R Y S W K M B D H V N"
    raise InvalidInput(
        f"{shown} is no base ({hint})",
        code="not_dna",
        place=f"{name}, line {line + _lines_in(before)}, column {at - start + 1} (base {base})",
    )


def _refuse_other_formats(raw: bytes) -> None:
    head = raw[:64].lstrip()
    if head.startswith(b"\x1f\x8b"):
        raise InvalidInput("this is gzip; give it unpacked", code="not_dna")
    if head.startswith(b"##fileformat=VCF"):
        raise InvalidInput("this is a VCF file; use `genescale annotate`", code="not_dna", place="line 1")
    if head.startswith(b"@") and b"\n+" in raw[:100_000]:
        raise InvalidInput("this is FASTQ; give the reads as FASTA", code="not_dna", place="line 1")
