"""Reading the files in which facts are published: VCF and tables, plain or compressed, line by line.

Called by the importers. A line that cannot be read becomes a `Rejected` with its number; a file that cannot be what it
is taken for is an `InvalidInput` that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from genescale.errors import InvalidInput
from genescale.genomics.fasta import blocks
from genescale.genomics.knowledge_build import Rejected

Progress = Callable[[int], None]

LONGEST_LINE = 16 << 20  # a gnomAD line has 10 kB; what is longer than this is no line of facts
_RS = re.compile(r"\b(?:rs)?([0-9]{1,10})\b", re.IGNORECASE)
_ITEM = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,>]*)')


class VcfRow(NamedTuple):
    """The fields of a data line that importers use. `alts` is not split further than at the commas."""

    line: int
    contig: str
    position: int
    ids: str
    ref: str
    alts: Sequence[str]
    filters: str
    info: str


@dataclass(slots=True)
class VcfHeader:
    """What the `##` lines say: single values by key (`reference`), and INFO fields and contigs by id."""

    values: dict[str, str] = field(default_factory=dict[str, str])
    info: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    contigs: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def assembly(self) -> str:
        """The assembly as `##reference` or the contig lines name it; empty when neither does."""
        stated = self.values.get("reference", "")
        return stated or next((c["assembly"] for c in self.contigs.values() if c.get("assembly")), "")


def lines(path: Path, progress: Progress | None = None) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends. Bytes that are no UTF-8 survive as surrogates."""
    number = 0
    rest = b""
    for block in blocks(path, progress):
        whole, newline, last = block.rpartition(b"\n")
        if not newline:
            rest += block
            if len(rest) > LONGEST_LINE:
                raise InvalidInput(
                    f"line {number + 1} is longer than {LONGEST_LINE >> 20} MiB", code="long_line", place=str(path)
                )
            continue
        for line in (rest + whole).decode("utf-8", "surrogateescape").split("\n"):
            number += 1
            yield number, line.removesuffix("\r")
        rest = last
    if rest:
        yield number + 1, rest.decode("utf-8", "surrogateescape").rstrip("\r")


def read_vcf(path: Path, progress: Progress | None = None) -> tuple[VcfHeader, Iterator[VcfRow | Rejected]]:
    """The header at once, the data lines as they are asked for."""
    header = VcfHeader()
    numbered = lines(path, progress)
    for number, line in numbered:
        text = line.removeprefix("\ufeff") if number == 1 else line
        if text.startswith("##"):
            _header_line(header, text[2:])
        elif text.startswith("#CHROM\t"):
            return header, _rows(numbered)
        else:
            break
    raise InvalidInput(
        "no VCF: there is no line that begins with #CHROM before the data", code="not_vcf", place=str(path)
    )


def first_lines(path: Path, count: int = 100) -> list[str]:
    """The beginning of a file, to see what it is."""
    found: list[str] = []
    for _, line in lines(path):
        found.append(line)
        if len(found) == count:
            break
    return found


class InfoReader:
    """Takes the wanted fields out of INFO columns; a flag has the value "", what says `.` is left out.

    A line of gnomAD has seven hundred fields, nearly always the same in the same order. So they are looked for where
    the last whole line had them, and only a line that differs is read field by field.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        self._wanted = {key: f"{key}=" for key in wanted}
        self._count = -1  # how many fields the last line with all of the wanted ones had
        self._places: list[tuple[int, str, str]] = []  # and where: index, key, `key=`

    def read(self, info: str) -> dict[str, str]:
        """The wanted fields of one line by key."""
        items = info.split(";")
        if len(items) == self._count:
            found: dict[str, str] = {}
            for index, key, prefix in self._places:
                item = items[index]
                if not item.startswith(prefix):
                    return self._read_all(items)
                value = item[len(prefix) :]
                if value != ".":
                    found[key] = value
            return found
        return self._read_all(items)

    def _read_all(self, items: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        places: list[tuple[int, str, str]] = []
        for index, item in enumerate(items):
            key, sign, value = item.partition("=")
            if key in self._wanted:
                if sign:
                    places.append((index, key, self._wanted[key]))
                if value != ".":
                    found[key] = value
        if len(places) == len(self._wanted) > 0:
            self._count, self._places = len(items), places
        return found


def allele_problem(ref: str, alt: str) -> str:
    """Why this ALT is no sequence that facts could be about, or nothing."""
    if alt in {"", "."}:
        return "no_alternative"
    if alt == "*":
        return "star_allele"
    if not alt.isalpha() or not ref.isalpha():
        return "symbolic_allele"
    return ""


def number_or_none(text: str | None) -> float | None:
    """A number; None for nothing and for `.`. Raises ValueError for everything else."""
    if text is None or text in {"", "."}:
        return None
    if "_" in text or not text.isascii():  # which Python would take for numbers
        raise ValueError(text)
    return float(text)


def whole_or_none(text: str | None) -> int | None:
    """A number without sign; None for nothing and for `.`. Raises ValueError for everything else."""
    if text is None or text in {"", "."}:
        return None
    if not (text.isdecimal() and text.isascii() and len(text) < 11):
        raise ValueError(text)
    return int(text)


def rs_numbers(text: str) -> tuple[int, ...] | None:
    """The dbSNP numbers in an ID column or in ClinVar's RS: `rs123;rs456`, `123|456`."""
    found = (int(one) for one in _RS.findall(text))
    return tuple(one for one in found if one < 0xFFFFFFFF) or None


def _header_line(header: VcfHeader, text: str) -> None:
    key, _, value = text.partition("=")
    if not value.startswith("<"):
        header.values.setdefault(key, value)
        return
    fields = {name: stated.strip('"') for name, stated in _ITEM.findall(value)}
    if "ID" in fields and key in {"INFO", "contig"}:
        (header.info if key == "INFO" else header.contigs)[fields["ID"]] = fields


def _rows(numbered: Iterator[tuple[int, str]]) -> Iterator[VcfRow | Rejected]:
    for number, line in numbered:
        if not line:
            continue
        row = line.split("\t", 8)
        if len(row) < 8:
            yield Rejected(number, "fewer_than_8_columns")
        elif not (row[1].isdecimal() and row[1].isascii() and len(row[1]) < 11):
            yield Rejected(number, "bad_position")
        else:
            yield VcfRow(number, row[0], int(row[1]), row[2], row[3], row[4].split(","), row[6], row[7])
