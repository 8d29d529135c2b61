"""Known facts about variants: clinical labels, frequencies, scores; one columnar look-up for all of them.

A *source* is one file of facts that somebody published: a ClinVar release, gnomAD frequencies, a table of scores. In a
bundle it is a table of sorted keys with typed columns beside them (`facts-<source>-<column>`), described under `facts`
in `bundle.json` with version, date and licence. `knowledge_build` writes tables; this module opens them and asks.

    with Bundle.open(path) as bundle:
        knowledge = Knowledge.open(bundle)
        rows = knowledge.lookup(variants)            # {"clinvar": array([-1, 4711, ...]), ...}
        knowledge["clinvar"].value("significance", 4711)

A variant is found however it is spelled: trimmed or not, shifted along a repeat or not, alone on its line or not
(`kernels.lookup` has the rule). What a source does not say is absent: row -1, or None in a row. Nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genescale.errors import UnknownName
from genescale.genomics.bundle import Bundle
from genescale.genomics.kernels.lookup import Speller, Table
from genescale.genomics.kernels.normalise import Sequence
from genescale.genomics.variants import (
    MALFORMED,
    NON_VARIANT,
    OUTSIDE_REFERENCE,
    OVER_ORIGIN,
    PAST_END,
    PLACEHOLDER,
    REF_MISMATCH,
    SNV,
    STAR,
    SUBSTITUTION,
    UNKNOWN_CONTIG,
    Row,
    Variants,
)

Value = int | float | str

# Kind of a column -> how it is stored, and the stored number that stands for "the source does not say".
# `text` (any string) and `category` (at most 254 different ones) store an index into a pool whose entry 0 is absent.
STORED: Final[Mapping[str, tuple[str, int | float]]] = {
    "u1": ("<u1", 0xFF),
    "u2": ("<u2", 0xFFFF),
    "u4": ("<u4", 0xFFFFFFFF),
    "i4": ("<i4", -0x80000000),
    "f2": ("<f2", float("nan")),
    "f4": ("<f4", float("nan")),
    "text": ("<u4", 0),
    "category": ("<u1", 0),
}

# A row of `Variants` with one of these flags is nobody's known variant.
UNUSABLE: Final = (
    REF_MISMATCH
    | UNKNOWN_CONTIG
    | OUTSIDE_REFERENCE
    | PAST_END
    | STAR
    | MALFORMED
    | NON_VARIANT
    | OVER_ORIGIN
    | PLACEHOLDER
)

_RS = re.compile(r"(?:rs)?([0-9]{1,10})", re.IGNORECASE)
_BASES: Final = "ACGT"
_LONG: Final = 15


@dataclass(frozen=True, slots=True)
class Column:
    """One fact that a source gives about each of its variants.

    `kind` is one of `STORED`. With `decimals`, an integer kind holds decimal numbers exactly: 0.932 with three decimals
    is stored as 932. `meaning` is one sentence for people, with the unit.
    """

    name: str
    kind: str
    meaning: str
    decimals: int = 0


class Spelling(NamedTuple):
    """A stored variant: parsimonious and left-aligned, without an anchor base; REF or ALT may be empty.

    `start` is 1-based: the first base of REF, or for an insertion the base that follows it.
    """

    contig: int
    start: int
    ref: str
    alt: str


class Known(NamedTuple):
    """A variant that a source knows under a name, as VCF writes it (1-based, anchor base included)."""

    source: str
    row: int
    contig: int
    position: int
    ref: str
    alt: str


class Part(NamedTuple):
    """One base of a substitution of several, as a variant of its own: what is known of it is not known of the whole.

    `variant` is the row of the whole; `rows` has the row of each source that knows the part, those alone.
    """

    variant: int
    contig: int
    position: int
    ref: str
    alt: str
    rows: dict[str, int]


class Facts:
    """The table of one source. `version`, `date` and `licence` are what its file said."""

    def __init__(self, bundle: Bundle, name: str, described: Mapping[str, Any]) -> None:
        self.name = name
        self.version: str = described["version"]
        self.date: str = described["date"]
        self.licence: str = described["licence"]
        self.assembly: str = described["assembly"]
        self.rows: int = described["rows"]
        self.columns: dict[str, Column] = {
            c["name"]: Column(c["name"], c["kind"], c["meaning"], c["decimals"]) for c in described["columns"]
        }
        self._bundle = bundle
        self._pools: dict[str, Pool] = {}

    @cached_property
    def table(self) -> Table:
        """The sorted keys, for the kernel. Opened on first use: most runs ask only some of the sources."""
        return Table(*(self._part(part).data for part in _TABLE))

    def column(self, name: str) -> NDArray[Any]:
        """The stored numbers of a column, one for each row; `STORED` says how to read them."""
        return self._part(self._known(name).name)

    def value(self, name: str, row: int) -> Value | None:
        """What the source says in this column of this row (-1 = it has no such variant); None when it does not say."""
        column = self._known(name)
        if row < 0:
            return None
        stored = self.column(name)[row]
        if column.kind in {"text", "category"}:
            return self.pool(name)[int(stored)] or None
        if column.kind in {"f2", "f4"}:
            number = float(stored)
            return None if number != number else _short(number, column.kind)  # noqa: PLR0124 - not a number
        whole = int(stored)
        if whole == STORED[column.kind][1]:
            return None
        return whole / 10**column.decimals if column.decimals else whole

    def numbers(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """A number for each row, NaN where the row is -1 or the source does not say: features for a model."""
        column, stored = self._known(name), self.column(name)
        if column.kind in {"text", "category"}:
            raise UnknownName(f"{self.name}.{name} is text and has no numbers")
        found = np.full(len(rows), np.nan)
        asked = np.flatnonzero(rows >= 0)
        values = stored[rows[asked]]
        said = values != STORED[column.kind][1]  # an absent float is NaN already
        found[asked[said]] = values[said].astype(np.float64) / 10**column.decimals
        return found

    def values(self, row: int) -> dict[str, Value]:
        """All that the source says about the variant of this row; empty for row -1."""
        found = ((name, self.value(name, row)) for name in self.columns)
        return {name: value for name, value in found if value is not None}

    def pool(self, name: str) -> Pool:
        """The strings of a `text` or `category` column; entry 0 is the absent one."""
        if name not in self._pools:
            self._pools[name] = Pool(self._part(f"{name}_text"), self._part(f"{name}_offset"))
        return self._pools[name]

    def spelling(self, row: int) -> Spelling:
        """The variant of a row."""
        first = self._part("first")
        contig = int(np.searchsorted(first, row, side="right")) - 1
        key = int(self._part("key")[row])
        start, ref_length, alt_length = key >> 32, key >> 28 & 15, key >> 24 & 15
        if ref_length == _LONG:
            at = int(np.searchsorted(self._part("long_row"), row))
            begin, end = (int(x) for x in self._part("long_offset")[at : at + 2])
            ref, _, alt = self._part("long_text")[begin:end].tobytes().decode().partition(">")
            return Spelling(contig, start, ref, alt)
        bases = "".join(_BASES[key >> 2 * i & 3] for i in reversed(range(ref_length + alt_length)))
        return Spelling(contig, start, bases[:ref_length], bases[ref_length:])

    def rows_of_rs(self, number: int) -> list[int]:
        """The rows whose dbSNP number this is: one for each allele, none when the source does not know it."""
        if not self._bundle.has(f"facts-{self.name}-rs_number"):
            return []
        numbers = self._part("rs_number")
        low, high = (int(np.searchsorted(numbers, number, side=side)) for side in ("left", "right"))
        return sorted(int(row) for row in self._part("rs_row")[low:high])

    def _known(self, name: str) -> Column:
        column = self.columns.get(name)
        if column is None:
            raise UnknownName(f"the source {self.name} has no column {name!r}; it has {', '.join(self.columns)}")
        return column

    def _part(self, part: str) -> NDArray[Any]:
        return self._bundle.array(f"facts-{self.name}-{part}")


class Knowledge(Mapping[str, Facts]):
    """All sources of an open bundle, by name. Opening costs as much as opening the arrays: nothing is read."""

    def __init__(self, bundle: Bundle, sources: Mapping[str, Facts]) -> None:
        self._bundle = bundle
        self._sources = dict(sources)
        self._speller = speller(bundle)

    @classmethod
    def open(cls, bundle: Bundle) -> Knowledge:
        """The facts of `bundle`, which must stay open as long as they are asked. A bundle without facts knows none."""
        return cls(bundle, {name: Facts(bundle, name, described) for name, described in bundle.facts.items()})

    def __getitem__(self, name: str) -> Facts:
        if name not in self._sources:
            there = ", ".join(self._sources) or "no source at all"
            raise UnknownName(f"the bundle {self._bundle.name} has no facts from {name!r}; it has {there}")
        return self._sources[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def lookup(self, variants: Variants, sources: Iterable[str] | None = None) -> dict[str, NDArray[np.int64]]:
        """For each source (or those named) the row of each variant, -1 where the source does not know it.

        One pass spells the variants, one pass per source finds them; variants in order of position are found fastest.
        Safe from several threads.
        """
        count = variants.count
        key = np.empty(count, np.uint64)
        form = np.empty(4 * count, np.int32)
        status = np.empty(count, np.uint8)
        contig, ref, alt, text = (
            column.data for column in (variants.contig, variants.ref_offset, variants.alt_offset, variants.text)
        )
        self._speller.spell(
            0,
            count,
            contig,
            variants.start.data,
            ref,
            variants.ref_length.data,
            alt,
            variants.alt_length.data,
            variants.flags.data,
            text,
            UNUSABLE,
            key.data,
            form.data,
            status.data,
        )
        found: dict[str, NDArray[np.int64]] = {}
        for name in self._sources if sources is None else sources:
            rows = found[name] = np.empty(count, np.int64)
            self[name].table.find(0, count, contig, key.data, form.data, ref, alt, text, rows.data)
        return found

    def parts(self, variants: Variants, sources: Iterable[str] | None = None) -> list[Part]:
        """The known single bases of substitutions of several bases, in order; none for any other variant.

        Two neighbouring changes of raw DNA are one substitution, and sources mostly know the single ones. Whether they
        mean the same together, no source says: never show these facts as those of the whole.
        """
        count = variants.count
        which = np.flatnonzero((variants.kind[:count] == SUBSTITUTION) & ((variants.flags[:count] & UNUSABLE) == 0))
        rows: list[Row] = []
        for whole in which.tolist():
            contig, start = int(variants.contig[whole]), int(variants.start[whole])
            for at, (ref, alt) in enumerate(zip(variants.ref(whole), variants.alt(whole), strict=True), start):
                if ref != alt and ref in _BASES and alt in _BASES:
                    rows.append(Row(whole, 1, contig, at, at, at, SNV, SNV, 0, ref, alt, 0))
        if not rows:
            return []
        found = self.lookup(Variants.of_rows(rows), sources)
        parts = [
            Part(
                row.record,
                row.contig,
                row.start,
                row.ref,
                row.alt,
                {source: int(known[i]) for source, known in found.items() if known[i] >= 0},
            )
            for i, row in enumerate(rows)
        ]
        return [part for part in parts if part.rows]

    def variants_of_rs(self, rs: str | int) -> list[Known]:
        """The variants that any source knows under this dbSNP number (`rs699`, or 699), one for each allele and source.

        Raises `UnknownName` when no source does, or when this is no dbSNP number.
        """
        matched = _RS.fullmatch(str(rs))
        if matched is None:
            raise UnknownName(f"{rs!r} is no dbSNP number: write it as rs699")
        number = int(matched[1])
        found = [self._known(facts, row) for facts in self._sources.values() for row in facts.rows_of_rs(number)]
        if not found:
            asked = ", ".join(name for name, facts in self._sources.items() if "rs" in facts.columns)
            raise UnknownName(
                f"the bundle {self._bundle.name} does not know rs{number} "
                f"({f'asked: {asked}' if asked else 'none of its sources has dbSNP numbers'})"
            )
        return found

    def _known(self, facts: Facts, row: int) -> Known:
        contig, start, ref, alt = facts.spelling(row)
        if ref and alt:
            return Known(facts.name, row, contig, start, ref, alt)
        if start > 1:  # VCF's anchor is the base before; only at the very beginning it is the base behind
            anchor = (self._bundle.sequence(contig, start - 1, start - 1) or b"").decode()
            return Known(facts.name, row, contig, start - 1, anchor + ref, anchor + alt)
        behind = start + len(ref)
        anchor = (self._bundle.sequence(contig, behind, behind) or b"").decode()
        return Known(facts.name, row, contig, start, ref + anchor, alt + anchor)


def speller(bundle: Bundle) -> Speller:
    """What brings variants to the one spelling of this bundle."""
    parts = ("sequence", "contig_segment", "segment_start", "segment_end", "segment_base")
    return Speller(Sequence(*(bundle.array(part).data for part in parts)))


_TABLE: Final = ("first", "key", "long_row", "long_offset", "long_text")


class Pool:
    """Strings by index, read when asked for."""

    def __init__(self, text: NDArray[Any], offset: NDArray[Any]) -> None:
        self._text = text
        self._offset = offset

    def __len__(self) -> int:
        return len(self._offset) - 1

    def __getitem__(self, index: int) -> str:
        return self.octets(index).decode(errors="surrogateescape")

    def octets(self, index: int) -> bytes:
        """The string as the bytes of the source."""
        begin, end = self._offset[index : index + 2]
        return self._text[begin:end].tobytes()


def _short(number: float, kind: str) -> float:
    """The shortest decimal that the stored binary number stands for: 0.1 and not 0.10000000149."""
    return float(f"{number:.{7 if kind == 'f4' else 4}g}")
