"""Annotation of variants, as a stream: text in, text out, in memory that does not grow with the input.

`annotate` is the one function for Python programs. `Annotator` is what it and the command line run on: it takes blocks
of whole VCF lines and gives back the lines of the output. Every block is independent of the others, so blocks may be
annotated by several processes and put together in order again: the bytes are the same.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np

from genescale import __version__
from genescale.errors import InvalidInput, UnknownName
from genescale.genomics import bgzf, inputs
from genescale.genomics import variants as variant_flags
from genescale.genomics.bundle import INDEX_REACH, Bundle
from genescale.genomics.consequence import FLANK, Pairs, judge
from genescale.genomics.inputs import Form, Refused
from genescale.genomics.names import write_names
from genescale.genomics.render import HAPLOTYPES, Layout, Renderer, Texts
from genescale.genomics.terms import names as term_names
from genescale.genomics.vcf import (
    FAULTS,
    NO_RECORD,
    OUTSIDE_REFERENCE,
    REASONS,
    UNKNOWN_CONTIG,
    Header,
    Scanner,
    header_length,
    names_of,
    read_header,
    without_mark,
)

# Who asks for one of these pays for its import, and nobody else: most runs are one small file.
# (selection: pick and filter; knowledge: bundles with facts; phased: phased variants; mito: another assembly)
if TYPE_CHECKING:
    from genescale.genomics.knowledge_fields import FactWriter
    from genescale.genomics.phased import Phased
    from genescale.genomics.selection import Filter

BLOCK: Final = 1 << 18  # bytes of input handled at once: with its columns and its output it stays in the cache
_PROBLEMS = 20  # how many faulty lines are described one by one
_NAMES = 1000  # how many unknown contigs are remembered


@dataclass(frozen=True, slots=True)
class Options:
    """How to annotate.

    to: output format (`render.FORMATS`); fields: what a row says, empty for the usual; strict: exactly as VEP 115, its
    faults included; hgvs: write HGVS names, where the output has fields for them; pick: `""` for all rows, else one of
    `selection.PICKS`; flag_pick: mark the picked rows instead of leaving out the others; where: a filter expression;
    distance: how far up- and downstream terms reach; circular_flanks: give them on circular contigs too;
    on_error: what becomes of a faulty line (`keep` it as it is, `drop` it, or `stop` there); phased: say too what
    phased variants of one chromosome do together (VCF output, sorted input).
    """

    to: str = "vcf"
    fields: tuple[str, ...] = ()
    strict: bool = False
    hgvs: bool = True
    pick: str = ""
    flag_pick: bool = False
    where: str = ""
    on_error: Literal["keep", "drop", "stop"] = "keep"
    shift_3prime: bool = False
    distance: int = FLANK
    circular_flanks: bool = False
    phased: bool = False


@dataclass(slots=True)
class Tally:
    """What happened so far. `terms` counts sets of terms by their mask, `reasons` lines that were not annotated."""

    records: int = 0
    alleles: int = 0
    rows: int = 0
    lines: int = 0
    known: int = 0  # records on a contig of the reference
    reasons: Counter[str] = field(default_factory=Counter[str])
    terms: Counter[int] = field(default_factory=Counter[int])
    problems: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    unknown_contigs: list[str] = field(default_factory=list[str])

    @property
    def faulty(self) -> int:
        """Lines that are wrong in themselves, not merely beyond this reference."""
        return sum(self.reasons[REASONS[status]] for status in FAULTS)

    def term_counts(self) -> dict[str, int]:
        """How many rows carry each term, the most frequent first."""
        found: Counter[str] = Counter()
        for mask, count in self.terms.items():
            for name in term_names(mask):
                found[name] += count
        return dict(found.most_common())

    def add(self, other: Tally) -> None:
        """Take in what happened elsewhere, later in the input."""
        self.records += other.records
        self.alleles += other.alleles
        self.rows += other.rows
        self.lines += other.lines
        self.known += other.known
        self.reasons.update(other.reasons)
        self.terms.update(other.terms)
        self.problems = (self.problems + other.problems)[:_PROBLEMS]
        self.unknown_contigs = list(dict.fromkeys(self.unknown_contigs + other.unknown_contigs))[:_NAMES]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"terms": {str(mask): count for mask, count in self.terms.items()}}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Tally:
        """What `as_dict` wrote."""
        whole: dict[str, Any] = plain | {
            "reasons": Counter(plain["reasons"]),
            "terms": Counter({int(mask): count for mask, count in plain["terms"].items()}),
            "problems": [(int(line), str(text)) for line, text in plain["problems"]],
        }
        return cls(**whole)


class Annotator:
    """Annotates blocks of VCF lines with one bundle. Keep one for many inputs: it stays warm. One for each thread."""

    def __init__(self, bundle: Bundle, options: Options | None = None, *, strip: bool = True) -> None:
        """`strip`: the input may have been annotated before, so INFO is searched for what is to be written."""
        self.bundle = bundle
        self.options = options = options or Options()
        self._gathered: list[str] = []
        self._facts: FactWriter | None = None
        self._filter: Filter | None = None
        self._choose(options)
        self._scanner = Scanner(bundle)
        drop = FAULTS if options.on_error == "drop" else ()
        self._renderer = Renderer(bundle, self.layout, drop=drop, strip=strip and bool(self.layout.info))
        which = {"hgvsc", "hgvsp"} if options.hgvs else set[str]()
        self._names: Any = frozenset(
            name
            for name in ("hgvsc", "hgvsp", "hgvsg", "spdi", "spdi_canonical")
            if self.layout.wants(name) and (name in which or not name.startswith("hgvs") or options.hgvs)
        )
        self._pairs = Pairs.allocate(1 << 15, 1 << 16)
        self._tally = Tally()
        if not 0 <= options.distance <= INDEX_REACH:
            raise InvalidInput(
                f"the distance must lie between 0 and {INDEX_REACH:,} bases, not {options.distance:,}",
                code="bad_option",
            )
        if options.phased and not self.layout.info:
            raise InvalidInput("phased variants are told in VCF output", code="bad_option")
        if options.phased and options.shift_3prime:
            raise InvalidInput(
                "phased variants are judged where their lines have them, not 3'-shifted", code="bad_option"
            )
        self._phased: Phased | None = None

    def _choose(self, options: Options) -> None:
        """The layout of the output, and what chooses its rows and looks up its known facts."""
        pick = options.flag_pick and bool(options.pick)
        if self.bundle.facts:
            from genescale.genomics.knowledge import Knowledge  # noqa: PLC0415
            from genescale.genomics.knowledge_fields import (  # noqa: PLC0415
                EXISTING,
                SIGNIFICANCE,
                FactWriter,
                fact_fields,
            )

            knowledge = Knowledge.open(self.bundle)
            known = fact_fields(knowledge)
            self.layout = Layout.of(options.to, options.fields, strict=options.strict, pick=pick, facts=known)
            self._gathered = [name for name in (EXISTING, SIGNIFICANCE) if self.layout.wants(name)]
            if self._gathered or self.layout.facts:
                self._facts = FactWriter(knowledge, [*self._gathered, *self.layout.facts])
        else:
            self.layout = Layout.of(options.to, options.fields, strict=options.strict, pick=pick)
        if options.pick or options.where:
            from genescale.genomics.selection import PICKS, Filter  # noqa: PLC0415

            if options.pick and options.pick not in PICKS:
                ways = ", ".join(PICKS)
                raise InvalidInput(f"there is no way to pick called {options.pick!r}: {ways}", code="bad_option")
            self._filter = Filter(options.where, self.bundle) if options.where else None

    def tally(self) -> Tally:
        """What happened since the last call."""
        done, self._tally = self._tally, Tally()
        done.rows, done.lines = self._renderer.take_counts()
        done.terms = Counter(self._renderer.take_terms())
        return done

    def header(self, header: Header, first_line: bytes = b"") -> bytes:
        """The head of the output. `first_line` is the first record: it tells the columns of a file without a head."""
        if not self.layout.info:
            return b"" if self.options.to == "json" else self._titles()
        end = b"\r\n" if header.crlf else b"\n"
        declared = self.layout.declaration(__version__, self._reference())
        if self.options.phased:
            from genescale.genomics.phased import Phased, sample_names  # noqa: PLC0415

            self._phased = Phased(self.bundle, sample_names(header.columns or _columns_of(first_line)))
            declared.append(Phased.declaration())
        ours = [line.encode() + end for line in declared]
        kept = [
            line if line.endswith(b"\n") else line + end
            for line in header.lines
            if not _is_ours(line, self.layout.info)
        ]
        if not kept:
            kept = [b"##fileformat=VCFv4.2" + end]
        columns = header.columns or _columns_of(first_line) + end
        return b"".join([*kept, *ours, columns if columns.endswith(b"\n") else columns + end])

    def block(self, block: bytes | memoryview, line: int = 1) -> Iterator[memoryview]:
        """The output for whole lines of input, in pieces that are good until the next is asked for.

        `line` is the number of the block's first line in its file, for messages.
        """
        scanner = self._scanner
        at = 0
        while at < len(block):
            at = scanner.scan(block, at)
            pieces = self._batch(block, line)
            line += scanner.records.count
            if self._phased is None:
                yield from pieces
            else:
                dropped = FAULTS if self.options.on_error == "drop" else ()
                output = b"".join(bytes(piece) for piece in pieces)
                yield memoryview(self._phased.take(output, block, scanner, self._pairs, dropped))

    def end(self) -> bytes:
        """What is left to write when the input has ended."""
        return b"" if self._phased is None else self._phased.end()

    def _batch(self, block: bytes | memoryview, line: int) -> Iterator[memoryview]:
        scanner = self._scanner
        pairs = judge(
            self.bundle,
            scanner.variants,
            strict=self.options.strict,
            shift=self.options.shift_3prime,
            flank=self.options.distance,
            circular_flanks=self.options.circular_flanks,
            check_reference=False,  # the scanner did
            into=self._pairs,
        )
        self._mark_unjudged(pairs)
        self._look(block, line)
        texts = Texts()
        if self._names:
            names = write_names(self.bundle, scanner.variants, pairs, strict=self.options.strict, which=self._names)
            for name in self._names:
                setattr(texts, name, getattr(names, name))
        if self._facts:
            known = self._facts.write(scanner.variants)
            for at, name in enumerate(self._gathered):
                setattr(texts, name, known.fields(at, at + 1))
            texts.facts = known.fields(len(self._gathered), known.width)
        keep = picked = None
        if self.options.pick:
            from genescale.genomics.selection import picked_rows  # noqa: PLC0415

            picked = picked_rows(self.bundle, scanner.variants, pairs, self.options.pick, strict=self.options.strict)
            keep = None if self.options.flag_pick else picked
        if self._filter:
            passed = self._filter.rows(scanner.variants, pairs)
            keep = passed if keep is None else keep & passed
        return self._renderer.render(block, scanner, pairs, texts, keep=keep, picked=picked)

    def _mark_unjudged(self, pairs: Pairs) -> None:
        """Give a reason to records of which the judge, and not the scanner, found that nobody knows the place."""
        records, variants = self._scanner.records, self._scanner.variants
        outside = (variants.flags[: variants.count] & variant_flags.OUTSIDE_REFERENCE) != 0
        if not outside.any():
            return
        outside[pairs.variant[: pairs.count]] = False
        rows = variants.record[: variants.count][outside]
        records.status[rows] = np.where(records.status[rows] == 0, OUTSIDE_REFERENCE, records.status[rows])

    def _look(self, block: bytes | memoryview, line: int) -> None:
        """Count the lines of a batch, and remember what is wrong with them."""
        records, variants, tally = self._scanner.records, self._scanner.variants, self._tally
        status = records.status[: records.count]
        counts = np.bincount(status, minlength=len(REASONS)).tolist()
        tally.records += records.count - counts[NO_RECORD]
        tally.alleles += variants.count
        unannotated = records.count - counts[0] - counts[NO_RECORD]
        tally.known += int(np.count_nonzero(records.contig[: records.count] >= 0))
        if not unannotated:
            return
        for reason, count in zip(REASONS, counts, strict=True):
            if reason and count:
                tally.reasons[reason] += count
        for i in np.flatnonzero(status == UNKNOWN_CONTIG)[:_NAMES].tolist():
            name = self._scanner.contig_name(block, i)
            if name not in tally.unknown_contigs and len(tally.unknown_contigs) < _NAMES:
                tally.unknown_contigs.append(name)
        faulty = np.flatnonzero(np.isin(status, FAULTS)).tolist()
        for i in faulty[: _PROBLEMS - len(tally.problems)]:
            tally.problems.append((line + i, self._scanner.describe(block, i)))
        if faulty and self.options.on_error == "stop":
            raise InvalidInput(
                self._scanner.describe(block, faulty[0]),
                code=REASONS[int(status[faulty[0]])],
                place=f"line {line + faulty[0]}",
            )

    def _reference(self) -> str:
        return f"{self.bundle.name} ({self.bundle.assembly}, {self.bundle.digest[:16]})"

    def _titles(self) -> bytes:
        return ("\t".join(one.name for one in self.layout.fields) + "\n").encode()


# ----------------------------------------------------------------------------------------------------- input


@dataclass(slots=True)
class Input:
    """An opened input: its header, and its lines as blocks. `damage` is set when the input turned out to be cut off."""

    header: Header
    first_line: int
    _pieces: Iterator[bytes]
    _rest: bytes
    damage: bgzf.Truncated | None = None
    form: Form = "vcf"
    refused: list[Refused] = field(default_factory=list[Refused])  # grows while the blocks are read

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """Blocks of whole lines. The last line of the file may lack its line feed."""
        pending = [self._rest]
        length = len(self._rest)
        try:
            for piece in self._pieces:
                pending.append(piece)
                length += len(piece)
                if length < size:
                    continue
                cut = piece.rfind(b"\n") + 1
                if cut:
                    pending[-1] = piece[:cut]
                    yield b"".join(pending)
                    pending = [piece[cut:]]
                    length = len(pending[0])
        except bgzf.Truncated as damage:
            self.damage = damage
        last = b"".join(pending)
        if self.damage and last and not last.endswith(b"\n"):
            last = last[: last.rfind(b"\n") + 1]  # half a line is no line
        if last:
            yield last


def open_input(
    source: BinaryIO,
    bundle: Bundle | None = None,
    form: Form | Literal["auto"] = "auto",
    beside: Callable[[], Sequence[Bundle]] = tuple,
) -> Input:
    """Read the head of an input, plain or compressed: VCF, BCF, names of variants or raw DNA (`inputs.FORMS`).

    Names and DNA need the `bundle` on which they mean something; without one, the input is VCF or BCF. DNA is looked
    for in the references `beside` it too. Raises
    `InvalidInput` for UTF-16 and for a damaged header.
    """
    start = source.read(1 << 16)
    pieces = _decoded(bgzf.read_gzip(source, start) if bgzf.is_gzip(start) else bgzf.read_plain(source, start))
    damage = None
    refused: list[Refused] = []
    if bundle is None:
        form = "vcf"
    elif form == "auto":
        form, pieces = _found_form(pieces)
    if bundle is not None and form != "vcf":
        pieces = inputs.as_vcf(pieces, form, bundle, refused, beside)
    head = bytearray()
    length = 0
    try:
        for piece in pieces:
            fresh = without_mark(bytes(piece)) if not head else piece
            head += fresh
            length = header_length(bytes(head))
            if length < len(head):
                break
    except bgzf.Truncated as error:
        damage = error
        pieces = iter(())
    header = read_header(bytes(head[:length]))
    return Input(header, 1 + head.count(b"\n", 0, length), pieces, bytes(head[length:]), damage, form, refused)


def _found_form(pieces: Iterator[bytes]) -> tuple[Form, Iterator[bytes]]:
    """The form of an input, from its first piece, and all pieces again."""
    try:
        first = next(pieces, b"")
    except bgzf.Truncated as damage:
        return "vcf", _raising(damage)
    return inputs.form_of(without_mark(first)), itertools.chain([first] if first else [], pieces)


def _raising(error: Exception) -> Iterator[bytes]:
    yield from ()
    raise error


def _decoded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, or the text that they stand for when they are BCF."""
    try:
        first = next(pieces, b"")
    except bgzf.Truncated as damage:
        return _raising(damage)
    whole = itertools.chain([first] if first else [], pieces)
    if not first.startswith(b"BCF"):
        return whole
    from genescale.genomics import bcf  # noqa: PLC0415 - few inputs are BCF, and a short run feels every import

    return bcf.as_text(whole)


def no_contig_known(bundle: Bundle, names: Iterable[str]) -> UnknownName:
    """The error for a file of which no contig belongs to the reference, with both lists of names."""
    return UnknownName(
        f"no contig of the input is one of the reference {bundle.name}. The input has {names_of(list(names))}; "
        f"the reference has {names_of([contig.name for contig in bundle.contigs])}. "
        "Another assembly, or another --reference?",
        code="no_common_contig",
    )


def refuse_other_assembly(bundle: Bundle, header: Header) -> None:
    """Raise `InvalidInput` when the file declares a contig of the reference with another length.

    Positions of another assembly name other bases: most REF would disagree, and where they agree by chance the answer
    would be wrong in silence.
    """
    for name, stated in zip(header.contigs, header.lengths, strict=True):
        index = bundle.contig(name)
        ours = bundle.contigs[index].length if index >= 0 else None
        if stated is not None and ours is not None and stated != ours:
            from genescale.genomics import mito  # noqa: PLC0415

            hint = (
                "; it is NC_001807, the chrM of UCSC's hg19"
                if (stated, ours) == (mito.HG19_LENGTH, mito.LENGTH)
                else ""
            )
            raise InvalidInput(
                f"the file is on another assembly: it declares {name} with {stated:,} bases{hint}, and the reference "
                f"{bundle.name} ({bundle.assembly or 'assembly not said'}) has {ours:,}. Name a --reference of its "
                "assembly, or convert the file; if only its header is wrong, mend the ##contig lines",
                code="assembly_mismatch",
                place=f"##contig {name}",
            )


# ----------------------------------------------------------------------------------------------------- the function


def annotate(
    source: str | Path | BinaryIO | bytes, bundle: Bundle, options: Options | None = None
) -> Iterator[dict[str, str]]:
    """One dictionary for each ALT allele and transcript of `source`: a path, an open file, or its bytes.

    The source is VCF, BCF, names of variants (one a line) or raw DNA. The keys are the fields of `options`
    (`render.FIELDS` says what there is), the values text as in the tab-separated output; `-` stands for nothing. A
    line of VCF that cannot be judged gives no row, unless `on_error="stop"`; an input that is cut off, and names or
    sequences that give no variant, raise `InvalidInput` behind the last row.

    >>> from genescale.genomics.bundle import Bundle
    >>> line = b"chrM\\t3243\\t.\\tA\\tG\\t.\\t.\\t."
    >>> with Bundle.open(mitochondrion) as bundle:
    ...     rows = list(annotate(line, bundle, Options(fields=("symbol", "consequence"))))
    >>> rows[0]["consequence"]
    'non_coding_transcript_exon_variant'
    >>> with Bundle.open(mitochondrion) as bundle:
    ...     [row["symbol"] for row in annotate(b"chrM:m.3243A>G", bundle)]
    ['MT-TL1']
    """
    annotator = Annotator(bundle, replace(options or Options(), to="tsv"))
    names = [one.name for one in annotator.layout.fields]
    with _opened(source) as file:
        opened = open_input(file, bundle)
        refuse_other_assembly(bundle, opened.header)
        line = opened.first_line
        for block in opened.blocks():
            for piece in annotator.block(block, line):
                for row in bytes(piece).decode("utf-8", "replace").split("\n")[:-1]:
                    yield dict(zip(names, row.split("\t"), strict=True))
            line += block.count(b"\n")
        if opened.damage:
            raise opened.damage
        for one in opened.refused:
            more = f" (and {len(opened.refused) - 1} more)" if len(opened.refused) > 1 else ""
            raise InvalidInput(one.message + more, code=one.reason, place=f"line {one.line}")


def _opened(source: str | Path | BinaryIO | bytes) -> Any:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, str | Path):
        return Path(source).open("rb")
    return contextlib.nullcontext(source)  # whoever opened it closes it


def _is_ours(line: bytes, info: str) -> bool:
    """Whether a header line declares what this run writes anew."""
    return line.startswith(
        (
            f"##INFO=<ID={info},".encode(),
            f"##INFO=<ID={HAPLOTYPES},".encode(),
            b"##INFO=<ID=GENESCALE_SKIPPED,",
            b"##genescale=",
        )
    )


def _columns_of(line: bytes) -> bytes:
    """A column line for a file that has none, with names for as many samples as the first record has."""
    names = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
    samples = max(line.count(b"\t") - 8, 0)
    if line.count(b"\t") >= 8:
        names += ["FORMAT", *(f"sample{number}" for number in range(1, samples + 1))]
    return "\t".join(names).encode()
