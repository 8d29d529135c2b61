"""The names that one contig goes by: chr1, 1, NC_000001.11, CM000663.2.

For the human assemblies the names are facts (`contig_names.tsv`, which `.ci/derive_reference_tables.py` derives). Which
assembly it is follows from lengths. Elsewhere only the prefix `chr` comes and goes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from genescale.errors import InvalidInput

RCRS_MD5: Final = "c68f52674c9fb33aef52dcf399755519"
RCRS_NAME: Final = "NC_012920.1"
VERTEBRATE_MITOCHONDRIAL: Final = 2  # NCBI's number of the genetic code

_TABLE: Final = Path(__file__).with_name("contig_names.tsv")
_MITOCHONDRIAL: Final = ("MT", "M", "chrM", "chrMT")
_OLD_HG19_LENGTH: Final = 16_571  # NC_001807, which UCSC's hg19 calls chrM
_FAMILIES: Final = (("GRCh38", ("grch38", "hg38", "b38")), ("GRCh37", ("grch37", "hg19", "b37", "hs37")))
_NEWEST: Final = {"GRCh38": "GRCh38.p14", "GRCh37": "GRCh37.p13"}  # the patches whose sequences the table has
_LONG_ENOUGH: Final = 1_000_000  # a length that names a human chromosome all by itself
_GI: Final = re.compile(r"gi\|\d+\|\w+\|([^|]+)\|?")


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


class Known(NamedTuple):
    """One sequence of a human assembly."""

    assembly: str
    length: int
    refget: str  # "" where the table has none
    names: tuple[str, ...]


@cache
def known_contigs() -> tuple[Known, ...]:
    """All sequences of the human assemblies in the table."""
    found: list[Known] = []
    for line in _TABLE.read_text().splitlines():
        if not line.startswith("#"):
            assembly, length, refget, *names = line.split("\t")
            found.append(Known(assembly, int(length), refget.removeprefix("-"), tuple(names)))
    return tuple(found)


def is_mitochondrial(name: str) -> bool:
    """Whether this is a usual name of a mitochondrial genome, or that of the human one."""
    return name in _MITOCHONDRIAL or name == RCRS_NAME


def refuse_old_mitochondrion(name: str, length: int, place: str) -> None:
    """Raise for hg19's chrM, a sequence of its own whose coordinates fit no annotation and no database."""
    if length == _OLD_HG19_LENGTH and (is_mitochondrial(name) or name.startswith("NC_001807")):
        raise InvalidInput(
            f"{name} has {length:,} bases: this is NC_001807, the mitochondrial sequence of UCSC's hg19, not the "
            f"revised Cambridge Reference Sequence {RCRS_NAME} (16,569 bases) that annotations, ClinVar and gnomAD "
            f"number. Put that one in its place (Ensembl's GRCh37 and all of GRCh38 have it), or leave this one "
            f"out with --without {name}",
            code="wrong_mitochondrion",
            place=place,
        )


def human_assembly(lengths: Mapping[str, int]) -> str:
    """The human assembly whose names and lengths these contigs have, such as GRCh38.p14; "" when it is none of them."""
    score: Counter[str] = Counter()
    for known in known_contigs():
        if known.length >= _LONG_ENOUGH and any(lengths.get(n) == known.length for n in _spellings(known.names)):
            score[known.assembly] += 1
    if score:
        return score.most_common(1)[0][0]
    by_length = Counter(known.assembly for known in _by_length().values() if known.length in lengths.values())
    return by_length.most_common(1)[0][0] if by_length else ""


def table_assembly(stated: str) -> str:
    """The assembly of the table that somebody's word for one means: GRCh38, hg38, GRCh37.p13, T2T-CHM13v2.0."""
    word = stated.lower()
    if "chm13" in word or word == "hs1":
        return "T2T-CHM13v2.0"
    return _NEWEST.get(assembly_family(stated), "")


def assembly_family(stated: str) -> str:
    """`GRCh38` for hg38, GRCh38.p14 and the like, `GRCh37` likewise, empty for everything else."""
    word = stated.lower()
    return next((family for family, words in _FAMILIES if any(known in word for known in words)), "")


def known_contig(name: str, length: int | None, assembly: str) -> Known | None:
    """What is known of the contig `name` of an assembly of the table. A length that differs says it is another one."""
    for known in known_contigs():
        if known.assembly == assembly and name in _spellings(known.names):
            return known if length in (None, known.length) else None
    found = _by_length().get(length) if length else None
    return found if found is not None and found.assembly == assembly else None


def aliases_of(
    name: str, known: Known | None = None, md5: str | None = None, also: Iterable[str] = ()
) -> tuple[str, ...]:
    """Other names of the contig called `name`, `also` among them."""
    found = [*also]
    old = _GI.fullmatch(name)
    if old is not None:
        found.append(old[1])
    if known is not None:
        found += known.names
    if is_mitochondrial(name) or md5 == RCRS_MD5:
        found += _MITOCHONDRIAL
    if md5 == RCRS_MD5:
        found.append(RCRS_NAME)
    elif md5 is not None:
        found = [other for other in found if other != RCRS_NAME]  # its name, but not its sequence
    for one in (name, *found):
        if one.startswith("chr") and len(one) > 3 and "_" not in one:
            found.append(one[3:])
        elif re.fullmatch(r"\d{1,3}[A-Za-z]?|[XYZW]|[IVX]+", one):
            found.append(f"chr{one}")
    return tuple(other for other in dict.fromkeys(found) if other != name)


def alias_index(contigs: Sequence[tuple[str, Iterable[str]]]) -> dict[str, int]:
    """Name to index. A contig's own name wins over an alias; an alias that two contigs claim belongs to neither."""
    claimed: dict[str, int] = {}
    for index, (_, aliases) in enumerate(contigs):
        for alias in aliases:
            claimed[alias] = -1 if claimed.get(alias, index) != index else index
    found = {alias: index for alias, index in claimed.items() if index >= 0}
    found.update({name: index for index, (name, _) in enumerate(contigs)})
    return found


def usual_names(contigs: Sequence[Named]) -> str:
    """The names of some contigs, for a message."""
    return name_list([contig.name for contig in contigs])


def name_list(names: Sequence[str], shown: int = 30) -> str:
    """Names in a sentence: the first of them, and how many more."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "none") + more


def _spellings(names: Iterable[str]) -> set[str]:
    found = set(names)
    return found | {"MT", "M", "chrM", "chrMT"} if "MT" in found else found


@cache
def _by_length() -> Mapping[int, Known]:
    """Sequences that their length alone gives away: long ones, of a length that nothing else has."""
    counts = Counter(known.length for known in known_contigs())
    return {k.length: k for k in known_contigs() if k.length >= _LONG_ENOUGH and counts[k.length] == 1}
