"""The built web pages, read once into memory.

A request is answered by looking its path up in a table, so no path that somebody invents can reach the disk. The build
puts a hash of the content into the names below `assets/`: such a file never changes and may be kept for ever, while
`index.html`, which names them, must be asked for each time.
"""

import gzip
import mimetypes
from pathlib import Path
from typing import NamedTuple

INDEX = "index.html"

_FOR_EVER = b"public, max-age=31536000, immutable"
_NEVER = b"no-store"
_A_WHILE = b"public, max-age=3600"
_SHRINKS = ("text/", "application/javascript", "application/json", "image/svg+xml")
_WORTH_SHRINKING_BYTES = 1_000


class Page(NamedTuple):
    """One answer, ready to send. `shrunk` is the same in gzip, None where that would save nothing."""

    status: int
    content_type: bytes
    cache_control: bytes
    body: bytes
    shrunk: bytes | None


def load_pages(folder: Path) -> dict[str, Page]:
    """All pages below `folder` by their path on the web; one plain page that says how to build when there are none."""
    if not (folder / INDEX).is_file():
        return {"/": _not_built(folder)}
    pages = {
        "/" + file.relative_to(folder).as_posix(): _read(file, hashed=file.parent.name == "assets")
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }
    pages["/"] = pages["/" + INDEX]
    return pages


def _read(file: Path, *, hashed: bool) -> Page:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if kind == "text/javascript" or kind.startswith("text/"):
        kind += "; charset=utf-8"
    cache = _FOR_EVER if hashed else _NEVER if file.name == INDEX else _A_WHILE
    return _page(200, kind, cache, file.read_bytes())


def _page(status: int, kind: str, cache_control: bytes, body: bytes) -> Page:
    shrunk = None
    if kind.startswith(_SHRINKS) and len(body) >= _WORTH_SHRINKING_BYTES:
        shrunk = gzip.compress(body, mtime=0)
    return Page(status, kind.encode(), cache_control, body, shrunk)


def _not_built(folder: Path) -> Page:
    body = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Genescale: the portal is not built</title>
<h1>The portal is not built</h1>
<p>Genescale runs, but its web pages are missing from <code>{folder.name}</code> in the package.</p>
<p>In a checkout, build them with <code>uv sync --reinstall-package genescale</code>, without
<code>GENESCALE_SKIP_UI</code> in the environment. Then start Genescale again.</p>
<p>What works meanwhile: <a href="/api/v1/platform">the state of the platform</a>, <a href="/health">health</a>,
<a href="/ready">readiness</a>, <a href="/metrics">metrics</a>.</p>
</html>
"""
    return _page(503, "text/html; charset=utf-8", _NEVER, body.encode())
