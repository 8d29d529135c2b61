"""Reading and writing HGVS names: text to typed parts and back, with no reference in sight.

`parse("NM_004006.2:c.4375C>T")` says what the name states; whether a transcript of that name exists and what its bases
are is the question of `resolve`. `parse_lab_name` reads what laboratories write around a name.

Outdated forms that have one clear meaning are read (`delGGT`, `dupA`, `del6insGG`, `GC>TA`, `fsX12`), withdrawn ones
are refused with the form to write instead. Every refusal is an `HgvsSyntaxError` that names the column.
"""

import re
from collections.abc import Callable
from typing import Final

from genescale.genomics.hgvs_parser import HgvsSyntaxError, Parser, T
from genescale.genomics.hgvs_parts import (
    Change,
    HgvsAllele,
    HgvsPlace,
    HgvsVariant,
    LabName,
)

CHARACTERS_MAX: Final = 100_000
"""A longer text is not a name. An insertion of more bases belongs in a VCF record."""

_PLAIN: Final = re.compile(r"[^:\s]+:[gmcnrp]\.\S*\Z")
_EXON: Final = re.compile(r"(?:exon|intron|ex|in)\.?[0-9]+(?:-[0-9]+)?\Z", re.IGNORECASE)
_ACCESSION_FIELD: Final = re.compile(r"(?:[NX][MRPCGTW]_|ENS[A-Z]*[TPG][0-9]|LRG_[0-9])", re.IGNORECASE)


def _trimmed(text: str) -> str:
    if len(text) > CHARACTERS_MAX:
        message = f"a name of {len(text)} characters is not read (limit {CHARACTERS_MAX}); give long insertions as VCF"
        raise HgvsSyntaxError(message, text="", position=CHARACTERS_MAX)
    trimmed = text.strip()
    if not trimmed:
        raise HgvsSyntaxError("the name is empty", text=text, position=0)
    return trimmed


def parse(text: str) -> HgvsVariant | HgvsAllele:
    """The typed parts of an HGVS name of any type (g. m. c. n. r. p.), or an `HgvsSyntaxError` that names the column.

    >>> str(parse("NM_004006.2:c.4375C>T").change.edit.ref)
    'C'
    """
    parser = Parser(_trimmed(text))
    return parser.whole(parser.variant)


def parse_place(text: str) -> HgvsPlace:
    """The typed parts of a place without a change, like `NM_004006.2:c.22+6`."""
    parser = Parser(_trimmed(text))
    return parser.whole(parser.place)


def format_hgvs(variant: HgvsVariant | HgvsAllele, *, stated: bool = True) -> str:
    """The name of `variant`. `stated=False` leaves out the bases that HGVS recommends to leave out (`delGGT` as `del`).

    `parse(format_hgvs(x)) == x` for everything that `parse` returns.
    """
    return variant.text(stated=stated)


# --- laboratory strings -----------------------------------------------------------------------------------------------


def is_lab_name(text: str) -> bool:
    """Whether `text` is more than one plain HGVS name: further fields, or a protein name behind the one on DNA."""
    behind = text.partition(":")[2]
    if _PLAIN.match(text.strip()) and ":p." not in behind:
        return False
    return any(text[start + 1 : start + 2] == "." and text[start] in "cngmp" for start, _end in _fields(text))


def parse_lab_name(text: str) -> LabName:
    """What labs and ClinVar write: `BRCA2:NM_000059:exon11:c.5946delT:p.S1982fs`, `NM_1.3(BRCA2):c.5del (p.Ser2fs)`.

    Fields stand between colons or spaces, in any order. The one on DNA (c. n. g. m.) is the name, and the p. is kept
    with it; alone (`BRCA1 p.C61G`) the p. is the name.
    """
    trimmed = _trimmed(text)
    gene = exon = accession = ""
    dna: tuple[int, int] | None = None
    protein: Change | None = None
    for start, end in _fields(trimmed):
        field = trimmed[start:end]
        if field.startswith("p."):
            protein = _part_of(trimmed, start + 2, end, Parser.p_change)
        elif field[1:2] == "." and field[0] in "gmcnr":
            dna = (start, end)
        elif _EXON.match(field):
            exon = field
        elif not accession and _ACCESSION_FIELD.match(field):
            accession, gene_inside = _part_of(trimmed, start, end, Parser.reference)
            gene = gene or gene_inside
        elif not gene:
            gene = _part_of(trimmed, start, end, Parser.gene_symbol)
        else:
            raise HgvsSyntaxError("a field that is no accession, gene, exon, c. or p.", text=trimmed, position=start)
    if dna is None and protein is None:
        raise HgvsSyntaxError("no change among the fields; write c. n. g. m. or p.", text=trimmed, position=0)
    if not accession and not gene:
        raise HgvsSyntaxError("no accession and no gene before the change", text=trimmed, position=0)
    name = accession or gene
    if dna is None:
        assert protein is not None, "one of the two is there"
        return LabName(HgvsVariant(name, "p", protein, gene if accession else ""), gene, exon)

    def described(parser: Parser) -> HgvsVariant | HgvsAllele:
        return parser.described(name, gene if accession else "")

    return LabName(_part_of(trimmed, *dna, described), gene, exon, protein)


def _fields(text: str) -> list[tuple[int, int]]:
    """Where each field starts and ends: between colons, and the p. behind a space, with or without its brackets."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in re.finditer(r":| +", text):
        if match.start() > start:
            spans.append((start, match.start()))
        start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    last_start, last_end = spans[-1] if spans else (0, 0)
    if text.startswith("(p.", last_start) and text.endswith(")"):
        spans[-1] = (last_start + 1, last_end - 1)
    return spans


def _part_of(text: str, start: int, end: int, rule: Callable[[Parser], T]) -> T:
    """What `rule` reads from `text[start:end]`, with faults counted in the whole text."""
    parser = Parser(text[start:end])
    try:
        return parser.whole(lambda: rule(parser))
    except HgvsSyntaxError as error:
        message = str(error).removeprefix(f"{error.place}: ")
        raise HgvsSyntaxError(message, text=text, position=start + error.position, code=error.code) from None
