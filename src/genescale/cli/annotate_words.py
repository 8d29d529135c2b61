"""The words of `genescale annotate`: what a person types, as a request.

A plain command line is understood here, without the command-line library, so that one variant is answered at once. The
library (`annotate`) knows the same words, makes the help, and explains what was typed wrong.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final, Literal

from genescale.cli.annotate_run import CANNOT_RUN, Request, run
from genescale.errors import InvalidInput
from genescale.genomics.annotate import Options

Reading = Literal["text", "flag", "whole", "list", "path"]
# Every option of the command: what a person types, the parameter, and how it is read. A test holds this against the
# signature of `cli.annotate.annotate`, which makes the help.
WORDS: Final[dict[str, tuple[str, Reading]]] = {
    "--output": ("output", "text"),
    "-o": ("output", "text"),
    "--reference": ("reference", "text"),
    "--to": ("to", "text"),
    "--ann": ("ann", "flag"),
    "--format": ("format", "text"),
    "--fields": ("fields", "text"),
    "--vep-strict": ("vep_strict", "flag"),
    "--hgvs": ("hgvs", "flag"),
    "--pick": ("pick", "flag"),
    "--pick-allele": ("pick_allele", "flag"),
    "--pick-allele-gene": ("pick_allele_gene", "flag"),
    "--per-gene": ("per_gene", "flag"),
    "--flag-pick": ("flag_pick", "flag"),
    "--filter": ("filter", "text"),
    "--shift-3prime": ("shift_3prime", "flag"),
    "--distance": ("distance", "whole"),
    "--circular-flanks": ("circular_flanks", "flag"),
    "--phased": ("phased", "flag"),
    "--on-error": ("on_error", "text"),
    "--strict-input": ("strict_input", "flag"),
    "--index": ("index", "flag"),
    "--processes": ("processes", "whole"),
    "--buffer": ("buffer", "whole"),
    "--level": ("level", "whole"),
    "--quiet": ("quiet", "flag"),
    "-q": ("quiet", "flag"),
    "--summary": ("summary", "path"),
    "--data": ("data", "path"),
}
_NEGATIVE: Final = {"--no-hgvs": "hgvs"}


def quick(words: list[str]) -> dict[str, Any] | None:
    """The parameters of a plain command line; None for anything unusual: the command-line library then explains it."""
    given: dict[str, Any] = {}
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word in _NEGATIVE:
            given[_NEGATIVE[word]] = False
            continue
        if not word.startswith("-") or word == "-":
            if "source" in given:
                return None
            given["source"] = word
            continue
        name, equals, value = word.partition("=")
        if name not in WORDS:
            return None
        parameter, reading = WORDS[name]
        if reading == "flag":
            if equals:
                return None
            given[parameter] = True
            continue
        if not equals:
            if not rest or (rest[0].startswith("-") and rest[0] != "-"):
                return None
            value = rest.popleft()
        if reading == "whole" and not value.isdecimal():
            return None
        given[parameter] = int(value) if reading == "whole" else Path(value) if reading == "path" else value
    return given if "source" in given else None


def request_of(
    source: str,
    *,
    output: str = "-",
    reference: str | None = None,
    to: str | None = None,
    ann: bool = False,
    format: str = "auto",  # noqa: A002 - the word that a person types
    fields: str = "",
    vep_strict: bool = False,
    hgvs: bool = True,
    pick: bool = False,
    pick_allele: bool = False,
    pick_allele_gene: bool = False,
    per_gene: bool = False,
    flag_pick: bool = False,
    filter: str = "",  # noqa: A002
    shift_3prime: bool = False,
    distance: int = 5000,
    circular_flanks: bool = False,
    phased: bool = False,
    on_error: str = "keep",
    strict_input: bool = False,
    index: bool = False,
    processes: int = 1,
    buffer: int = 256,
    level: int = 4,
    quiet: bool = False,
    summary: Path | None = None,
) -> Request:
    """A request from what a person typed. Raises `InvalidInput` for what does not go together."""
    ways = {"variant": pick, "allele": pick_allele, "allele_gene": pick_allele_gene, "gene": per_gene}
    chosen = [way for way, wanted in ways.items() if wanted]
    if len(chosen) > 1:
        raise InvalidInput("choose one of --pick, --pick-allele, --pick-allele-gene, --per-gene", code="bad_option")
    if flag_pick and not chosen:
        chosen = ["variant"]
    if on_error not in {"keep", "drop", "stop"}:
        raise InvalidInput(f"--on-error is keep, drop or stop, not {on_error!r}", code="bad_option")
    if not 1 <= processes <= 256:
        raise InvalidInput(f"--processes must lie between 1 and 256, not {processes}", code="bad_option")
    if not 1 <= buffer <= 1 << 20:
        raise InvalidInput(f"--buffer must lie between 1 and 1,048,576 KiB, not {buffer}", code="bad_option")
    if not 0 <= level <= 9:
        raise InvalidInput(f"--level must lie between 0 and 9, not {level}", code="bad_option")
    if phased and processes > 1:
        raise InvalidInput("--phased looks at neighbouring lines, so it takes one process", code="bad_option")
    if ann and to not in {None, "ann"}:
        raise InvalidInput(f"--ann writes VCF; it does not go with --to {to}", code="bad_option")
    options = Options(
        fields=tuple(name for name in fields.split(",") if name.strip()),
        strict=vep_strict,
        hgvs=hgvs,
        pick=chosen[0] if chosen else "",
        flag_pick=flag_pick,
        where=filter,
        on_error=on_error,  # pyright: ignore[reportArgumentType] - compared above
        shift_3prime=shift_3prime,
        distance=distance,
        circular_flanks=circular_flanks,
        phased=phased,
    )
    return Request(
        source,
        output,
        reference,
        options,
        to="ann" if ann else to,
        format=format,
        index=index,
        processes=processes,
        buffer=buffer << 10,
        strict_input=strict_input,
        quiet=quiet,
        summary=summary,
        level=level,
    )


def run_words(given: dict[str, Any]) -> int:
    """Run what `quick` or the command-line library understood."""
    data = given.pop("data", None)
    try:
        request = request_of(**given)
    except InvalidInput as error:
        print(f"genescale annotate: {error}", file=sys.stderr)
        return CANNOT_RUN
    return run(request, lambda: _references(data))


def _references(data: Path | None) -> Any:
    from genescale import config  # noqa: PLC0415 - a reference given as a folder needs neither
    from genescale.genomics.references import References  # noqa: PLC0415

    loaded = config.load(os.environ, None, {"data.directory": data})
    return References(loaded.settings.data.directory / "references")
