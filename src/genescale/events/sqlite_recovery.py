"""What the first process does that opens a log: it looks for damage before SQLite can pass over it in silence.

Nobody else has the log open meanwhile. An unfinished write at the end of a write-ahead log is cut back and told.
Anything else that is not as it should be is refused with its place, and not touched.
"""

from pathlib import Path

from genescale.errors import LogDamaged
from genescale.events import sqlite_groups as groups
from genescale.events.sqlite_file import (
    APPLICATION_ID,
    PAGE_BYTES,
    missing,
    page_sum_matches,
)
from genescale.store import wal
from genescale.store.durable import sync_folder

_MAGIC = b"SQLite format 3\x00"


def recover(catalogue: Path, topics: Path) -> list[str]:
    """Look at all files of a log that nobody has open; what was cut back. Raises `LogDamaged` when that is no way."""
    files = sorted(topics.glob("*.db"))
    if files and not (catalogue.exists() and catalogue.stat().st_size):
        raise missing(catalogue)
    notes = [_recover_unfinished(catalogue) if not files else recover_file(catalogue)]
    groups.lay_out_catalogue(catalogue)
    specs = groups.topics_in(catalogue)
    for name, spec in specs.items():
        path = topics / f"{name}.db"
        if not path.exists() or not path.stat().st_size:
            raise missing(path)
        notes.append(recover_file(path, power_safe=spec.power_safe))
    notes += [_recover_unfinished(path) for path in files if path.stem not in specs]
    return [note for note in notes if note]


def _recover_unfinished(path: Path) -> str:
    """A file that perhaps was being made when the process ended or the power failed: no other file counts on it."""
    if not path.exists():
        return ""
    content = path.read_bytes() if path.stat().st_size <= PAGE_BYTES else b""
    whole = len(content) == PAGE_BYTES and content[:16] == _MAGIC and page_sum_matches(content)
    if path.stat().st_size > PAGE_BYTES or whole or wal.scan(path.with_name(path.name + "-wal")).committed:
        return recover_file(path)
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    aside = path.replace(path.with_name(path.name + ".unfinished"))
    sync_folder(path.parent)
    return f"{path} was never finished, holds no record, and is now {aside.name}"


def recover_file(path: Path, *, power_safe: bool = True) -> str:
    """Look at one file that nobody has open. A torn tail is cut and told; damage in the middle is refused."""
    wal_path = path.with_name(path.name + "-wal")
    state = wal.scan(wal_path)
    if state.damage == "middle" and (power_safe or not state.page_bytes):
        what = f"is damaged in the middle: {state.committed} frames are in order, then something written later is not"
        raise refused(wal_path, state.place, what)
    if path.exists():
        _check_length(path, wal_path, state)
    if state.damage != "none":
        cut = wal.cut(wal_path, state)
        sync_folder(wal_path.parent)
        return f"{wal_path}: the last {cut:,} bytes were an unfinished write ({state.place}) and were cut back"
    return ""


def _check_length(path: Path, wal_path: Path, state: wal.WalState) -> None:
    """A main file that is shorter than it should be has lost pages, unless the write-ahead log still has them."""
    with path.open("rb") as file:
        first = file.read(PAGE_BYTES)
    if not first:
        return
    if first[:16] != _MAGIC:
        raise refused(path, "the header at byte 0", "does not begin like a SQLite file")
    held: set[int] = set()
    pages = 0
    for frame in wal.frames(wal_path, state):  # the last of them ends a transaction, and says how long the file is
        held.add(frame.page)
        pages = frame.pages_after_commit
    ours = int.from_bytes(first[68:72], "big") == APPLICATION_ID
    if not held and (ours or len(first) < PAGE_BYTES):  # a file of another program is told as such when it is opened
        if len(first) < PAGE_BYTES or not page_sum_matches(first):
            raise refused(path, "page 1 at byte 0", "has a first page that is cut off or has the wrong checksum")
        pages = int.from_bytes(first[28:32], "big")
    present = path.stat().st_size // PAGE_BYTES
    lost = next((page for page in range(present + 1, pages + 1) if page not in held), 0)
    if lost:
        place = f"page {lost} at byte {(lost - 1) * PAGE_BYTES:,}"
        raise refused(path, place, f"has {present} pages and should have {pages}: it was cut off")


def refused(path: Path, place: str, what: str) -> LogDamaged:
    """Damage that was found at opening, and the way out."""
    return LogDamaged(
        f"{path} {what} ({place}). Nothing was skipped or changed. Restore a copy, or save what can be read with "
        "`genescale events salvage`",
        path=str(path),
        place=place,
    )
