"""Where the output of `genescale annotate` goes: a file, standard output, BGZF, Parquet."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genescale.errors import CannotStart, InvalidInput
from genescale.genomics import bgzf
from genescale.genomics.render import Field

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_FORMATS: Final = {
    ".vcf": "vcf",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}


def output_format(output: str, to: str | None) -> tuple[str, bool]:
    """The format of the output and whether it is compressed, from the name of the file unless `to` says."""
    name = output.lower()
    packed = name.endswith((".gz", ".bgz"))
    if packed:
        name = name.rpartition(".")[0]
    if to is not None:
        return to, packed
    if output == "-":
        return "vcf", False
    suffix = Path(name).suffix
    if suffix not in _FORMATS:
        wanted = ", ".join(_FORMATS)
        hint = "pipe VCF to `bcftools view -Ob`" if suffix == ".bcf" else "say it with --to"
        raise InvalidInput(f"{output}: cannot tell the format from the name ({wanted}); {hint}", code="bad_option")
    return _FORMATS[suffix], packed


@contextlib.contextmanager
def opened_sink(output: str, form: str, packed: bool, level: int, fields: Sequence[Field]) -> Generator[Any]:
    """Where the text goes. A file appears under its name only when it is whole."""
    if output == "-":
        sys.stdout.flush()
        with _packing(_Descriptor(sys.stdout.fileno(), "standard output"), packed, level) as sink:
            yield sink
        return
    target = Path(output).resolve()
    if target.exists() and not target.is_file():  # /dev/null or a pipe: never to be replaced by a file
        with _written(target, output, form, packed, level, fields) as sink:
            yield sink
        return
    arriving = target.with_name(f".{target.name}.arriving-{os.getpid()}")
    try:
        with _written(arriving, output, form, packed, level, fields) as sink:
            yield sink
        arriving.replace(target)
    except BaseException:
        arriving.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _written(path: Path, name: str, form: str, packed: bool, level: int, fields: Sequence[Field]) -> Generator[Any]:
    """An open file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CannotStart(f"cannot write {name}: {error.strerror}") from error
    try:
        if form == "parquet":
            from genescale.cli.annotate_parquet import ParquetSink  # noqa: PLC0415 - an extra

            sink = ParquetSink(path, fields)
            yield sink
            sink.close()
        else:
            with _packing(_Descriptor(descriptor, name), packed, level) as sink:
                yield sink
    finally:
        os.close(descriptor)


class _Descriptor:
    """Writes to a file descriptor, whole."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def write(self, text: bytes | memoryview) -> None:
        view = memoryview(text)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except BrokenPipeError:
            raise  # the reader has enough; `main` knows
        except OSError as error:
            raise CannotStart(f"cannot write {self._name}: {error.strerror}") from error


@contextlib.contextmanager
def _packing(plain: _Descriptor, packed: bool, level: int) -> Generator[Any]:
    if not packed:
        yield plain
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - plain output does without

    with ThreadPoolExecutor(2) as pool:
        sink = _Packed(plain, level, pool)
        yield sink
        sink.close()


class _Packed:
    """BGZF whose members are packed by other threads, in order."""

    _MEMBERS: Final = 16

    def __init__(self, plain: _Descriptor, level: int, pool: ThreadPoolExecutor) -> None:
        self._plain, self._level, self._pool = plain, level, pool
        self._text = bytearray()
        self._pending: deque[Future[bytes]] = deque()

    def write(self, text: bytes | memoryview) -> None:
        self._text += text
        size = bgzf.BLOCK * self._MEMBERS
        while len(self._text) >= size:
            self._submit(bytes(memoryview(self._text)[:size]))
            del self._text[:size]

    def close(self) -> None:
        self._submit(bytes(self._text))
        while self._pending:
            self._plain.write(self._pending.popleft().result())
        self._plain.write(bgzf.END_MARK)

    def _submit(self, text: bytes) -> None:
        self._pending.append(self._pool.submit(bgzf.members, text, self._level))
        while len(self._pending) > 4:
            self._plain.write(self._pending.popleft().result())
