"""Known facts as texts beside variants: what `annotate` writes for fields such as `clinvar.stars`.

A field is named `<source>.<column>`. Two more gather what several sources say: `existing_variation` (dbSNP numbers) and
`clinical_significance` (the publishers' words). What a source does not say is an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.genomics.knowledge import STORED, Facts, Knowledge
from genescale.genomics.variants import Variants

EXISTING: Final = "existing_variation"
SIGNIFICANCE: Final = "clinical_significance"
_CACHED: Final = 100_000  # different numbers whose texts are remembered


class FactTexts(NamedTuple):
    """One text for each variant and field: field k of variant v is number `v * width + k`."""

    pool: NDArray[np.uint8]
    offset: NDArray[np.int64]
    width: int


@dataclass(frozen=True, slots=True)
class FactField:
    """A field that a bundle has. `numeric` when every value is a number."""

    name: str
    meaning: str
    numeric: bool


def fact_fields(knowledge: Knowledge) -> list[FactField]:
    """All fields `<source>.<column>` of a bundle, in the order of its sources."""
    return [
        FactField(f"{source}.{name}", f"{column.meaning} ({source} {facts.version})", column.kind not in _WORDS)
        for source, facts in knowledge.items()
        for name, column in facts.columns.items()
    ]


class FactWriter:
    """Writes some fields for batches of variants. Remembers texts, so keep one; not for two threads at once.

    Raises `InvalidInput` for a field that the bundle does not have, with those that it has.
    """

    def __init__(self, knowledge: Knowledge, names: Sequence[str]) -> None:
        self._knowledge = knowledge
        self._width = len(names)
        self._parts: list[tuple[int, str, Callable[[int], bytes]]] = []
        for at, name in enumerate(names):
            self._parts += [(at, source, text) for source, text in self._texts(name)]

    def write(self, variants: Variants) -> FactTexts:
        """The texts for one batch. Where several sources speak in one field, `&` stands between them."""
        count, width = variants.count, self._width
        texts = [b""] * (count * width)
        if self._parts:
            found = self._knowledge.lookup(variants)
            hits = {source: np.flatnonzero(found[source] >= 0) for source in {part[1] for part in self._parts}}
            for at, source, text_of in self._parts:
                rows = found[source]
                for variant in hits[source].tolist():
                    said = text_of(int(rows[variant]))
                    place = variant * width + at
                    if said and texts[place]:
                        known = texts[place].split(b"&")
                        said = b"&".join([*known, *(one for one in said.split(b"&") if one not in known)])
                    if said:
                        texts[place] = said
        offset = np.zeros(count * width + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, count * width), out=offset[1:])
        return FactTexts(np.frombuffer(b"".join(texts), np.uint8), offset, width)

    def _texts(self, name: str) -> Iterable[tuple[str, Callable[[int], bytes]]]:
        """The sources that speak in this field, and how."""
        if name == EXISTING:
            return [(n, _rs_text(facts)) for n, facts in self._knowledge.items() if "rs" in facts.columns]
        if name == SIGNIFICANCE:
            clinical = ((n, facts) for n, facts in self._knowledge.items() if "significance" in facts.columns)
            return [(n, _text_of(facts, "significance")) for n, facts in clinical]
        source, _, column = name.partition(".")
        if source in self._knowledge and column in self._knowledge[source].columns:
            return [(source, _text_of(self._knowledge[source], column))]
        there = ", ".join(field.name for field in fact_fields(self._knowledge)) or "none: it was built without facts"
        raise InvalidInput(f"the reference has no field {name!r}; of known facts it has {there}", code="unknown_field")


def _text_of(facts: Facts, name: str) -> Callable[[int], bytes]:
    """Row -> text of one column."""
    column = facts.columns[name]
    stored = facts.column(name)
    absent = STORED[column.kind][1]
    remembered: dict[Any, bytes] = {}
    if column.kind in _WORDS:
        pool = facts.pool(name)

        def word(row: int) -> bytes:
            index = int(stored[row])
            text = remembered.get(index)
            if text is None:
                text = remembered[index] = pool.octets(index)
            return text

        return word
    write = f"{{:.{column.decimals}f}}" if column.decimals else _NUMBERS.get(column.kind, "{}")
    scale = 10**column.decimals

    def number(row: int) -> bytes:
        value = stored[row].item()
        text = remembered.get(value)
        if text is None:
            nothing = value == absent or value != value  # noqa: PLR0124 - not a number
            text = b"" if nothing else write.format(value / scale if column.decimals else value).encode()
            if len(remembered) < _CACHED:
                remembered[value] = text
        return text

    return number


def _rs_text(facts: Facts) -> Callable[[int], bytes]:
    number = _text_of(facts, "rs")

    def text(row: int) -> bytes:
        said = number(row)
        return b"rs" + said if said else b""

    return text


_WORDS: Final = frozenset({"text", "category"})
_NUMBERS: Final[Mapping[str, str]] = {"f2": "{:.4g}", "f4": "{:.7g}"}
