"""Which rows of an annotation are kept: the one that VEP would pick, and those that pass a filter.

A filter is an expression over the fields of a row:

    impact>=MODERATE and (canonical or mane)
    consequence=missense_variant,stop_gained and not symbol=TTN
    distance<500
    clinvar.significance_class=pathogenic,likely_pathogenic and clinvar.stars>=1 and not gnomad_genomes.af>=0.001

Known facts are named as in the output, `SOURCE.COLUMN`. What a source does not say passes no comparison; `not` before
the comparison lets it through. A name alone asks whether the source says anything.

`NAME`, `=`, `!=`, `<`, `<=`, `>`, `>=`, a comma between alternatives, `and`, `or`, `not` and brackets are all there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.genomics import bundle as flags
from genescale.genomics.bundle import Bundle
from genescale.genomics.field_names import told
from genescale.genomics.knowledge import Knowledge
from genescale.genomics.knowledge_fields import PARTS, comparison, fact_fields
from genescale.genomics.terms import IMPACTS, TERMS
from genescale.genomics.variants import Variants

PICKS: Final = ("variant", "allele", "gene", "allele_gene")

Mask = NDArray[np.bool_]
_Test = Callable[[Variants, Any], Mask]


def picked_rows(bundle: Bundle, variants: Variants, pairs: Any, way: str, *, strict: bool) -> NDArray[np.uint8]:
    """1 for the rows that VEP's PICK order prefers: one for each record, allele, gene or gene of an allele.

    The order: MANE Select, MANE Plus Clinical, canonical, APPRIS, support level, protein coding, CCDS, rank of the most
    severe term, length, source; the first in the file among equals.
    """
    count = int(pairs.count)
    keep = np.zeros(count, np.uint8)
    if not count:
        return keep
    variant, transcript = pairs.variant[:count], pairs.transcript[:count]
    real = np.maximum(transcript, 0)
    known = transcript >= 0
    before = np.where(known, bundle.array("transcript_pick_before")[real] | (flags.PICK_STRICT if strict else 0), 0)
    after = np.where(known, bundle.array("transcript_pick_after")[real], 0)
    groups = [variants.record[variant] if way in {"variant", "gene"} else variant]
    if way in {"gene", "allele_gene"}:
        groups.insert(0, np.where(known, bundle.array("transcript_gene")[real], -1))
    order = np.lexsort((np.arange(count), after, _rank(pairs.terms[:count]), before, *groups))
    first = np.ones(count, bool)
    first[1:] = np.logical_or.reduce([group[order][1:] != group[order][:-1] for group in groups])
    keep[order[first]] = 1
    return keep


def _rank(terms: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The place of the lowest set bit; a float64 holds a power of two exactly."""
    lowest = terms & (~terms + np.uint64(1))
    return np.where(lowest == 0, 63, np.log2(np.maximum(lowest, 1).astype(np.float64))).astype(np.int64)


class Filter:
    """A filter expression, understood once and then applied to any number of batches.

    Raises `InvalidInput` that says where the expression is at fault and what would be possible there.
    """

    def __init__(self, text: str, bundle: Bundle) -> None:
        self.text = text
        self._bundle = bundle
        self._knowledge = Knowledge.open(bundle)
        self._asked: dict[str, None] = {}
        self._rows: dict[str, NDArray[np.int64]] | None = None
        self._words = [(found[0].strip(), found.start()) for found in _WORD.finditer(text) if found[0].strip()]
        self._at = 0
        self._test = self._either()
        if self._at < len(self._words):
            raise self._fault("expected `and`, `or` or the end")

    def rows(self, variants: Variants, pairs: Any) -> NDArray[np.uint8]:
        """1 for the rows that pass."""
        self._rows = None
        return self._test(variants, pairs).astype(np.uint8)

    def _either(self) -> _Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda v, p: np.logical_or.reduce([test(v, p) for test in tests])

    def _both(self) -> _Test:
        tests = [self._one()]
        while self._take("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda v, p: np.logical_and.reduce([test(v, p) for test in tests])

    def _one(self) -> _Test:
        if self._take("not"):
            inner = self._one()
            return lambda v, p: ~inner(v, p)
        if self._take("("):
            inner = self._either()
            if not self._take(")"):
                raise self._fault("expected `)`")
            return inner
        return self._comparison()

    def _comparison(self) -> _Test:
        name = self._next("a field").lower()
        if name in _FLAGS:
            mask = _FLAGS[name]
            return lambda _, p: (_of_transcript(p, self._bundle.array("transcript_flags"), 0) & mask) != 0
        if "." in name:
            return self._fact(name)
        if name not in {*_NUMBERS, *_WORDS}:
            self._at -= 1
            raise self._fault(f"expected a field: {', '.join([*_WORDS, *_NUMBERS, *_FLAGS])}")
        sign = self._next("=, !=, <, <=, > or >=")
        if sign not in _SIGNS:
            self._at -= 1
            raise self._fault("expected =, !=, <, <=, > or >=")
        if name in _NUMBERS:
            return self._number(name, sign)
        if name == "impact":
            return self._impact(sign)
        if sign not in {"=", "!="}:
            self._at -= 1
            raise self._fault(f"{name} is text: only = and != compare it")
        values = [self._next("a value")]
        while self._take(","):
            values.append(self._next("a value"))
        test = self._consequence(values) if name == "consequence" else self._text(name, values)
        return test if sign == "=" else lambda v, p: ~test(v, p)

    def _fact(self, name: str) -> _Test:
        """A comparison with what a source of the reference says."""
        source, _, column = name.partition(".")
        if source not in self._knowledge or column not in self._knowledge[source].columns:
            self._at -= 1
            names = (field.name for field in fact_fields(self._knowledge) if field.name != PARTS)
            there = told(names, name) or "no known facts"
            raise self._fault(f"the reference has no field {name!r}; it has {there}")
        sign, values = "", list[str]()
        if self._at < len(self._words) and self._words[self._at][0] in _SIGNS:
            sign = self._next("a sign").replace("==", "=")
            values = [self._next("a value")]
            while self._take(","):
                values.append(self._next("a value"))
        try:
            test = comparison(self._knowledge[source], column, sign, values)
        except ValueError as error:
            self._at -= 1
            raise self._fault(str(error)) from error
        self._asked.setdefault(source)
        return lambda v, p: test(self._found(v)[source])[p.variant[: p.count]]

    def _found(self, variants: Variants) -> dict[str, NDArray[np.int64]]:
        """The rows of the asked sources, looked up once a batch."""
        if self._rows is None:
            self._rows = self._knowledge.lookup(variants, self._asked)
        return self._rows

    def _number(self, name: str, sign: str) -> _Test:
        text = self._next("a number")
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
            self._at -= 1
            raise self._fault(f"{name} is a number")
        value, compare, column = float(text), _SIGNS[sign], _NUMBERS[name]
        absent = -1 if name == "distance" else 0

        def test(_: Variants, pairs: Any) -> Mask:
            found = getattr(pairs, column)[: pairs.count]
            return compare(found, value) & (found != absent)

        return test

    def _impact(self, sign: str) -> _Test:
        name = self._next("an impact").upper()
        if name not in IMPACTS:
            self._at -= 1
            raise self._fault(f"an impact is one of {', '.join(IMPACTS)}")
        wanted, compare = -IMPACTS.index(name), _SIGNS[sign]
        of_rank = np.full(64, -IMPACTS.index("MODIFIER"))
        for term in TERMS:
            of_rank[term.rank - 1] = -IMPACTS.index(term.impact)
        return lambda _, p: compare(of_rank[_rank(p.terms[: p.count])], wanted)

    def _consequence(self, values: list[str]) -> _Test:
        bits = {term.term.lower(): term.mask for term in TERMS}
        mask = 0
        for value in values:
            if value.lower() not in bits:
                self._at -= 1
                raise self._fault(f"there is no consequence term {value!r}")
            mask |= bits[value.lower()]
        wanted = np.uint64(mask)
        return lambda _, p: (p.terms[: p.count] & wanted) != 0

    def _text(self, name: str, values: list[str]) -> _Test:
        """Texts are looked up once, as indices; a row is then compared by number."""
        if name == "biotype":
            wanted = [i for i, text in enumerate(self._bundle.biotypes) if text in values]
            column = self._bundle.array("transcript_biotype")
            return lambda _, p: _of_transcript(p, np.isin(column, wanted), False)
        pool = {
            "symbol": "gene_symbol",
            "gene": "gene_id",
            "transcript": "transcript_name",
            "feature": "transcript_name",
        }[name]
        found = self._indices(pool, values, versions=pool == "transcript_name")
        if pool == "transcript_name":
            return lambda _, p: np.isin(p.transcript[: p.count], found)
        return lambda _, p: np.isin(_of_transcript(p, self._bundle.array("transcript_gene"), -1), found)

    def _indices(self, pool: str, values: list[str], *, versions: bool) -> list[int]:
        wanted = set(values)
        return [
            i
            for i, text in enumerate(self._bundle.texts(pool))
            if text in wanted or (versions and text.partition(".")[0] in wanted)
        ]

    def _take(self, word: str) -> bool:
        if self._at < len(self._words) and self._words[self._at][0].lower() == word:
            self._at += 1
            return True
        return False

    def _next(self, expected: str) -> str:
        if self._at >= len(self._words):
            raise self._fault(f"expected {expected}")
        self._at += 1
        return self._words[self._at - 1][0].strip("\"'")

    def _fault(self, message: str) -> InvalidInput:
        at = self._words[self._at][1] if self._at < len(self._words) else len(self.text)
        return InvalidInput(f"{message} ({self.text!r})", code="bad_filter", place=f"filter, character {at + 1}")


_WORD: Final = re.compile(r"\"[^\"]*\"|'[^']*'|[<>!=]+|[(),]|[^\s<>!=(),]+")
_SIGNS: Final[dict[str, Callable[[Any, Any], Mask]]] = {
    "=": np.equal,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_NUMBERS: Final = {
    "distance": "distance",
    "cdna_position": "cdna_start",
    "cds_position": "cds_start",
    "protein_position": "protein_start",
    "overlap_bp": "overlap_bp",
}
_FLAGS: Final = {
    "canonical": flags.CANONICAL,
    "mane": flags.MANE_SELECT | flags.MANE_PLUS_CLINICAL,
    "coding": flags.CODING,
    "basic": flags.BASIC,
    "ccds": flags.CCDS,
}
_WORDS: Final = ("impact", "consequence", "symbol", "gene", "transcript", "feature", "biotype")


def _of_transcript(pairs: Any, column: NDArray[Any], otherwise: Any) -> NDArray[Any]:
    """A column of the transcripts, for each row; `otherwise` where a row has no transcript."""
    transcript = pairs.transcript[: pairs.count]
    if not len(column):
        return np.full(len(transcript), otherwise)
    return np.where(transcript >= 0, column[np.maximum(transcript, 0)], otherwise)
