"""`genescale ensembl`: what Ensembl's own VEP server says, for those who want its words instead of ours."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO, TypeAlias

from cyclopts import Parameter

from genescale.clock import SystemClock
from genescale.errors import CannotStart
from genescale.genomics.annotate import open_input
from genescale.genomics.bundle import Bundle
from genescale.worker.ensembl import FIELDS, EnsemblAnnotator
from genescale.worker.rest_client import RestUnavailable

Flag: TypeAlias = Annotated[bool, Parameter(negative=())]


def ensembl(
    source: str,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"])] = "-",
    variants_may_leave: Flag = False,
    assembly: str = "",
    reference: Path | None = None,
    url: str = "",
    proxy: str = "",
    fields: str = "",
) -> int:
    """Ask Ensembl's VEP server what variants do, and write its answer as tab-separated rows.

    VARIANTS LEAVE THIS MACHINE: contig, position, REF and ALT of each allele are sent, nothing else. Nobody else
    answers when the server does not.

    Parameters
    ----------
    source
        VCF, plain or compressed, or BCF; `-` for standard input.
    output
        The output, `-` for standard output. A file appears under its name when it is complete.
    variants_may_leave
        Say that the variants may be sent to the server. Without it nothing happens.
    assembly
        GRCh38 or GRCh37. Default: that of --reference, else GRCh38.
    reference
        The folder of the bundle on which the variants were found; a synthetic one is refused.
    url
        The server. Default: Ensembl's public one for the assembly.
    proxy
        HOST:PORT of an HTTP proxy.
    fields
        What a row says, with commas between. Default: everything.
    """
    chosen = _chosen(fields)
    stated, synthetic = assembly or "GRCh38", False
    if reference is not None:
        with Bundle.open(reference) as bundle:
            stated, synthetic = assembly or bundle.assembly, bundle.synthetic
    seed = int.from_bytes(os.urandom(4), "little")  # of the pauses between tries: no two programs shall share one
    annotator = EnsemblAnnotator(
        assembly=stated,
        synthetic=synthetic,
        variants_may_leave=variants_may_leave,
        clock=SystemClock(),
        seed=seed,
        url=url,
        proxy=proxy,
    )
    arriving = Path(f"{output}.part")
    rows = problems = 0
    try:
        with _opened(source) as file, _writer(output, arriving) as out:
            opened = open_input(file)
            print("\t".join(chosen), file=out)
            for row in annotator.annotate(_lines(opened.blocks())):
                print("\t".join(row[name].replace("\t", " ") for name in chosen), file=out)
                rows += 1
                problems += row["problem"] != "-"
            if opened.damage:
                raise opened.damage
    except RestUnavailable as error:
        where = "" if output == "-" else f"; what came before is in {arriving}"
        raise RestUnavailable(f"{error}; {rows:,} rows were written{where}", after_s=error.after_s) from error
    finally:
        annotator.close()
    if output != "-":
        arriving.replace(output)
    print(f"{rows:,} rows from {annotator.server}; {problems:,} alleles without an answer", file=sys.stderr)
    return 0


def _chosen(fields: str) -> list[str]:
    chosen = [name.strip().lower() for name in fields.split(",") if name.strip()] or list(FIELDS)
    unknown = [name for name in chosen if name not in FIELDS]
    if unknown:
        raise CannotStart(f"there is no field {unknown[0]!r}; there are {', '.join(FIELDS)}")
    return chosen


def _opened(source: str) -> Any:
    if source == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        file: BinaryIO = Path(source).open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise CannotStart(f"cannot read {source}: {error.strerror}") from error
    return file


def _writer(output: str, arriving: Path) -> Any:
    out: TextIO | Any = nullcontext(sys.stdout) if output == "-" else arriving.open("w", encoding="utf-8")
    return out


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield from block.splitlines()
