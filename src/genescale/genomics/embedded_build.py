"""Compiles the compact files beside this one into the reference bundles that every installation has.

The build hook calls `build_all` while the package is built; `build` makes one bundle again where that did not happen.
Only numpy and Genescale itself are needed, and the same files give the same bundles.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from genescale.errors import UnknownName
from genescale.genomics import compact, embedded_facts, mito
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import LIST_FILE, Bundle, content_digest, read_listing, text_pool
from genescale.genomics.bundle_writer import Writer
from genescale.genomics.compact import Compact
from genescale.genomics.knowledge_build import Fact, Source, build_facts

SYNTHETIC: Final = "synthetic-demo"
FOLDER: Final = Path(__file__).parent / "embedded"
USE: Final = (
    "For research use; nothing here is a diagnosis. Sources and licences: NOTICE.md of the embedded references."
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """One embedded reference: the compact file it is made of, and how."""

    name: str
    assembly: str
    fasta: Callable[[Compact], Iterator[tuple[str, bytes]]]
    genes: Callable[[Compact], Iterable[str]]
    facts: Callable[[Compact], Iterator[tuple[Source, Iterable[Fact]]]]
    aliases: Callable[[Compact], dict[str, str]] | None = None  # another name of a transcript

    @property
    def file(self) -> Path:
        """The compact file."""
        return FOLDER / f"{self.name}.compact"


def build_all(target: str | Path) -> list[Path]:
    """Build every embedded bundle below the folder `target`; those that are there are replaced."""
    return [build(name, Path(target) / name) for name in EMBEDDED]


def build(name: str, target: str | Path) -> Path:
    """Build one embedded bundle in the folder `target`, which appears whole or not at all.

    `synthetic-demo` is not embedded but made here too, from seed 1.
    """
    if name == SYNTHETIC:
        from genescale.genomics import synthetic  # noqa: PLC0415 - no part of what the package is built with

        return synthetic.build(target, replace=True).path
    if name not in EMBEDDED:
        raise UnknownName(f"{name!r} is not embedded; {', '.join(EMBEDDED)} are, and {SYNTHETIC} can be made")
    reference, target = EMBEDDED[name], Path(target)
    held = compact.read(reference.file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{name}.building-", dir=target.parent) as folder:
        fasta, genes = Path(folder, f"{name}.fa"), Path(folder, f"{name}.gff3")
        with fasta.open("wb") as out:
            for header, bases in reference.fasta(held):
                out.write(b">%s\n%s\n" % (header.encode(), bases))
        genes.write_text("\n".join(reference.genes(held)) + "\n")
        arriving = Path(folder, name)
        build_bundle(arriving, name=name, fasta=fasta, genes=genes, assembly=reference.assembly)
        if reference.aliases:
            _add_aliases(arriving, reference.aliases(held))
        for source, facts in reference.facts(held):
            build_facts(arriving, source, facts)
        _say_where_from(arriving, reference, held)
        _install(arriving, target, Path(folder, "leaving"))
    return target


def _add_aliases(folder: Path, alias: dict[str, str]) -> None:
    """Give transcripts a second name, in a pool that is searched like that of their first."""
    with Bundle.open(folder) as bundle:
        names = [alias.get(name, "") for name in bundle.texts("transcript_name")]
    text, offset = text_pool(names)
    order = np.array(sorted(range(len(names)), key=lambda i: names[i]), np.int32)
    writer = Writer(folder)
    for part, array in (("text", text), ("offset", offset), ("sorted", order)):
        writer.write(f"transcript_alias_{part}", array)
    listing = read_listing(folder)
    listing["arrays"] = dict(sorted({**listing["arrays"], **writer.arrays}.items()))
    listing["digest"] = content_digest(listing)
    (folder / LIST_FILE).write_text(json.dumps(listing, indent=1) + "\n")


def _say_where_from(folder: Path, reference: Embedded, held: Compact) -> None:
    """Put the sources of the compact file in place of the passing files that the bundle was built from."""
    listing = read_listing(folder)
    listing["sources"] = [
        {
            "role": "embedded",
            "file": reference.file.name,
            "sha256": hashlib.sha256(compact.content(reference.file)).hexdigest(),
        },
        *({"role": "origin", **source} for source in held.about["sources"]),
    ]
    listing["about"] = {"what": held.about["what"], "use": USE, "counts": held.about["counts"]}
    (folder / LIST_FILE).write_text(json.dumps(listing, indent=1) + "\n")


def _install(arriving: Path, target: Path, leaving: Path) -> None:
    if target.exists():
        target.rename(leaving)  # and goes with the folder of the build
    arriving.rename(target)


# ---- the two references ----


def _mitochondrial_fasta(held: Compact) -> Iterator[tuple[str, bytes]]:
    yield f"{mito.CONTIG} {mito.ACCESSION}", held.array("sequence").tobytes()


def _mitochondrial_genes(_: Compact) -> Iterable[str]:
    return mito.gff3()


def _panel_genes(held: Compact) -> Iterable[str]:
    return held.texts("annotation")


def _panel_aliases(held: Compact) -> dict[str, str]:
    """The names of transcripts in the LRG records: NM_007294.3 is LRG_292t1."""
    found = (re.search(r"transcript_id=([^;]+);LRG=([^;]+)", line) for line in held.texts("annotation"))
    return {match[1]: match[2] for match in found if match}


def _panel_fasta(held: Compact) -> Iterator[tuple[str, bytes]]:
    """The known stretches, each under its place on the chromosome."""
    packed = held.array("sequence")
    letters = np.frombuffer(b"ACGT", np.uint8)[(packed[:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).reshape(-1)]
    letters[held.array("sequence_exception")] = held.array("sequence_exception_letter")
    at = 0
    places: Sequence[Any] = (held.texts("stretch_contig"), held.array("stretch_start"), held.array("stretch_end"))
    for contig, start, end in zip(*places, strict=True):
        size = int(end) - int(start) + 1
        yield f"{contig}:{start}-{end}", letters[at : at + size].tobytes()
        at += size


EMBEDDED: Final = {
    reference.name: reference
    for reference in (
        Embedded("mitochondrion", "GRCh38", _mitochondrial_fasta, _mitochondrial_genes, embedded_facts.mitochondrial),
        Embedded("clinical-panel", "GRCh38", _panel_fasta, _panel_genes, embedded_facts.clinical, _panel_aliases),
    )
}
