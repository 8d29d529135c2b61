"""Rows of `genescale annotate` as a Parquet file. Needs the extra `parquet` (the package pyarrow, 166 MB)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from genescale.errors import CannotStart
from genescale.genomics.render import Field

_GROUP: Final = 8 << 20  # bytes of text in one row group: large enough to compress well, small enough to hold


class ParquetSink:
    """Takes tab-separated rows, the line of titles first, and writes them as columns with types.

    Whole numbers are integers, percentages are floats, all else is text; `-` becomes null.
    """

    def __init__(self, path: Path, fields: Sequence[Field]) -> None:
        arrow, self._csv, parquet = _library()
        kinds: Mapping[bool, Any] = {True: arrow.int32(), False: arrow.string()}
        types = {one.name: arrow.float32() if one.name == "overlap_pc" else kinds[one.numeric] for one in fields}
        self._names = [one.name for one in fields]
        self._convert = self._csv.ConvertOptions(
            column_types={name: arrow.float64() if _is_fact(name, types) else kind for name, kind in types.items()},
            null_values=["-"],
            strings_can_be_null=True,
        )
        schema = arrow.schema([(name, self._convert.column_types[name]) for name in self._names])
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")
        self._text = bytearray()
        self._titled = False

    def write(self, text: bytes | memoryview) -> None:
        """Take more rows; pieces end with a line feed."""
        if not self._titled:  # the first piece is the line of titles
            self._titled = True
            return
        self._text += text
        if len(self._text) >= _GROUP:
            self._put()

    def close(self) -> None:
        """Write the rest and the end of the file."""
        self._put()
        self._writer.close()

    def _put(self) -> None:
        if not self._text:
            return
        table = self._csv.read_csv(
            io.BytesIO(bytes(self._text)),
            read_options=self._csv.ReadOptions(column_names=self._names, use_threads=False),
            parse_options=self._csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=self._convert,
        )
        self._writer.write_table(table)
        self._text.clear()


def _is_fact(name: str, types: Mapping[str, Any]) -> bool:
    """A number that a source of the reference gives (`gnomad.af`) may have a fraction."""
    return "." in name and str(types[name]) == "int32"


def _library() -> tuple[Any, Any, Any]:
    """The parts of pyarrow that are used: an extra, so only who asks for Parquet needs it."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.csv"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise CannotStart(
            "Parquet output needs the package pyarrow, which is not installed: pip install 'genescale[parquet]' "
            "(in a checkout: uv sync --extra parquet). Without it, write TSV: -o out.tsv.gz"
        ) from error
