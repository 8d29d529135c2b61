"""Tables of computed scores: CADD, REVEL, AlphaMissense and SpliceAI, each in the form in which it is published.

Nothing of them is shipped; several may not be used commercially. Each table carries its licence and version. A score
is a prediction and is stored as the file writes it: as a decimal number of that many places, or as a 32-bit float.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from genescale.errors import InvalidInput
from genescale.genomics.aliases import assembly_family
from genescale.genomics.bundle import Bundle, file_digest
from genescale.genomics.knowledge import Column
from genescale.genomics.knowledge_build import (
    Fact,
    ImportReport,
    NextFile,
    Rejected,
    Source,
    build_facts,
)
from genescale.genomics.knowledge_files import (
    InfoReader,
    Progress,
    VcfRow,
    allele_problem,
    first_lines,
    lines,
    number_or_none,
    read_vcf,
)

KINDS: Final = ("cadd", "revel", "alphamissense", "spliceai")
_DELTAS: Final = ("ds_ag", "ds_al", "ds_dg", "ds_dl")
_PLACES: Final = ("dp_ag", "dp_al", "dp_dg", "dp_dl")
_SPLICE_WORDS: Final = ("acceptor gain", "acceptor loss", "donor gain", "donor loss")

_Facts = Iterator[Fact | Rejected | NextFile]


def import_scores(
    bundle_dir: str | Path, *paths: str | Path, name: str = "", progress: Progress | None = None
) -> ImportReport:
    """Add a table of scores to a bundle. Which one it is, the first lines say.

    Several files (CADD's SNVs and indels) become one source. Raises `InvalidInput` when a file is none of `KINDS`, when
    the files are of different kinds, or when the assembly is another one.
    """
    files = [Path(path) for path in paths]
    kinds = {score_kind(file) for file in files}
    if len(kinds) > 1:
        raise InvalidInput(f"{', '.join(sorted(kinds))}: import each kind of scores on its own")
    source, facts = _READERS[kinds.pop()](files, Path(bundle_dir), progress)
    if name:
        source = Source(name, **{key: getattr(source, key) for key in _REST})
    return build_facts(bundle_dir, source, facts)


def score_kind(file: Path) -> str:
    """Which of `KINDS` a file is, by its header."""
    for line in first_lines(file):
        words = re.split(r"[\t,]", line.lstrip("#").strip().lower())
        if words[:6] == ["chrom", "pos", "ref", "alt", "rawscore", "phred"]:
            return "cadd"
        if {"hg19_pos", "grch38_pos", "revel"} <= set(words):
            return "revel"
        if {"chrom", "pos", "am_pathogenicity", "am_class"} <= set(words):
            return "alphamissense"
        if line.startswith("##INFO=<ID=SpliceAI,"):
            return "spliceai"
    raise InvalidInput(
        "no table of scores that can be imported: looked for the headers of CADD (#Chrom Pos Ref Alt RawScore PHRED), "
        "REVEL (chr,hg19_pos,grch38_pos,...), AlphaMissense (#CHROM ... am_pathogenicity am_class) and SpliceAI (VCF)",
        code="unknown_scores",
        place=str(file),
    )


def cadd(files: Sequence[Path], bundle_dir: Path, progress: Progress | None) -> tuple[Source, _Facts]:
    """CADD's tables of all SNVs and of indels."""
    del bundle_dir
    first = next(iter(first_lines(files[0], 1)), "")
    assembly, version = re.search(r"(GRCh3[78])", first), re.search(r"v([0-9]+\.[0-9]+)", first)
    source = Source(
        "cadd",
        version=version[1] if version else "",
        date="",
        licence="free for non-commercial use; the University of Washington licenses others",
        assembly=assembly[1] if assembly else "GRCh37",  # up to version 1.3 there was no other
        columns=(
            Column("raw", "f4", "raw score of the model; comparable within one version only"),
            Column(
                "phred", "f4", "scaled score: 10 is the highest tenth of all possible SNVs, 20 the highest hundredth"
            ),
        ),
        files=_digests(files),
    )

    return source, _lines_of_tables(files, progress, (4, 5))


def revel(files: Sequence[Path], bundle_dir: Path, progress: Progress | None) -> tuple[Source, _Facts]:
    """REVEL: missense SNVs, positions on both assemblies; the bundle decides which is read."""
    with Bundle.open(bundle_dir) as bundle:
        family = assembly_family(bundle.assembly)
        if not family:
            raise InvalidInput(
                f"REVEL has positions on GRCh37 and GRCh38; the bundle {bundle.name} is {bundle.assembly or 'neither'}",
                code="assembly_mismatch",
                place=str(files[0]),
            )
    source = Source(
        "revel",
        version=_version_in(files[0]),
        date="",
        licence="free for non-commercial use; others ask the authors",
        assembly=family,
        columns=(
            Column("revel", "u2", "0 to 1, higher is more likely to cause disease; the highest of all transcripts", 3),
        ),
        prefer="revel",
        files=_digests(files),
    )

    def facts() -> _Facts:
        for file in files:
            yield from _opening(files, file)
            numbered = lines(file, progress)
            header = next(numbered)[1].lstrip("#").lower()
            mark = "," if "," in header else "\t"
            at = {word: i for i, word in enumerate(header.split(mark))}
            place = at["grch38_pos" if family == "GRCh38" else "hg19_pos"]
            for number, line in numbered:
                row = line.split(mark)
                if len(row) > place and row[place] in {".", ""}:
                    yield Rejected(number, "no_position_on_this_assembly")
                elif line:
                    yield _table_fact(number, row, (at["chr"], place, at["ref"], at["alt"]), (at["revel"],))

    return source, facts()


def alphamissense(files: Sequence[Path], bundle_dir: Path, progress: Progress | None) -> tuple[Source, _Facts]:
    """AlphaMissense: missense SNVs of canonical transcripts, a probability and a class."""
    del bundle_dir
    beginning = first_lines(files[0])
    header = next(i for i, line in enumerate(beginning) if line.lower().startswith("#chrom\t"))
    licence = re.search(
        r"[Ll]icen[sc]ed under (?:the )?(.+?)(?: [Ll]icen[sc]e)?\.?\s*$", "\n".join(beginning[:header]), re.MULTILINE
    )
    row = beginning[header + 1].split("\t") if len(beginning) > header + 1 else []
    source = Source(
        "alphamissense",
        version="2023",
        date="",
        licence=licence[1] if licence else "see the publisher; older files are CC BY-NC-SA 4.0",
        assembly=row[4] if len(row) > 4 else "",
        columns=(
            Column(
                "pathogenicity", "u2", "0 to 1, predicted probability of being pathogenic; the highest of all rows", 4
            ),
            Column("class", "category", "likely_benign, ambiguous or likely_pathogenic, by the authors' thresholds"),
        ),
        prefer="pathogenicity",
        files=_digests(files),
    )

    return source, _lines_of_tables(files, progress, (8,), (9,))


def spliceai(files: Sequence[Path], bundle_dir: Path, progress: Progress | None) -> tuple[Source, _Facts]:
    """SpliceAI's precomputed VCFs, and the output of the program itself, which has the same field."""
    del bundle_dir
    header, _ = read_vcf(files[0])
    version = re.search(r"SpliceAIv?([0-9.]+)", header.info["SpliceAI"].get("Description", ""))
    masking = next((word for word in ("masked", "raw") if word in files[0].name.lower()), "masking not stated")
    source = Source(
        "spliceai",
        version=f"{version[1] if version else 'unknown'} {masking}",
        date=header.values.get("fileDate", ""),
        licence="academic and not-for-profit use; Illumina licenses others",
        assembly=header.assembly(),
        columns=(
            Column("symbol", "text", "gene for which the scores were computed; the one with the highest score"),
            Column("ds_max", "u1", "the highest of the four scores", 2),
            *(Column(n, "u1", f"probability of {w}", 2) for n, w in zip(_DELTAS, _SPLICE_WORDS, strict=True)),
            *(Column(n, "i4", f"distance in bases to the {w}") for n, w in zip(_PLACES, _SPLICE_WORDS, strict=True)),
        ),
        prefer="ds_max",
        files=_digests(files),
    )

    def facts() -> _Facts:
        info = InfoReader(("SpliceAI",))
        for file in files:
            yield from _opening(files, file)
            for row in read_vcf(file, progress)[1]:
                if isinstance(row, Rejected):
                    yield row
                else:
                    yield from _splice_facts(row, info)

    return source, facts()


def _splice_facts(row: VcfRow, info: InfoReader) -> _Facts:
    """ALLELE|SYMBOL|DS_AG|DS_AL|DS_DG|DS_DL|DP_AG|DP_AL|DP_DG|DP_DL, one for each allele and gene."""
    said = info.read(row.info).get("SpliceAI")
    if said is None:
        yield Rejected(row.line, "no_score")
        return
    for entry in said.split(","):
        parts = entry.split("|")
        problem = "bad_score" if len(parts) != 10 else "allele_is_no_alt" if parts[0] not in row.alts else ""
        problem = problem or allele_problem(row.ref, parts[0])
        try:
            numbers = [number_or_none(part) for part in parts[2:]]
        except ValueError:
            numbers, problem = [], problem or "bad_number"
        scores = [number for number in numbers[:4] if number is not None]
        if problem or not scores:
            yield Rejected(row.line, problem or "no_score")
        else:
            yield Fact(row.line, row.contig, row.position, row.ref, parts[0], (parts[1] or None, max(scores), *numbers))


def _lines_of_tables(
    files: Sequence[Path], progress: Progress | None, scores: Sequence[int], words: Sequence[int] = ()
) -> _Facts:
    """Tables that begin with contig, position, REF and ALT, between tabs."""
    for file in files:
        yield from _opening(files, file)
        for number, line in lines(file, progress):
            if line and not line.startswith("#"):
                yield _table_fact(number, line.split("\t"), (0, 1, 2, 3), scores, words)


def _table_fact(
    number: int, row: Sequence[str], key: tuple[int, int, int, int], scores: Sequence[int], words: Sequence[int] = ()
) -> Fact | Rejected:
    """A line of a table; `key` are the columns of contig, position, REF and ALT."""
    if len(row) <= max(*key, *scores, *words, 0):
        return Rejected(number, "too_few_columns")
    contig, position, ref, alt = (row[i] for i in key)
    if not (position.isdecimal() and position.isascii() and len(position) < 11):
        return Rejected(number, "bad_position")
    problem = allele_problem(ref, alt)
    if problem:
        return Rejected(number, problem)
    try:
        values = [number_or_none(row[i]) for i in scores]
    except ValueError:
        return Rejected(number, "bad_number")
    return Fact(number, contig, int(position), ref, alt, (*values, *(row[i] or None for i in words)))


def _opening(files: Sequence[Path], file: Path) -> _Facts:
    if len(files) > 1:
        yield NextFile(file.name)


def _digests(files: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    return tuple((file.name, file_digest(file)) for file in files)


def _version_in(file: Path) -> str:
    found = re.search(r"v?([0-9]+\.[0-9]+)", file.name)
    return found[1] if found else ""


_READERS: Final = {"cadd": cadd, "revel": revel, "alphamissense": alphamissense, "spliceai": spliceai}
_REST: Final = ("version", "date", "licence", "assembly", "columns", "prefer", "files")
