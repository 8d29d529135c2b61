"""The grammar of HGVS names as a parser: one method for each rule. Called by `hgvs` only.

It walks the text once from left to right, with one character of lookahead in nearly every place, so that its time is
linear in the length of the text, whatever the text is. Every refusal is an `HgvsSyntaxError` that names the column.
"""

import re
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from genescale.errors import InvalidInput
from genescale.genomics.hgvs_parts import (
    ONE_OF_THREE,
    THREE_OF_ONE,
    Bases,
    Change,
    Conversion,
    CopiedBases,
    Copy,
    Datum,
    Deletion,
    DeletionInsertion,
    Duplication,
    Extension,
    Frameshift,
    HgvsAllele,
    HgvsPlace,
    HgvsVariant,
    Identity,
    Inserted,
    InsertedPart,
    Insertion,
    Interval,
    Inversion,
    NucleicEdit,
    Phase,
    Position,
    ProteinDeletion,
    ProteinDeletionInsertion,
    ProteinDuplication,
    ProteinEdit,
    ProteinIdentity,
    ProteinInsertion,
    ProteinInterval,
    ProteinPosition,
    ProteinRepeat,
    ProteinSubstitution,
    ProteinUnknown,
    Repeat,
    RepeatUnit,
    SequenceType,
    Substitution,
    UncertainPosition,
    UnknownBases,
    Whole,
)

DIGITS_MAX: Final = 10
COUNT_MAX: Final = 100_000

T = TypeVar("T")

# Each pattern is one run of one class of characters, so matching can never go back over the text.
_NUMBER: Final = re.compile(r"[0-9]+")
_DNA: Final = re.compile(r"[ACGTRYKMSWBDHVNacgtrykmswbdhvn]+")
_RNA: Final = re.compile(r"[ACGURYKMSWBDHVNacgurykmswbdhvn]+")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_.\-]+")
_ACCESSION: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*(?:\.[0-9]+)?")
_SYMBOL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")

_LOOKALIKES: Final[dict[str, str]] = {
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\uff1e": ">",
    "\u203a": ">", "\u2192": ">", "\uff1a": ":", "\u2217": "*", "\u00a0": "a plain space", "\u200b": "nothing",
}  # fmt: skip

_UNKNOWN: Final = Position(None)
_MORE: Final[dict[str, str]] = {
    "/": "; mosaics (/) and chimeras (//) are not read, give each variant by itself",
    "^": "; alternatives (^) are not read, give each variant by itself",
    ",": "; give several names one by one",
    ";": "; several changes stand in square brackets: c.[76A>C;83G>C]",
}
_STATES_DNA: Final = ("=",)
_STATES_RNA: Final = ("=", "?", "0?", "0", "spl?", "spl", "(=)", "(?)", "(0)", "(0?)", "(spl)", "(spl?)")
_IVS: Final = (
    "IVS names an intron by its number, which depends on the gene model; HGVS has withdrawn it. "
    "Write the nearest base of the exon and the offset, like c.88+1G>A"
)
_EX: Final = (
    "EX names an exon by its number, which depends on the gene model; HGVS has withdrawn it. "
    "Write the range, like c.88_301del, or with unknown ends c.(87+1_88-1)_(301+1_302-1)del"
)


class HgvsSyntaxError(InvalidInput):
    """A name that cannot be read. `position` is the 0-based index of the fault in `text`; people see it as a column."""

    def __init__(self, message: str, *, text: str, position: int, code: str = "hgvs_syntax") -> None:
        super().__init__(message, code=code, place=f"column {position + 1}")
        self.text = text
        self.position = position


class Parser:
    """One walk over one text. Each method reads one rule of the grammar at the current place and moves behind it."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        """`text` without spaces around it; `parse` and its siblings are the usual doors."""
        self.text = text
        self.at = 0

    def fail(self, message: str, *, at: int | None = None, code: str = "hgvs_syntax") -> HgvsSyntaxError:
        """The error to raise for a fault at the current place, or `at`."""
        place = self.at if at is None else at
        found = self.text[place : place + 12]
        lookalike = _LOOKALIKES.get(found[:1])
        if lookalike:
            message = f"{message}. {found[0]!r} only looks like a plain character; write {lookalike}"
        elif found[:1].isspace():
            message = f"{message}. A name has no space inside"
        elif found.startswith("&"):
            message = f"{message}. The text seems to come from a web page: write > for &gt;"
        shown = f"found {found!r}" if found else "found the end"
        return HgvsSyntaxError(f"{message} ({shown})", text=self.text, position=place, code=code)

    def whole(self, rule: Callable[[], T]) -> T:
        """What `rule` reads, if nothing is left behind it."""
        result = rule()
        if self.at != len(self.text):
            raise self.fail("the name should end here" + _MORE.get(self.text[self.at], ""))
        return result

    def _next(self, token: str) -> bool:
        """Move behind `token` if it comes next."""
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _expect(self, token: str, why: str) -> None:
        if not self._next(token):
            raise self.fail(f"{token} expected, {why}")

    def _run(self, pattern: re.Pattern[str]) -> str:
        """The run of characters of `pattern` that comes next, perhaps empty."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    # numbers

    def num(self) -> int:
        """Digits."""
        start = self.at
        digits = self._run(_NUMBER)
        if not digits:
            raise self.fail("a number expected")
        if len(digits) > DIGITS_MAX:
            raise self.fail(f"no sequence has a position of {len(digits)} digits", at=start)
        return int(digits)

    def nnum(self) -> int:
        """A number with a minus."""
        self._expect("-", "before a negative number")
        return -self.num()

    def snum(self) -> int:
        """A number with or without a sign."""
        if self._next("-"):
            return -self.num()
        self._next("+")
        return self.num()

    def _count(self) -> int:
        start = self.at
        count = self.num()
        if count > COUNT_MAX:
            raise self.fail(f"a count of {count} is more than the {COUNT_MAX} that are read", at=start)
        return count

    # accessions

    def accession(self) -> str:
        """An accession: letters first, perhaps a version."""
        found = self._run(_ACCESSION)
        if not found:
            raise self.fail("an accession expected, like NM_004006.2")
        return found

    def gene_symbol(self) -> str:
        """A gene symbol."""
        found = self._run(_SYMBOL)
        if not found:
            raise self.fail("a gene symbol expected, like BRCA1")
        return found

    def paren_gene(self) -> str:
        """A gene symbol in brackets."""
        self._expect("(", "before a gene symbol")
        gene = self.gene_symbol()
        self._expect(")", "behind a gene symbol")
        return gene

    def reference(self) -> tuple[str, str]:
        """What stands before the colon: an accession, chromosome or gene, and a gene in brackets or ""."""
        accession = self._run(_REFERENCE)
        if not accession:
            raise self.fail("a reference sequence expected, like NM_004006.2, NC_000023.11, chrX or a gene symbol")
        gene = ""
        if self._next("("):
            gene = self._run(_REFERENCE)
            self._expect(")", f"behind the gene of {accession}(")
        return accession, gene

    def _type(self) -> SequenceType:
        kind = self.text[self.at : self.at + 1]
        if kind and kind in "gmcnrp" and self.text.startswith(".", self.at + 1):
            self.at += 2
            return kind  # pyright: ignore[reportReturnType]  # one of six letters, as just tested
        if self.text.startswith(("IVS", "ivs"), self.at):
            raise self.fail(_IVS, code="hgvs_withdrawn")
        hint = f"; it is written in lower case: {kind.lower()}." if kind and kind in "GMCNRP" else ""
        if self.text.startswith("o.", self.at):
            hint = "; write g. for a circular sequence, or m. for the mitochondrial one"
        raise self.fail(f"the type of sequence expected: g. m. c. n. r. or p.{hint}")

    # positions

    def g_pos(self) -> Position:
        """A position of g. and m.: a number or `?`."""
        if self._next("?"):
            return _UNKNOWN
        if self.text[self.at : self.at + 1] in ("*", "-", "+"):
            raise self.fail("g. and m. positions are plain numbers; offsets and * belong to c., n. and r.")
        return Position(self._base())

    def _base(self) -> int:
        start = self.at
        base = self.num()
        if base == 0:
            raise self.fail("there is no position 0: the base before 1 is -1", at=start)
        return base

    def c_pos(self) -> Position:
        """A position of c. and r.: with `-`, `*`, offset."""
        if self._next("*"):
            return self._with_offset(self._base(), Datum.CDS_END)
        return self.n_pos()

    def n_pos(self) -> Position:
        """A position of n.: a number with an offset, or `?`."""
        if self._next("?"):
            return _UNKNOWN
        if self.text.startswith(("IVS", "ivs"), self.at):
            raise self.fail(_IVS, code="hgvs_withdrawn")
        if self.text.startswith(("EX", "Ex", "ex"), self.at):
            raise self.fail(_EX, code="hgvs_withdrawn")
        base = -self._base() if self._next("-") else self._base()
        return self._with_offset(base, Datum.START)

    def _with_offset(self, base: int, datum: Datum) -> Position:
        sign = self.text[self.at : self.at + 1]
        if sign not in {"+", "-"}:
            return Position(base, 0, datum)
        start = self.at
        self.at += 1
        if self._next("?"):
            return Position(base, None, datum, sign)  # pyright: ignore[reportArgumentType]  # "+" or "-"
        offset = self.num()
        if offset == 0:
            raise self.fail("an offset of 0 names no base of an intron", at=start)
        return Position(base, offset if sign == "+" else -offset, datum)

    def position(self, kind: str) -> Position:
        """A position in the numbering of `kind`."""
        if kind in {"g", "m"}:
            return self.g_pos()
        return self.n_pos() if kind == "n" else self.c_pos()

    def interval(self, kind: str) -> Interval:
        """An interval of nucleotides in the numbering of `kind`."""
        if not self._next("("):
            start = self.position(kind)
            return Interval(start, self._end(kind)) if self._next("_") else Interval(start, start)
        inner = self._inside(kind)
        if self._next("_"):
            return Interval(inner, self._end(kind))
        return Interval(inner.start, inner.end, uncertain=True)

    def _end(self, kind: str) -> Position | UncertainPosition:
        return self._inside(kind) if self._next("(") else self.position(kind)

    def _inside(self, kind: str) -> UncertainPosition:
        """`10_20)`, behind the opening bracket."""
        start = self.position(kind)
        self._expect(
            "_", "between the ends of an uncertain range; around a whole change brackets belong to p. and r. only"
        )
        end = self.position(kind)
        self._expect(")", "behind an uncertain range")
        return UncertainPosition(start, end)

    # residues

    def residue(self) -> str:
        """One residue or stop, in one or three letters: its one-letter code."""
        one = ONE_OF_THREE.get(self.text[self.at : self.at + 3])
        if one is not None:
            self.at += 3
            return one
        if self.text[self.at : self.at + 4].lower() in ("stop", "term"):
            raise self.fail("a stop is written Ter, * or X")
        letter = self.text[self.at : self.at + 1]
        if letter and letter in THREE_OF_ONE:
            self.at += 1
            return "*" if letter == "X" else letter
        raise self.fail("an amino acid expected, like Arg or R")

    def residues(self) -> str:
        """A sequence of residues, all in one letter or all in three, a stop only at its end."""
        start = self.at
        three = self.text[self.at : self.at + 3] in ONE_OF_THREE
        found = self._three_letter_run() if three else self._one_letter_run()
        if not found:
            raise self.fail("amino acids expected, like GlnSer or QS")
        if "*" in found[:-1]:
            raise self.fail("nothing is translated behind a stop; Ter can only be the last residue", at=start)
        return found

    def _three_letter_run(self) -> str:
        found: list[str] = []
        while (one := ONE_OF_THREE.get(self.text[self.at : self.at + 3])) is not None:
            found.append(one)
            self.at += 3
        return "".join(found)

    def _one_letter_run(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in THREE_OF_ONE:
            self.at += 1
        found = self.text[start : self.at]
        # X is an old way to write a stop; before the last place it can only be an unknown residue.
        return f"{found[:-1]}*" if found.endswith("X") else found

    def p_pos(self) -> ProteinPosition:
        """A residue and its number."""
        start = self.at
        residue = self.residue()
        if residue in "BZ":
            raise self.fail(f"{THREE_OF_ONE[residue]} is no residue of a known sequence; it stands for two", at=start)
        return ProteinPosition(residue, self._base())

    def p_interval(self) -> ProteinInterval:
        """An interval of residues."""
        if not self._next("("):
            return self._p_plain()
        inner = self._p_plain()
        self._expect(")", "behind an uncertain range")
        return ProteinInterval(inner.start, inner.end, uncertain=True)

    def _p_plain(self) -> ProteinInterval:
        start = self.p_pos()
        return ProteinInterval(start, self.p_pos() if self._next("_") else start)

    # edits of nucleic acids

    def _bases(self, rna: bool) -> str:
        """Bases of DNA in upper case, of RNA in lower case; perhaps none."""
        return self._run(_RNA).lower() if rna else self._run(_DNA).upper()

    def sequence(self, rna: bool) -> str:
        """At least one base."""
        bases = self._bases(rna)
        if not bases:
            raise self.fail("bases expected" + _wrong_alphabet(self.text[self.at : self.at + 1], rna))
        return bases

    def _stated(self, rna: bool) -> tuple[str, int | None]:
        """The bases behind a keyword, or their number, or nothing."""
        bases = self._bases(rna)
        if bases or not self.text[self.at : self.at + 1].isdigit():
            return bases, None
        return "", self.num()

    def edit(self, kind: str) -> NucleicEdit:
        """One edit of DNA, or of RNA when `kind` is r."""
        rna = kind == "r"
        text, at = self.text, self.at
        head = text[at : at + 3]
        if head == "del":
            return self._deletion(kind)
        if head == "dup":
            self.at += 3
            return Duplication(*self._stated(rna))
        if head == "ins":
            self.at += 3
            return Insertion(self.inserted(kind))
        if head == "inv":
            self.at += 3
            return Inversion(*self._stated(rna))
        if head == "con":
            found = self.conversion()
            source = f"{found.accession}:{found.type}.{found.interval}"
            message = f"conversions (con) are withdrawn from HGVS; write delins[{source}]"
            raise self.fail(message, at=at, code="hgvs_withdrawn")
        if head == "cop":
            return self.copy()
        return self._beginning_with_bases(rna)

    def conversion(self) -> Conversion:
        """`con` and where the new bases come from."""
        self._expect("con", "before a conversion")
        accession = self.accession()
        self._expect(":", "behind the accession of a conversion; a conversion names the range it copies")
        kind = self._type()
        return Conversion(accession, kind, self.interval(kind))

    def copy(self) -> Copy:
        """`copy` and a number."""
        self._expect("copy", "before a number of copies")
        return Copy(self._count())

    def _deletion(self, kind: str) -> NucleicEdit:
        self.at += 3
        ref, length = self._stated(kind == "r")
        if not self._next("ins"):
            return Deletion(ref, length)
        inserted = self.inserted(kind)
        first = inserted.parts[0]
        if (
            len(ref) == 1
            and len(inserted.parts) == 1
            and isinstance(first, Bases)
            and first.count == len(first.sequence) == 1
        ):
            return Substitution(ref, first.sequence)  # one base for one base has one name
        return DeletionInsertion(inserted, ref, length)

    def _beginning_with_bases(self, rna: bool) -> NucleicEdit:
        bases = self._bases(rna)
        if self._next("="):
            return Identity(bases)
        if self.text.startswith("[", self.at):
            return self._repeat(bases, rna)
        if not bases:
            found = self.text[self.at : self.at + 1]
            raise self.fail("an edit expected: A>G, del, dup, ins, delins, inv, = or [n]" + _wrong_alphabet(found, rna))
        if not self._next(">"):
            raise self.fail(
                "> expected between the old and the new base" + _wrong_alphabet(self.text[self.at : self.at + 1], rna)
            )
        alt = self.sequence(rna)
        if len(bases) == len(alt) == 1:
            return Substitution(bases, alt)
        # `GC>TA` is how older texts write delins; it means nothing else.
        return DeletionInsertion(Inserted((Bases(alt),)), bases)

    def _repeat(self, unit: str, rna: bool) -> Repeat:
        units = [self._counted(unit)]
        while True:
            unit = self._bases(rna)
            if not unit:
                return Repeat(tuple(units))
            units.append(self._counted(unit))

    def _counted(self, unit: str) -> RepeatUnit:
        self._expect("[", f"behind the repeated unit {unit[:12]}")
        if self._next("?"):
            found = RepeatUnit(unit, None)
        elif self._next("("):
            low = self._count()
            self._expect("_", "between the least and the largest count")
            found = RepeatUnit(unit, low, self._count())
            self._expect(")", "behind the range of counts")
        else:
            found = RepeatUnit(unit, self._count())
        self._expect("]", "behind the number of copies")
        return found

    def inserted(self, kind: str) -> Inserted:
        """What stands behind `ins`."""
        if not self._next("["):
            return Inserted((self._part(kind),))
        parts = [self._part(kind)]
        while self._next(";"):
            parts.append(self._part(kind))
        self._expect("]", "behind the inserted parts")
        return Inserted(tuple(parts))

    def _part(self, kind: str) -> InsertedPart:
        if self._next("?"):
            return UnknownBases(None)
        colon = self._source_colon()
        if colon:
            accession = self.reference()[0]
            self._expect(":", "behind the accession of the inserted sequence")
            source = self._type()
            return CopiedBases(self.interval(source), self._next("inv"), accession, source)
        bases = self._bases(kind == "r")
        if bases:
            return self._repeated_part(bases)
        if self._next("("):  # `ins(100)`, an older way to write N[100]
            length = self._count()
            self._expect(")", "behind the number of inserted bases")
            return UnknownBases(length)
        return self._range_or_length(kind)

    def _repeated_part(self, bases: str) -> InsertedPart:
        if not self._next("["):
            return Bases(bases)
        count = self._count()
        self._expect("]", "behind the number of copies")
        return UnknownBases(count) if bases in ("N", "n") else Bases(bases, count)

    def _range_or_length(self, kind: str) -> InsertedPart:
        start = self.at
        if self.text[start : start + 1] not in ("*", "-") and not self.text[start : start + 1].isdigit():
            raise self.fail(
                "inserted bases expected, or the range that is inserted"
                + _wrong_alphabet(self.text[start : start + 1], kind == "r")
            )
        interval = self.interval(kind)
        written = self.text[start : self.at]
        if written.isdigit():
            return UnknownBases(int(written))  # `ins12`: only the number is known
        return CopiedBases(interval, self._next("inv"))

    def _source_colon(self) -> bool:
        """Whether an accession with a colon comes next, that is, the inserted bases lie on another sequence."""
        match = _REFERENCE.match(self.text, self.at)
        return match is not None and self.text.startswith(":", match.end())

    # edits of proteins

    def p_edit(self) -> ProteinEdit:
        """One edit of a protein."""
        if self._next("del"):
            if self.text.startswith("ext", self.at):
                raise self.fail("a lost stop is an extension and no deletion, like p.Ter110GlnextTer17")
            return ProteinDeletionInsertion(self.residues()) if self._next("ins") else ProteinDeletion()
        if self._next("dup"):
            return ProteinDuplication()
        if self._next("ins"):
            return ProteinInsertion(self.residues())
        for sign, edit in (("=", ProteinIdentity), ("?", ProteinUnknown)):
            if self._next(sign):
                return edit()
        return self._repeat_of_residues() if self._next("[") else self._beginning_with_residue()

    def _repeat_of_residues(self) -> ProteinRepeat:
        count = self._count()
        self._expect("]", "behind the number of copies")
        return ProteinRepeat(count)

    def _beginning_with_residue(self) -> ProteinEdit:
        """A substitution, a frameshift or an extension; the latter two may also stand without the new residue."""
        bare = self.text.startswith(("fs", "ext"), self.at)
        alt = "" if bare else self.residue()
        if self.text.startswith("fs", self.at):
            return self.frameshift(alt)
        if self.text.startswith("ext", self.at):
            return self.extension(alt)
        return ProteinSubstitution(alt)

    def frameshift(self, alt: str = "") -> Frameshift:
        """`fs`, perhaps with the place of the new stop."""
        self._expect("fs", "for a frameshift")
        return Frameshift(alt, self.stop_number()) if self._stop() else Frameshift(alt)

    def _stop(self) -> bool:
        return self._next("Ter") or self._next("*") or self._next("X")

    def stop_number(self) -> int | Literal["?"] | None:
        """The number behind a stop: digits, `?`, or nothing."""
        if self._next("?"):
            return "?"
        return self.num() if self.text[self.at : self.at + 1].isdigit() else None

    def extension(self, alt: str = "") -> Extension:
        """`ext`, perhaps with what it adds."""
        self._expect("ext", "for an extension")
        return self.extent(alt)

    def extent(self, alt: str = "") -> Extension:
        """What stands behind `ext`: `Ter17`, `*?`, `-5`, `Met-5`."""
        if self._stop():
            return Extension(alt, "*", self.stop_number())
        if self.text.startswith("-", self.at):
            return Extension(alt, "", self.nnum())
        one = ONE_OF_THREE.get(self.text[self.at : self.at + 3])
        if one is None:
            return Extension(alt)
        self.at += 3
        return Extension(alt, one, self.nnum())

    # changes

    def change(self, kind: str) -> Change:
        """An interval with its edit, or a statement about the whole sequence."""
        if kind == "p":
            return self.p_change()
        special = self._whole_special(kind)
        if special is not None:
            return special
        if kind == "r" and self.text.startswith("(", self.at):
            return self._r_bracketed()
        return self._placed(kind)

    def _placed(self, kind: str) -> Change:
        start = self.at
        interval = self.interval(kind)
        if self.at == len(self.text):
            raise self.fail(
                f"an edit expected behind {self.text[start : self.at][:24]}: A>G, del, dup, ins, delins, inv, = or [n]"
            )
        if not self._next("("):
            return Change(interval, self.edit(kind))
        edit = self.edit(kind)
        self._expect(")", "behind a bracketed edit")
        return Change(interval, edit, edit_predicted=True)

    def _r_bracketed(self) -> Change:
        """`(5g>u)` is a predicted change, `(5_10)del` a change at an uncertain place."""
        start = self.at
        try:
            return self._placed("r")
        except HgvsSyntaxError as as_range:
            # One retry from the same place, so the time stays linear. The fault furthest right says more.
            self.at = start + 1
            try:
                inner = self._placed("r")
                self._expect(")", "behind a predicted change")
            except HgvsSyntaxError as as_change:
                raise (as_change if as_change.position >= as_range.position else as_range) from None
            return Change(inner.interval, inner.edit, predicted=True, edit_predicted=inner.edit_predicted)

    def _whole_special(self, kind: str) -> Change | None:
        """`c.=` and, for RNA, `r.?`, `r.0`, `r.spl`: nothing but a state up to the end of this change."""
        for state in _STATES_RNA if kind == "r" else _STATES_DNA:
            behind = self.at + len(state)
            ends = behind == len(self.text) or self.text.startswith((";", "]", "(;)"), behind)
            if ends and self.text.startswith(state, self.at):
                self.at = behind
                bracketed = state.startswith("(")
                return Change(None, Whole(state[1:-1] if bracketed else state), predicted=bracketed)
        return None

    def p_special(self) -> Change:
        """A statement about the whole protein: `=`, `?`, `0`, `0?`."""
        if self._next("(="):
            self._expect(")", "behind (=")
            return Change(None, Whole("="), predicted=True)
        if self._next("0"):
            return Change(None, Whole("0?" if self._next("?") else "0"))
        if self._next("="):
            return Change(None, Whole("="))
        if self._next("?"):
            return Change(None, Whole("?"))
        raise self.fail("=, ?, 0 or 0? expected")

    def p_change(self) -> Change:
        """A change of a protein."""
        head = self.text[self.at : self.at + 2]
        if head.startswith(("=", "?", "0", "(=")):
            return self.p_special()
        if head == "(?":
            raise self.fail("an unknown effect is written p.? without brackets")
        if not self._next("("):
            interval = self._p_plain()
            return Change(interval, self._p_edit_behind(interval))
        interval = self._p_plain()
        if self._next(")"):
            interval = ProteinInterval(interval.start, interval.end, uncertain=True)
            return Change(interval, self._p_edit_behind(interval))
        edit = self._p_edit_behind(interval)
        self._expect(")", "behind a predicted change")
        return Change(interval, edit, predicted=True)

    def _p_edit_behind(self, interval: ProteinInterval) -> ProteinEdit:
        if self.at == len(self.text):
            raise self.fail(
                f"an edit expected behind {interval}: an amino acid, Ter, =, del, dup, ins, delins, fs or ext"
            )
        return self.p_edit()

    # whole names

    def described(self, accession: str, gene: str) -> HgvsVariant | HgvsAllele:
        """Type and change or changes, behind the colon."""
        kind = self._type()
        if self.text.startswith("[", self.at):
            return self._allele(accession, gene, kind)
        first = self.change(kind)
        if not self.text.startswith("(;)", self.at):
            return HgvsVariant(accession, kind, first, gene)
        changes = [first]
        while self._next("(;)"):
            changes.append(self.change(kind))
        return HgvsAllele(accession, kind, tuple((change,) for change in changes), Phase.UNKNOWN, gene)

    def _allele(self, accession: str, gene: str, kind: SequenceType) -> HgvsAllele:
        groups = [self._group(kind)]
        while self._next(";"):
            groups.append(self._group(kind))
        if len(groups) > 1:
            return HgvsAllele(accession, kind, tuple(groups), Phase.TRANS, gene)
        return HgvsAllele(accession, kind, tuple(groups), Phase.CIS, gene)

    def _group(self, kind: str) -> tuple[Change, ...]:
        self._expect("[", "before the changes of one chromosome")
        changes = [self.change(kind)]
        while self._next(";"):
            changes.append(self.change(kind))
        self._expect("]", "behind the changes of one chromosome")
        return tuple(changes)

    def variant(self) -> HgvsVariant | HgvsAllele:
        """A whole name."""
        accession, gene = self._before_colon()
        return self.described(accession, gene)

    def place(self) -> HgvsPlace:
        """A whole name of a place, without an edit."""
        accession, gene = self._before_colon()
        kind = self._type()
        return HgvsPlace(accession, kind, self.p_interval() if kind == "p" else self.interval(kind), gene)

    def _before_colon(self) -> tuple[str, str]:
        text = self.text
        if text[1:2] == "." and text[0] in "gmcnrp":
            raise self.fail(
                f"the reference sequence is missing; write it before {text[:2]}, like NM_004006.2:{text[:2]}", at=0
            )
        accession, gene = self.reference()
        self._expect(":", "between the reference sequence and the change")
        return accession, gene


def _wrong_alphabet(found: str, rna: bool) -> str:
    if rna and found in ("T", "t"):
        return "; RNA has u in place of t"
    if not rna and found in ("U", "u"):
        return "; DNA has T in place of U"
    return ""
