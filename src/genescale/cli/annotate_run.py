"""What `genescale annotate` does, without the command-line library, so that one variant is answered at once.

Input is read ahead by one thread and gzip output is packed by two more, while this one annotates; kernels and zlib let
them run side by side. With `--processes N`, blocks go to N workers (`annotate_worker`) and come back in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from genescale.cli.annotate_output import opened_sink, output_format
from genescale.errors import CannotStart, GenescaleError, InvalidInput
from genescale.genomics.annotate import (
    Annotator,
    Input,
    Options,
    Tally,
    no_contig_known,
    open_input,
    refuse_other_assembly,
)
from genescale.genomics.bundle import LIST_FILE, Bundle
from genescale.genomics.inputs import FORMS
from genescale.genomics.render import Field

DONE, REJECTED, CANNOT_RUN = 0, 1, 2
_PROGRESS_AFTER_S = 1.0
_WHOLE: Final = 60
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Request:
    """One run of the command: where from, where to, and how."""

    source: str
    output: str = "-"
    reference: str | None = None
    options: Options = field(default_factory=Options)
    to: str | None = None
    format: str = "auto"
    index: bool = False
    processes: int = 1
    buffer: int = 1 << 18
    strict_input: bool = False
    quiet: bool = False
    summary: Path | None = None
    level: int = 4


def run(request: Request, references: Callable[[], Any]) -> int:
    """Do it; the exit status is 0, 1 (lines rejected under --strict-input, or input cut off) or 2 (nothing done).

    `references` gives the store of bundles; it is asked only when the reference is not given as a folder.
    """
    try:
        return _run(request, references)
    except GenescaleError as error:
        print(f"genescale annotate: {error}", file=sys.stderr)
        return REJECTED if isinstance(error, InvalidInput) and error.place.startswith("line") else CANNOT_RUN


def _run(request: Request, references: Callable[[], Any]) -> int:
    form, packed = output_format(request.output, request.to)
    options = replace(request.options, to="tsv" if form == "parquet" else form)
    if form == "parquet" and (packed or request.output == "-"):
        raise InvalidInput("Parquet goes to a file that ends in .parquet; it is packed inside", code="bad_option")
    if request.index and not (packed and form in {"vcf", "ann"}):
        raise InvalidInput("--index needs VCF output that ends in .gz: an index points into BGZF", code="bad_option")
    began = time.monotonic()
    with open_bundle(request.reference, references) as bundle, _source(request.source) as file:
        opened = open_input(file, bundle, _form(request.format), lambda: _beside(request.reference, bundle, references))
        _refuse_foreign(opened, bundle)
        strip = _may_be_annotated(opened)
        with (
            _annotating(bundle, options, strip, request.processes) as annotated,
            opened_sink(request.output, form, packed, request.level, annotated.fields) as sink,
        ):
            blocks = opened.blocks(request.buffer)
            first = next(blocks, b"")
            sink.write(annotated.head(opened, first))
            with _progress(request, file) as seen:
                total = Tally()
                for piece, tally in annotated.pieces(_numbered(first, _ahead(blocks), opened.first_line)):
                    sink.write(piece)
                    if tally is not None:
                        total.add(tally)
                        seen(total.records)
            if total.unknown_contigs and not total.known:
                raise no_contig_known(bundle, total.unknown_contigs)
    if request.index:
        from genescale.genomics.tabix import write_index  # noqa: PLC0415 - only who asks pays

        write_index(Path(request.output))
    for one in opened.refused:
        total.reasons[one.reason] += 1
    return _finish(request, total, opened, time.monotonic() - began)


def _beside(reference: str | None, bundle: Bundle, references: Callable[[], Any]) -> list[Bundle]:
    """Where DNA is looked for as well when nobody says of what it is: in both embedded references.

    The nucleus holds copies of mitochondrial genes, so one reference alone would take a copy for the gene.
    """
    pair = {"mitochondrion": "clinical-panel", "clinical-panel": "mitochondrion"}
    other = pair.get(bundle.name)
    if reference is not None or other is None:
        return []
    try:
        return [references().open(other)]
    except GenescaleError:  # not compiled into this installation
        return []


def _form(name: str) -> Any:
    if name not in FORMS:
        raise InvalidInput(f"--format is one of {', '.join(FORMS)}, not {name!r}", code="bad_option")
    return name


def open_bundle(reference: str | None, references: Callable[[], Any]) -> Bundle:
    """The reference of this name, the one in use without a name, or the bundle in this folder."""
    if reference is not None and (Path(reference) / LIST_FILE).is_file():
        return Bundle.open(reference)
    return references().open(reference)


@contextlib.contextmanager
def _source(name: str) -> Generator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CannotStart(f"cannot read {name}: {error.strerror}") from error
    with file:
        yield file


def _refuse_foreign(opened: Input, bundle: Bundle) -> None:
    """A header that names contigs, none of which is ours, will bring no line of ours either."""
    contigs = opened.header.contigs
    if contigs and all(bundle.contig(name) < 0 for name in contigs):
        raise no_contig_known(bundle, contigs)
    refuse_other_assembly(bundle, opened.header)


def _may_be_annotated(opened: Input) -> bool:
    return not opened.header.columns or any(
        opened.header.declares(info) for info in ("CSQ", "ANN", "GENESCALE_SKIPPED")
    )


def _numbered(first: bytes, rest: Iterable[bytes], line: int) -> Iterator[tuple[bytes, int]]:
    """Blocks with the number of their first line."""
    if first:
        yield first, line
        line += first.count(b"\n")
    for block in rest:
        yield block, line
        line += block.count(b"\n")


def _ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, read by a thread that is at most four ahead. It starts with the first call: few need it."""
    waiting: queue.Queue[bytes | None] = queue.Queue(4)
    failed: list[BaseException] = []
    stopped = threading.Event()

    def put(block: bytes | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(block, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for block in blocks:
                if not put(block):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where the blocks are used
            failed.append(error)
        put(None)

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    try:
        while (block := waiting.get()) is not None:
            yield block
    finally:
        stopped.set()
        thread.join()
    if failed:
        raise failed[0]


# ----------------------------------------------------------------------------------------------------- annotating


class _Here:
    """Annotates in this process."""

    def __init__(self, annotator: Annotator) -> None:
        self._annotator = annotator

    @property
    def fields(self) -> Sequence[Field]:
        return self._annotator.layout.fields

    def head(self, opened: Input, first: bytes) -> bytes:
        return self._annotator.header(opened.header, first.partition(b"\n")[0])

    def pieces(self, blocks: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes | memoryview, Tally | None]]:
        for block, line in blocks:
            for piece in self._annotator.block(block, line):
                yield piece, None
            yield b"", self._annotator.tally()
        yield self._annotator.end(), None


class _Elsewhere(_Here):
    """Annotates in worker processes; the pieces come in the order of the input, so the bytes are the same."""

    def __init__(self, annotator: Annotator, workers: list[Any]) -> None:
        super().__init__(annotator)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for worker in workers:
            self._idle.put(worker)
        self._count = len(workers)

    def pieces(self, blocks: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes | memoryview, Tally | None]]:
        def ask(block: bytes, line: int) -> tuple[bytes, Tally]:
            worker = self._idle.get()
            try:
                return worker.ask(block, line)
            finally:
                self._idle.put(worker)

        from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415 - one process does without

        with ThreadPoolExecutor(self._count) as pool:
            pending: deque[Future[tuple[bytes, Tally]]] = deque()
            try:
                for block, line in blocks:
                    pending.append(pool.submit(ask, block, line))
                    if len(pending) >= 2 * self._count:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()


@contextlib.contextmanager
def _annotating(bundle: Bundle, options: Options, strip: bool, processes: int) -> Generator[_Here]:
    annotator = Annotator(bundle, options, strip=strip)
    if processes <= 1:
        yield _Here(annotator)
        return
    from genescale.cli.annotate_worker import Worker  # noqa: PLC0415

    workers = [Worker(bundle.path, options, strip) for _ in range(processes)]
    try:
        yield _Elsewhere(annotator, workers)
    finally:
        for worker in workers:
            worker.close()


# ----------------------------------------------------------------------------------------------------- telling


@contextlib.contextmanager
def _progress(request: Request, file: BinaryIO) -> Generator[Callable[[int], None]]:
    """A bar on a terminal, once the run has taken a second. The share is that of the input's bytes."""
    if request.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = _Bar(file)
    try:
        yield bar.seen
    finally:
        bar.close()


class _Bar:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._began = time.monotonic()
        self._shown = 0.0
        self._rich: Any = None
        try:
            self._size = os.fstat(file.fileno()).st_size or None
        except OSError:
            self._size = None

    def seen(self, records: int) -> None:
        now = time.monotonic()
        if now - self._began < _PROGRESS_AFTER_S or now - self._shown < 0.1:
            return
        self._shown = now
        bar = self._rich = self._rich or self._opened()
        rate = records / (now - self._began)
        bar.update(self._task, completed=self._place(), rate=f"{records:,} records, {rate:,.0f}/s")

    def close(self) -> None:
        if self._rich is not None:
            self._rich.stop()

    def _place(self) -> int:
        try:
            return os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        except OSError:
            return 0

    def _opened(self) -> Any:
        from rich.console import Console  # noqa: PLC0415 - a short run never pays for it
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        bar: Any = Progress(
            TextColumn("{task.percentage:>3.0f} %"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = bar.add_task("", total=self._size, rate="")
        bar.start()
        return bar


def _finish(request: Request, total: Tally, opened: Input, seconds: float) -> int:
    damage = opened.damage
    problems = [*total.problems, *((one.line, one.message) for one in opened.refused)]
    if request.summary:
        facts = {
            "records": total.records,
            "alleles": total.alleles,
            "rows": total.rows,
            "lines": total.lines,
            "not_annotated": dict(total.reasons),
            "terms": total.term_counts(),
            "problems": [{"line": line, "message": text} for line, text in problems],
            "unknown_contigs": total.unknown_contigs,
            "complete": damage is None,
        }
        request.summary.write_text(json.dumps(facts, indent=2) + "\n")
    if not request.quiet:
        print("\n".join(summary_lines(total, problems, seconds)), file=sys.stderr)
    if damage is not None:
        print(f"genescale annotate: {request.source}: {damage}", file=sys.stderr)
        return REJECTED
    return REJECTED if request.strict_input and (total.faulty or opened.refused) else DONE


def summary_lines(total: Tally, problems: Sequence[tuple[int, str]], seconds: float) -> list[str]:
    """What a person wants to know at the end."""
    rate = f", {total.records / seconds:,.0f} records/s" if seconds >= 1 else ""
    lines = [
        f"{total.records:,} records, {total.alleles:,} alleles, {total.rows:,} rows in {_duration(seconds)}{rate}",
    ]
    terms = total.term_counts()
    if terms:
        shown = [f"{name} {count:,}" for name, count in list(terms.items())[:8]]
        more = f", and {len(terms) - 8} other terms" if len(terms) > 8 else ""
        lines.append(f"terms: {', '.join(shown)}{more}")
    if total.reasons:
        lines.append("not annotated: " + ", ".join(f"{name} {count:,}" for name, count in total.reasons.most_common()))
    if total.unknown_contigs:
        names = ", ".join(total.unknown_contigs[:8])
        lines.append(
            f"contigs that the reference does not have: {names}{', ...' if len(total.unknown_contigs) > 8 else ''}"
        )
    lines += [f"line {line}: {text}" for line, text in problems[:_SHOWN]]
    faulty = max(total.faulty, len(problems))
    if faulty > len(problems[:_SHOWN]):
        lines.append(f"and {faulty - len(problems[:_SHOWN]):,} faulty lines more")
    return lines


def _duration(seconds: float) -> str:
    if seconds < _WHOLE:
        return f"{seconds:.2f} s"
    return f"{int(seconds) // _WHOLE}:{int(seconds) % _WHOLE:02} min"
