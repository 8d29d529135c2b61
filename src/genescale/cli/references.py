"""`genescale reference`: build, list, choose and check reference bundles."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from genescale import config
from genescale.cli.event_lines import pretty
from genescale.clock import SystemClock
from genescale.errors import CannotStart
from genescale.genomics.references import Held, References, verify

if TYPE_CHECKING:
    from genescale.genomics.build import BuildReport

DataDirectory: TypeAlias = Annotated[Path | None, Parameter(name="--data")]
SettingsFile: TypeAlias = Annotated[Path | None, Parameter(name="--settings")]
AsJson: TypeAlias = Annotated[bool, Parameter(name="--json", negative=())]
Flag: TypeAlias = Annotated[bool, Parameter(negative=())]
Many: TypeAlias = Annotated[list[str] | None, Parameter(negative=(), consume_multiple=False)]
Files: TypeAlias = Annotated[list[Path] | None, Parameter(negative=(), consume_multiple=False)]

_SHOWN = 5  # names and lines of each kind in a report for people; --json has more

app = App(name="reference", help="Build, list, choose and check reference bundles.", help_formatter="plain")


def references(data: Path | None, settings: Path | None) -> References:
    """The bundles of the data directory that the settings name."""
    loaded = config.load(os.environ, settings, {"data.directory": data})
    return References(loaded.settings.data.directory / "references")


@app.command
def build(
    *,
    name: str,
    fasta: Path | None = None,
    gff3: Path | None = None,
    gtf: Path | None = None,
    clinvar: Path | None = None,
    frequencies: Files = None,
    scores: Files = None,
    assembly: str | None = None,
    codon_table: Many = None,
    circular: Many = None,
    without: Many = None,
    align: Flag = False,
    embedded: Flag = False,
    synthetic: Flag = False,
    replace: Flag = False,
    use: Flag = False,
    json: AsJson = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Build a reference from a genome, its genes, and what is known about its variants.

    The input files may be gzipped. The report at the end says what was dropped, and why. Nothing appears under the
    name until all of it is there.

    Parameters
    ----------
    name
        What to call it.
    fasta
        The genome. Headers such as >7:1000-2000 give regions of chromosomes.
    gff3
        Its genes, from Ensembl, GENCODE or RefSeq.
    gtf
        The same as GTF.
    clinvar
        ClinVar's VCF file of the same assembly.
    frequencies
        A VCF file with allele frequencies (gnomAD, 1000 Genomes). May be given several times.
    scores
        A table of scores (CADD, REVEL, AlphaMissense, SpliceAI). May be given several times.
    assembly
        Which assembly it is, such as GRCh38. Default: what the files say.
    codon_table
        CONTIG=NUMBER: the genetic code of a contig by NCBI's number, such as MT=2. May be given several times.
    circular
        A contig that is circular. May be given several times.
    without
        A contig of the genome file to leave out. May be given several times.
    align
        Also store the index for placing raw DNA. Without it, the index is made whenever it is needed.
    embedded
        Make mitochondrion, clinical-panel or the invented synthetic-demo (say which with --name); no files are
        needed.
    synthetic
        Mark it as invented, so that no result can pass for a real one.
    replace
        Replace the reference of this name.
    use
        Make it the default.
    json
        The report as one JSON object.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    store = references(data, settings)
    target = store.new_path(name, replace=replace, embedded=embedded)
    if embedded:
        return _build_embedded(store, name, target, align=align, use=use, json=json)
    genes = gff3 or gtf
    if fasta is None or genes is None or (gff3 and gtf):
        raise CannotStart("say --fasta FILE and one of --gff3 FILE and --gtf FILE")
    from genescale.genomics.build import build_bundle  # noqa: PLC0415 - only a build pays for it
    from genescale.genomics.bundle_writer import install  # noqa: PLC0415

    arriving = store.folder / f".{name}.arriving-{os.getpid()}"
    progress = Progress(sys.stderr.isatty())
    try:
        report = build_bundle(
            arriving,
            name=name,
            fasta=fasta,
            genes=genes,
            assembly=assembly,
            codon_tables=_tables(codon_table or ()),
            circular=dict.fromkeys(circular or (), True),
            without=without or (),
            synthetic=synthetic,
            replace=True,
            progress=progress.follower({"reading the genome": fasta, "reading the genes": genes}),
        )
        facts = [*_facts(arriving, clinvar, frequencies or (), scores or (), progress)]
        if align:
            _seeds(arriving, progress)
        progress.done()
        install(arriving, target)
    finally:
        progress.done()
        shutil.rmtree(arriving, ignore_errors=True)
    report.path = target
    if use:
        store.use(name)
    held = store.held(name)
    if json:
        print(pretty({**_report_json(report), **_held_json(held), "facts": facts}))
    else:
        print("\n".join([*_report_lines(report), *facts, _answer(held)]))
    return 0


def _build_embedded(store: References, name: str, target: Path, *, align: bool, use: bool, json: bool) -> int:
    from genescale.genomics import embedded_build  # noqa: PLC0415 - only this way of building pays for it

    embedded_build.build(name, target)
    if align:
        _seeds(target, Progress(sys.stderr.isatty()))
    held = store.use(name) if use else store.held(name)
    print(pretty(_held_json(held)) if json else _answer(held))
    return 0


@app.command(name="list")
def list_(*, json: AsJson = False, data: DataDirectory = None, settings: SettingsFile = None) -> int:
    """Print every reference: name, assembly, contigs, transcripts, size, digest.

    The default one has a star.

    Parameters
    ----------
    json
        A JSON array.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    found = references(data, settings).list()
    if json:
        print(pretty([_held_json(held) for held in found]))
        return 0
    if not found:
        print("no references yet; `genescale reference build` makes one")
    width = max((len(held.name) for held in found), default=0)
    for held in found:
        star = "*" if held.default else " "
        if held.problem:
            print(f"{star} {held.name:<{width}}  cannot be opened: {held.problem}")
            continue
        where = "embedded" if held.embedded else "built here"
        print(
            f"{star} {held.name:<{width}}  {held.assembly or 'assembly not said':<16} {held.contigs:>5} contigs"
            f" {held.transcripts:>8} transcripts {_size(held.size_bytes):>9}  {held.digest[:12]}  {where}"
        )
    return 0


@app.command
def use(name: str, *, data: DataDirectory = None, settings: SettingsFile = None) -> int:
    """Choose the reference that commands use when none is named.

    Parameters
    ----------
    name
        Which one.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    held = references(data, settings).use(name)
    print(f"{held.name} ({held.assembly or 'assembly not said'}) is the default now")
    return 0


@app.command(name="verify")
def verify_(name: str | None = None, *, data: DataDirectory = None, settings: SettingsFile = None) -> int:
    """Read a reference whole and compare every file with the digest of its build.

    Exit status 1 when anything differs.

    Parameters
    ----------
    name
        Which one. Default: the one in use.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    store = references(data, settings)
    path = store.path(name)
    problems = [*verify(path)]
    for problem in problems:
        print(problem)
    if problems:
        print(f"{path.name}: {len(problems)} problems; build it again with --replace")
        return 1
    held = store.held(path.name)
    print(f"{held.name} is what was built: {_size(held.size_bytes)}, digest {held.digest}")
    return 0


@app.command
def info(
    name: str | None = None, *, json: AsJson = False, data: DataDirectory = None, settings: SettingsFile = None
) -> int:
    """Print what a reference is made of: sources with digests, contigs with all their names, facts.

    Parameters
    ----------
    name
        Which one. Default: the one in use.
    json
        One JSON object.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    store = references(data, settings)
    with store.open(name) as bundle:
        listing = bundle.listing
        held = store.held(bundle.path.name)
    if json:
        told = {key: value for key, value in listing.items() if key not in ("arrays", "facts")}
        print(pretty({**told, **_held_json(held), "facts": sorted(listing.get("facts", {}))}))
        return 0
    print(_answer(held))
    invented = ", synthetic" if listing["synthetic"] else ""
    print(f"{listing['assembly'] or 'assembly not said'}, {listing['kind']}{invented}, by {listing['created_by']}")
    print(f"digest {listing['digest']}")
    if "about" in listing:
        print(f"{listing['about']['what']}\n{listing['about']['use']}")
    for source in listing["sources"]:
        print(f"  {source['role']:<8} {source.get('file', ''):<32} sha256 {source.get('sha256', 'unknown')}")
        if "what" in source:
            print(f"           {source['what']}; {source['licence']}")
    for name_, table in sorted(listing.get("facts", {}).items()):
        said = ", ".join(text for text in (table["version"], table["date"], table["licence"]) if text)
        print(f"  facts    {name_:<20} {table['rows']:>10,} variants; {said or 'its file says no more'}")
    for contig in listing["contigs"][: 10 * _SHOWN]:
        print(_contig_line(contig))
    if len(listing["contigs"]) > 10 * _SHOWN:
        print(f"  and {len(listing['contigs']) - 10 * _SHOWN} more contigs (--json has them)")
    return 0


# ---- parts of a build ----


def _tables(given: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in given:
        contig, _, number = one.rpartition("=")
        if not contig or not number.isdecimal():
            raise CannotStart(f"--codon-table {one}: write CONTIG=NUMBER, such as MT=2")
        found[contig] = int(number)
    return found


def _facts(
    folder: Path, clinvar: Path | None, frequencies: Sequence[Path], scores: Sequence[Path], progress: "Progress"
) -> Iterable[str]:
    if clinvar is None and not frequencies and not scores:
        return
    from genescale.genomics.knowledge_import import import_knowledge  # noqa: PLC0415 - only when there are facts

    def follow(done: int) -> None:
        progress.show("reading what is known about variants", done, 0)

    follow(0)
    for report in import_knowledge(folder, clinvar=clinvar, frequencies=frequencies, scores=scores, progress=follow):
        yield report.text()


def _seeds(folder: Path, progress: "Progress") -> None:
    from genescale.genomics.seed_index import build_seeds  # noqa: PLC0415 - only with --align

    progress.show("indexing the genome for raw DNA", 0, 0)
    build_seeds(folder)


class Progress:
    """One line on standard error that follows a long build: phase, share of its file, seconds. Piped: one per phase."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._clock = SystemClock()
        self._began_s = self._clock.monotonic_s()
        self._phase = ""
        self._shown_s = 0.0
        self._open = False

    def follower(self, files: dict[str, Path]) -> Callable[[str, int], None]:
        """A function for `build_bundle`: phases that read one of `files` show how far they are."""
        sizes = {phase: file.stat().st_size for phase, file in files.items() if file.is_file()}

        def follow(phase: str, done: int) -> None:
            self.show(phase, done, sizes.get(phase, 0))

        return follow

    def show(self, phase: str, done: int, size: int) -> None:
        """`done` of `size` bytes of this phase; 0 of 0 where nobody counts."""
        now = self._clock.monotonic_s()
        new = phase != self._phase
        if not new and (not self._terminal or now - self._shown_s < 0.1):
            return
        self._phase, self._shown_s = phase, now
        seconds = f"{now - self._began_s:.0f} s"
        if self._terminal:
            share = f" {100 * done // size:>3} %" if size else ""
            print(f"\r{phase + share + '  ' + seconds:<70}", end="", file=sys.stderr, flush=True)
        else:
            print(f"{phase} ({seconds})", file=sys.stderr, flush=True)
        self._open = self._terminal

    def done(self) -> None:
        """Leave the line."""
        if self._open:
            print(file=sys.stderr)
            self._open = False


# ---- what is printed ----


def _answer(held: Held) -> str:
    default = ", the default" if held.default else ""
    return (
        f"{held.name}: {held.transcripts} transcripts of {held.genes} genes on {held.contigs} contigs, "
        f"{_size(held.size_bytes)}{default}"
    )


def _report_lines(report: "BuildReport") -> Iterable[str]:
    yield f"{report.bases:,} bases, {report.kind}, {report.assembly or 'assembly not said'}"
    yield f"{report.lines:,} lines of annotation, {report.coding} of {report.transcripts} transcripts coding"
    for reason, count in report.dropped.counts.most_common():
        lines = ", ".join(f"line {line} ({what})" for line, what in report.dropped.lines[reason][:_SHOWN])
        yield f"  dropped {count:>8}  {reason}: {lines}{', ...' if count > _SHOWN else ''}"
    for names, what in (
        (report.contigs_without_sequence, "contigs of the annotation without sequence"),
        (report.cds_inner_stop, "coding sequences with a stop inside"),
        (report.cds_odd_length, "coding sequences whose length is no multiple of three"),
        (report.cds_uneven, "coding sequences that leave out bases of their exons (read as if they did not)"),
    ):
        if names:
            yield f"  {len(names):>16}  {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
    for note in report.notes:
        yield f"  look at this: {note}"
    for contig in report.contigs[: 6 * _SHOWN]:
        yield _contig_line({**asdict(contig)})
    if len(report.contigs) > 6 * _SHOWN:
        yield f"  and {len(report.contigs) - 6 * _SHOWN} more contigs (genescale reference info has them)"


def _contig_line(contig: dict[str, Any]) -> str:
    length = f"{contig['length']:,}" if contig["length"] else "length unknown"
    code = f", genetic code {contig['codon_table']}" if contig["codon_table"] != 1 else ""
    circular = ", circular" if contig["circular"] else ""
    also = f" = {' = '.join(contig['aliases'])}" if contig["aliases"] else ""
    return f"  {length:>14}  {contig['name']}{also}{code}{circular}"


def _report_json(report: "BuildReport") -> dict[str, Any]:
    return {
        "bases": report.bases,
        "coding": report.coding,
        "lines": report.lines,
        "dropped": {
            reason: {"count": count, "first": [list(one) for one in report.dropped.lines[reason]]}
            for reason, count in report.dropped.counts.items()
        },
        "ignored": dict(report.ignored),
        "contigs_without_sequence": report.contigs_without_sequence,
        "cds_inner_stop": report.cds_inner_stop,
        "cds_odd_length": report.cds_odd_length,
        "cds_uneven": report.cds_uneven,
        "notes": report.notes,
        "contig_names": {contig.name: list(contig.aliases) for contig in report.contigs},
    }


def _held_json(held: Held) -> dict[str, Any]:
    return {**asdict(held), "path": str(held.path)}


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 10**9 else f"{size_bytes / 1e6:.1f} MB"
