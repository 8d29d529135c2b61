"""Allele frequencies from sites VCFs in the manner of gnomAD and 1000 Genomes, by population and with their numbers.

A frequency without its number of alleles says little: `an` stands beside every `af`. What a file does not say for a
population is absent, not zero; an allele that is not in the file has no row at all, which is no proof of rarity either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from genescale.errors import InvalidInput
from genescale.genomics.bundle import file_digest
from genescale.genomics.knowledge import Column, Value
from genescale.genomics.knowledge_build import Fact, ImportReport, NextFile, Rejected, Source, build_facts
from genescale.genomics.knowledge_files import (
    InfoReader,
    Progress,
    VcfHeader,
    VcfRow,
    allele_problem,
    number_or_none,
    read_vcf,
    rs_numbers,
)

# gnomAD's genetic ancestry groups; the five of 1000 Genomes are AFR, AMR, EAS, EUR and SAS
GROUPS: Final = ("afr", "ami", "amr", "asj", "eas", "eur", "fin", "mid", "nfe", "oth", "remaining", "sas")
_VERSION: Final = re.compile(r"[._]v?([0-9]+(?:\.[0-9]+)+)[._]|[._]v([0-9]+)[._]")


class _Field(NamedTuple):
    """An INFO field and the column that it becomes; `each` when it has one value for each ALT."""

    info: str
    column: Column
    each: bool


def import_frequencies(
    bundle_dir: str | Path, *paths: str | Path, name: str = "", progress: Progress | None = None
) -> ImportReport:
    """Add allele frequencies to a bundle; several files (one for each chromosome) become one source.

    The name of the source comes from the name of the first file (`gnomad_genomes`), or is given. Raises `InvalidInput`
    when there is no AF in the header, when the headers differ, or when the assembly is another one.
    """
    files = [Path(path) for path in paths]
    header, _ = read_vcf(files[0])
    fields = frequency_fields(header, files[0])
    source = Source(
        name or frequency_name(files[0]),
        version=_version(files[0], header),
        date=header.values.get("fileDate", ""),
        licence=_licence(files[0]),
        assembly=header.assembly(),
        columns=(
            *(field.column for field in fields),
            Column("filter", "text", "FILTER of the file: PASS, or why the site is doubtful"),
            Column("rs", "u4", "dbSNP number"),
        ),
        prefer="an" if any(field.column.name == "an" for field in fields) else "",
        files=tuple((file.name, file_digest(file)) for file in files),
    )
    return build_facts(bundle_dir, source, _all_facts(files, fields, progress))


def frequency_fields(header: VcfHeader, file: Path) -> list[_Field]:
    """The INFO fields of this file that are frequencies or their numbers."""
    joint = "_joint" if "AF_joint" in header.info else ""
    fields: dict[str, _Field] = {}
    for key, column, meaning in _wanted(joint):
        if key in header.info and column not in fields:
            fields[column] = _Field(key, _column(column, meaning), header.info[key].get("Number") == "A")
    if not fields.keys() & {"af", "af_hom"}:
        raise InvalidInput("no frequencies: the INFO field AF is not declared in the header", place=str(file))
    return list(fields.values())


def _wanted(joint: str) -> Iterator[tuple[str, str, str]]:
    """INFO field, column and meaning of all that is taken when it is there; the first name of a column wins."""
    yield f"AF{joint}", "af", "frequency of the allele"
    yield f"AC{joint}", "ac", "count of the allele"
    yield f"AN{joint}", "an", "number of alleles that were called"
    yield f"nhomalt{joint}", "nhomalt", "individuals with two copies"
    for group in GROUPS:
        yield f"AF{joint}_{group}", f"af_{group}", f"frequency in the group {group}"
        yield f"{group.upper()}_AF", f"af_{group}", f"frequency in the group {group}"
        yield f"AN{joint}_{group}", f"an_{group}", f"number of alleles called in the group {group}"
        yield f"nhomalt{joint}_{group}", f"nhomalt_{group}", f"individuals of {group} with two copies"
    for word in ("grpmax", "popmax"):
        yield f"{word}{joint}", "grpmax", "the group with the highest frequency, as the file says"
        yield f"AF_{word}{joint}", "af_grpmax", "frequency in that group"
    yield f"faf95{joint}", "faf95", "filtering frequency: with 95 % confidence the true one is not lower"
    yield f"fafmax_faf95_max{joint}", "faf95_max", "the highest filtering frequency of any group"
    yield (
        f"AC{joint}_XY",
        "ac_xy",
        "count of the allele in XY individuals: hemizygotes outside the common part of X and Y",
    )
    yield f"AN{joint}_XY", "an_xy", "number of alleles called in XY individuals"
    yield "AC_hom", "ac_hom", "individuals with the allele in (nearly) all of their mitochondrial genomes"
    yield "AC_het", "ac_het", "individuals with the allele in a part of their mitochondrial genomes"
    yield "AF_hom", "af_hom", "frequency of homoplasmic carriers"
    yield "AF_het", "af_het", "frequency of heteroplasmic carriers"
    yield "max_hl", "max_heteroplasmy", "highest level of heteroplasmy that was seen"


def frequency_facts(rows: Iterator[VcfRow | Rejected], fields: Sequence[_Field]) -> Iterator[Fact | Rejected]:
    """One fact for each allele of each line."""
    info = InfoReader(field.info for field in fields)
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        said = info.read(row.info)
        for number, alt in enumerate(row.alts):
            problem = allele_problem(row.ref, alt)
            try:
                values = [_value(field, said.get(field.info), number, len(row.alts)) for field in fields]
            except ValueError:
                problem = problem or "bad_number"
                values = []
            if problem:
                yield Rejected(row.line, problem)
                continue
            filters = None if row.filters in {"", "."} else row.filters
            ids = rs_numbers(row.ids) if row.ids.lower().startswith("rs") else None
            yield Fact(row.line, row.contig, row.position, row.ref, alt, (*values, filters, ids))


def frequency_name(file: Path) -> str:
    """The name of the source, by that of its file: `gnomad_genomes`, `gnomad_mt`, `thousand_genomes`, `frequencies`."""
    lower = file.name.lower()
    if "gnomad" in lower:
        part = next((word for word in ("genomes", "exomes", "joint") if f".{word}." in lower), "")
        if "chrm." in lower or ".mt." in lower:
            part = "mt"
        return f"gnomad_{part}" if part else "gnomad"
    return "thousand_genomes" if "1000g" in lower or "1kgp" in lower or "phase3" in lower else "frequencies"


def _all_facts(
    files: Sequence[Path], fields: Sequence[_Field], progress: Progress | None
) -> Iterator[Fact | Rejected | NextFile]:
    for file in files:
        header, rows = read_vcf(file, progress)
        if len(files) > 1:
            yield NextFile(file.name)
        if frequency_fields(header, file) != list(fields):
            raise InvalidInput(
                f"its frequencies are not those of {files[0].name}: import it under a name of its own", place=str(file)
            )
        yield from frequency_facts(rows, fields)


def _column(name: str, meaning: str) -> Column:
    if name == "grpmax":
        return Column(name, "category", meaning)
    whole = name.startswith(("ac", "an", "nhomalt"))
    return Column(name, "u4" if whole else "f4", meaning)


def _value(field: _Field, text: str | None, number: int, alleles: int) -> Value | None:
    if text is None:
        return None
    if field.each:
        parts = text.split(",")
        if len(parts) != alleles:
            raise ValueError("not one value for each ALT")
        text = parts[number]
    if field.column.kind == "category":
        return None if text in {"", "."} else text
    return number_or_none(text)


def _version(file: Path, header: VcfHeader) -> str:
    found = _VERSION.search(file.name)
    return next(one for one in found.groups() if one) if found else header.values.get("source", "")


def _licence(file: Path) -> str:
    return "CC0 1.0 (gnomAD)" if "gnomad" in file.name.lower() else "see the publisher"
