"""Known facts as texts beside variants: what `annotate` writes for fields such as `clinvar.stars`.

A field is named `<source>.<column>`. Two more gather what several sources say: `existing_variation` (dbSNP numbers) and
`clinical_significance` (the publishers' words). `known_parts` tells of a substitution of several bases what is known of
its single bases; the other fields never do. What a source does not say is an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.genomics.field_names import told
from genescale.genomics.knowledge import STORED, Column, Facts, Knowledge
from genescale.genomics.variants import Variants

EXISTING: Final = "existing_variation"
SIGNIFICANCE: Final = "clinical_significance"
PARTS: Final = "known_parts"
Mask = NDArray[np.bool_]
_SIGNS: Final[Mapping[str, Callable[[Any, Any], Mask]]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_WORDS: Final = frozenset({"text", "category"})
_ARENA_BYTES: Final = 32 << 20  # texts that are remembered; beyond that all are forgotten


class FactTexts(NamedTuple):
    """One text for each variant and field: `pool[begin:end]`. Field k of variant v is number `k * variants + v`."""

    pool: NDArray[np.uint8]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    variants: int

    def fields(self, first: int, last: int) -> FactTexts:
        """The fields `first` to `last - 1` alone."""
        low, high = first * self.variants, last * self.variants
        return FactTexts(self.pool, self.begin[low:high], self.end[low:high], self.variants)

    @property
    def width(self) -> int:
        """How many fields there are."""
        return len(self.begin) // self.variants if self.variants else 0


@dataclass(frozen=True, slots=True)
class FactField:
    """A field that a bundle has. `numeric` when every value is a number."""

    name: str
    meaning: str
    numeric: bool


def fact_fields(knowledge: Knowledge) -> list[FactField]:
    """All fields `<source>.<column>` of a bundle, in the order of its sources, and `known_parts`."""
    fields = [
        FactField(f"{source}.{name}", f"{column.meaning} ({source} {facts.version})", column.kind not in _WORDS)
        for source, facts in knowledge.items()
        for name, column in facts.columns.items()
    ]
    if fields:
        meaning = "Of a substitution of several bases: its single bases that a source knows, and by whom. Not the whole"
        fields.append(FactField(PARTS, meaning, numeric=False))
    return fields


class FactWriter:
    """Writes some fields for batches of variants. Remembers texts, so keep one; not for two threads at once.

    Raises `InvalidInput` for a field that the bundle does not have, with those that it has.
    """

    def __init__(self, knowledge: Knowledge, names: Sequence[str]) -> None:
        self._knowledge = knowledge
        self._width = len(names)
        self._arena = _Arena()
        self._of_parts = [at for at, name in enumerate(names) if name == PARTS]
        self._parts = [(at, *part) for at, name in enumerate(names) for part in self._columns(name)]
        self._sources = list(dict.fromkeys(part[1] for part in self._parts))

    def write(self, variants: Variants) -> FactTexts:
        """The texts for one batch. Where several sources speak in one field, `&` stands between them."""
        count = variants.count
        begin, end = np.zeros(count * self._width, np.int64), np.zeros(count * self._width, np.int64)
        self._arena.make_room()
        found = self._knowledge.lookup(variants, self._sources) if self._sources else {}
        hits = {source: np.flatnonzero(rows >= 0) for source, rows in found.items()}
        for at, source, column in self._parts:
            which = hits[source]
            if len(which):
                low, high = column.places(found[source][which], self._arena)
                self._put(begin, end, which + at * count, low, high)
        for at in self._of_parts:
            for whole, text in self._part_texts(variants).items():
                begin[at * count + whole], end[at * count + whole] = self._arena.place(text)
        return FactTexts(self._arena.pool, begin, end, count)

    def _part_texts(self, variants: Variants) -> dict[int, bytes]:
        """By variant: `15235A>G(clinvar:Benign/gnomad/mitomap)&15236A>G(gnomad)`."""
        texts: dict[int, list[str]] = {}
        for part in self._knowledge.parts(variants):
            told: list[str] = []
            for source, row in part.rows.items():
                facts = self._knowledge[source]
                word = facts.value("significance", row) if "significance" in facts.columns else None
                told.append(f"{source}:{word}" if word else source)
            texts.setdefault(part.variant, []).append(f"{part.position}{part.ref}>{part.alt}({'/'.join(told)})")
        return {whole: "&".join(one).encode() for whole, one in texts.items()}

    def _put(
        self,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        at: NDArray[np.intp],
        low: NDArray[np.int64],
        high: NDArray[np.int64],
    ) -> None:
        """Texts into their places; where another source has spoken already, both."""
        spoken = end[at] > begin[at]
        if spoken.any():
            for i in np.flatnonzero(spoken & (low != begin[at]) & (high > low)).tolist():
                known = self._arena.text(int(begin[at[i]]), int(end[at[i]])).split(b"&")
                more = self._arena.text(int(low[i]), int(high[i])).split(b"&")
                low[i], high[i] = self._arena.place(b"&".join([*known, *(one for one in more if one not in known)]))
            silent = spoken & (high == low)
            low[silent], high[silent] = begin[at[silent]], end[at[silent]]
        begin[at], end[at] = low, high

    def _columns(self, name: str) -> Iterable[tuple[str, _Column]]:
        """The sources that speak in this field, and their columns."""
        if name == EXISTING:
            return [(n, _Column(facts, "rs", "rs")) for n, facts in self._knowledge.items() if "rs" in facts.columns]
        if name == PARTS:
            return []
        if name == SIGNIFICANCE:
            clinical = ((n, facts) for n, facts in self._knowledge.items() if "significance" in facts.columns)
            return [(n, _Column(facts, "significance")) for n, facts in clinical]
        source, _, column = name.partition(".")
        if source in self._knowledge and column in self._knowledge[source].columns:
            return [(source, _Column(self._knowledge[source], column))]
        there = told((field.name for field in fact_fields(self._knowledge)), name) or "none: it was built without facts"
        raise InvalidInput(f"the reference has no field {name!r}; of known facts it has {there}", code="unknown_field")


def comparison(facts: Facts, name: str, sign: str, values: Sequence[str]) -> Callable[[NDArray[np.int64]], Mask]:
    """A test of rows of a source: `af < 0.001`, `class = pathogenic,likely_pathogenic`; "" as sign: says anything.

    What the source does not say passes no test, `!=` included. Raises ValueError, with a reason for people, when the
    column cannot be compared so.
    """
    column, stored = facts.columns[name], facts.column(name)
    if sign in {"", "=", "!="} and column.kind in _WORDS:
        pool = facts.pool(name)
        wanted = {value.lower() for value in values}
        indices = [i for i in range(1, len(pool)) if not sign or (pool[i].lower() in wanted) == (sign == "=")]
        chosen = np.zeros(len(pool), bool)
        chosen[indices] = True
        return lambda rows: _said(rows, chosen[stored[np.maximum(rows, 0)]] if len(stored) else None)
    if column.kind in _WORDS:
        raise ValueError(f"{facts.name}.{name} is text: only = and != compare it")
    absent = STORED[column.kind][1]
    if len(values) > 1:
        raise ValueError(f"{facts.name}.{name} is a number: compare it with one number")
    try:
        scaled = Decimal(values[0]) * 10**column.decimals if sign else Decimal(0)
    except InvalidOperation:
        raise ValueError(f"{facts.name}.{name} is a number, and {values[0]!r} is none") from None
    number = stored.dtype.type(scaled) if column.kind in {"f2", "f4"} else float(scaled)

    def test(rows: NDArray[np.int64]) -> Mask:
        if not len(stored):
            return _said(rows, None)
        found = stored[np.maximum(rows, 0)]
        present = (found == found) & (found != absent)  # noqa: PLR0124 - a number
        return _said(rows, present & _SIGNS[sign](found, number) if sign else present)

    return test


def _said(rows: NDArray[np.int64], passed: Mask | None) -> Mask:
    return (rows >= 0) & (False if passed is None else passed)


class _Arena:
    """Texts one after the other, each once."""

    def __init__(self) -> None:
        self.pool = np.zeros(1 << 16, np.uint8)
        self.generation = 0
        self._used = 0
        self._places: dict[bytes, tuple[int, int]] = {}

    def make_room(self) -> None:
        """Forget everything when there is too much. Called between batches, whose texts it would take away."""
        if self._used > _ARENA_BYTES:
            self._used, self._places = 0, {}
            self.generation += 1

    def place(self, text: bytes) -> tuple[int, int]:
        """Where the text lies; nothing lies at 0."""
        found = self._places.get(text)
        if found is None:
            begin, end = self._used, self._used + len(text)
            if end > len(self.pool):
                grown = np.zeros(max(2 * len(self.pool), end), np.uint8)
                grown[:begin] = self.pool[:begin]
                self.pool = grown
            self.pool[begin:end] = np.frombuffer(text, np.uint8)
            self._used = end
            found = self._places[text] = (begin, end) if text else (0, 0)
        return found

    def text(self, begin: int, end: int) -> bytes:
        return self.pool[begin:end].tobytes()


class _Column:
    """A column as texts. Each different value is written once; `prefix` stands before it."""

    def __init__(self, facts: Facts, name: str, prefix: str = "") -> None:
        column = facts.columns[name]
        self._stored = facts.column(name)
        self._prefix = prefix.encode()
        self._is_word = column.kind in _WORDS
        self._write: Callable[[int], bytes] = facts.pool(name).octets if self._is_word else _number_writer(column)
        self._known = np.full((len(facts.pool(name)) if self._is_word else 0, 2), -1, np.int64)
        self._generation = 0

    def places(self, rows: NDArray[np.int64], arena: _Arena) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Begin and end of the text of each row in the arena."""
        values = self._stored[rows]
        if self._is_word:
            if self._generation != arena.generation:
                self._known[:], self._generation = -1, arena.generation
            for index in np.unique(values[self._known[values, 0] < 0]).tolist():
                self._known[index] = self._placed(index, arena)
            pairs = self._known[values]
        else:
            different, which = np.unique(values, return_inverse=True)
            pairs = np.array([self._placed(value, arena) for value in different.tolist()], np.int64)[which]
        return pairs[:, 0].copy(), pairs[:, 1].copy()

    def _placed(self, value: Any, arena: _Arena) -> tuple[int, int]:
        text = self._write(value)
        return arena.place(self._prefix + text if text else b"")


def _number_writer(column: Column) -> Callable[[Any], bytes]:
    """Stored number -> text as the source writes it; empty for the absent one."""
    absent = STORED[column.kind][1]
    if column.kind in {"f2", "f4"}:
        digits = 7 if column.kind == "f4" else 4
        return lambda value: b"" if value != value else f"{value:.{digits}g}".encode()  # noqa: PLR0124 - not a number
    if column.decimals:
        scale = 10**column.decimals
        return lambda value: b"" if value == absent else f"{value / scale:.{column.decimals}f}".encode()
    return lambda value: b"" if value == absent else str(value).encode()
