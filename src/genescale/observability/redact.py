"""What may leave the process as telemetry: `clean` turns any value into something that is safe to print.

The rule goes by type. A `Sensitive` shows length and digest; bytes are payload and show the same; numbers, plain text,
times, ids and containers of these pass; any other object shows the name of its type and nothing else, because the
`repr` of an event, a request or a row may hold what a person sent. So a new log call cannot forget the rule.

The belt under these braces goes by pattern: a run of 20 or more nucleotide letters in plain text is replaced too. Plain
text comes from places that know nothing of `Sensitive`: messages of libraries that quote their input, a path that was
named after a sequence, a careless f-string. 20 letters is where a stretch of DNA begins to point to one place of a
genome and where words and identifiers end: the letters of the IUPAC code leave out e, i, j, l, o, p, q, x and z, so
no English text reaches 20. It is a belt only: shorter stretches, names and tokens are the business of `Sensitive`.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeAlias, cast
from uuid import UUID

from genescale.sensitive import Sensitive, digest

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"

TEXT_MAX = 8_192  # a line stays readable, and a log pipeline that cuts at 16 KiB keeps it whole
_SCANNED_MAX = 262_144  # a hundred megabytes by mistake must not cost seconds
_ITEMS_MAX = 100
_DEPTH_MAX = 6

_NUCLEOTIDE = "ACGTURYSWKMBDHVNacgturyswkmbdhvn"
# Up to three blanks or hyphens between letters: FASTA wraps lines, GenBank writes groups of ten, alignments have gaps.
_RUN = re.compile(rf"[{_NUCLEOTIDE}](?:[\s\-]{{0,3}}[{_NUCLEOTIDE}]){{19,}}")


def clean(value: object) -> Plain:
    """`value` as JSON types with nothing in it that must not be read. Never raises."""
    try:
        return _clean(value, 0)
    except Exception:  # noqa: BLE001 - any __str__ or __len__ may run here, and a log call must not end the work
        return f"<{type(value).__qualname__} that cannot be shown>"


def text(value: str) -> str:
    """Plain text without sequences, in valid Unicode and of bounded length; a long one loses its middle."""
    if len(value) > _SCANNED_MAX:
        value = _cut(value, _SCANNED_MAX)
    if len(value) >= 20:
        value = _RUN.sub(_hide, value)
    if len(value) > TEXT_MAX:
        value = _cut(value, TEXT_MAX)
    if not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is not Unicode
    return value


def _clean(value: object, depth: int) -> Plain:
    if isinstance(value, Enum):
        value = cast("object", value.value)
    if value is None or isinstance(value, bool):
        return value
    for types, render in _RENDERERS:
        if isinstance(value, types):
            return render(value, depth) if depth < _DEPTH_MAX else "<nested too deeply>"
    return f"<{type(value).__qualname__}>"


def _text(value: Any, _depth: int) -> Plain:
    return text(str.__str__(value))


def _integer(value: Any, _depth: int) -> Plain:
    return int(value) if -(2**63) <= value < 2**63 else f"<integer of {value.bit_length()} bits>"


def _float(value: Any, _depth: int) -> Plain:
    return float(value)


def _sealed(value: Any, _depth: int) -> Plain:
    return repr(value)


def _bytes(value: Any, _depth: int) -> Plain:
    raw = bytes(value)
    return f"<{len(raw)} bytes, {digest(raw)}>"


def _exception(value: Any, depth: int) -> Plain:
    # Not `str(value)`: an exception prints its arguments, and those may be bytes of a payload, or a row of a table.
    # An OSError holds numbers and paths only, and keeps its path outside of its arguments.
    if isinstance(value, OSError):
        return text(f"{type(value).__qualname__}: {value}")
    arguments = [_clean(argument, depth + 1) for argument in value.args]
    if len(arguments) == 1 and isinstance(arguments[0], str):
        return f"{type(value).__qualname__}: {arguments[0]}"
    return text(f"{type(value).__qualname__}{tuple(arguments)!r}")


def _printed(value: Any, _depth: int) -> Plain:
    return text(str(value))


def _mapping(value: Any, depth: int) -> Plain:
    cleaned: dict[str, Plain] = {}
    for key, item in value.items():
        if len(cleaned) >= _ITEMS_MAX:
            cleaned["..."] = f"{len(value)} items in all"
            break
        name = _clean(key, depth + 1)
        cleaned[name if isinstance(name, str) else text(str(name))] = _clean(item, depth + 1)
    return cleaned


def _items(value: Any, depth: int) -> Plain:
    items = [_clean(item, depth + 1) for item in list(value)[:_ITEMS_MAX]]
    # A sequence that was taken apart, letter by letter or in pieces, is still a sequence.
    together = "".join(item if isinstance(item, str) else "|" for item in items)
    if len(together) >= 20 and _RUN.search(together):
        return [f"<{len(value)} pieces of a sequence, {digest(together)}>"]
    if len(value) > _ITEMS_MAX:
        items.append(f"... {len(value)} items in all")
    return items


_Renderer: TypeAlias = Callable[[Any, int], Plain]
_RENDERERS: tuple[tuple[type | tuple[type, ...], _Renderer], ...] = (
    (str, _text),
    (int, _integer),
    (float, _float),
    (Sensitive, _sealed),
    ((bytes, bytearray, memoryview), _bytes),
    (Mapping, _mapping),
    ((Sequence, Set), _items),
    (BaseException, _exception),
    ((PurePath, UUID, date, timedelta, Decimal), _printed),
)


def _hide(match: re.Match[str]) -> str:
    run = match.group()
    return f"<sequence? {len(run)} long, {digest(run)}>"


def _cut(value: str, length: int) -> str:
    half = length // 2
    return f"{value[:half]} <... {len(value) - 2 * half} left out ...> {value[-half:]}"
