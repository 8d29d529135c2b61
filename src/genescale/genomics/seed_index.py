"""The index of seeds of a reference: how it is made, and where it is kept.

`reference build --align` keeps it in the bundle (`build_seeds`). Other bundles get theirs when it is first needed; a
large one then stays in the data directory, so that the next run maps it (`seeds_of`). How the index works is told in
`kernels/align.py`. Called by `seeds` and `cli`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from genescale.errors import InvalidInput
from genescale.genomics.bundle import LIST_FILE, Bundle, read_listing
from genescale.genomics.bundle_writer import Writer
from genescale.genomics.kernels import align

Array = npt.NDArray[Any]
kernel = cast("Any", align)  # the annotations of a kernel are the C compiler's, not Python's

SEED_FORMAT: Final = 1
SEEDS: Final = ("seeds-shape", "seeds-offset", "seeds-position", "seeds-check")
UNINDEXED_BASES: Final = 64_000_000  # a bundle without seeds gets them when needed up to this size, within 3 s
KEPT_BASES: Final = 1_000_000  # making the index of less takes 50 ms
SEEDS_FOLDER: Final = ".seeds"
MOST_KEPT: Final = 3  # 2 bytes for each base: 130 MB at most for one


class Seeds(NamedTuple):
    """The arrays of a seed index; `shape` is format, k, stride, bits."""

    shape: Array
    offset: Array
    position: Array
    check: Array


def make_seeds(bundle: Bundle) -> Seeds:
    """The seed index of a bundle, in memory."""
    base, length, circular = stretches(bundle)
    shape = _shape(int(length.sum()), bundle.name)
    _, k, stride, bits = shape
    packed = bundle.array("sequence").data
    views = (packed, base.data, length.data, circular.data, k, stride, bits)
    offset = np.zeros((1 << bits) + 1, np.uint32)
    kernel.count_seeds(*views, offset.data)
    np.cumsum(offset, out=offset)
    position = np.empty(int(offset[-1]), np.uint32)
    check = np.empty(position.size, np.uint8)
    cursor = offset[:-1].copy()
    kernel.fill_seeds(*views, cursor.data, position.data, check.data)
    return Seeds(np.array(shape, np.int64), offset, position, check)


def _shape(total: int, name: str) -> tuple[int, int, int, int]:
    """Format, k, stride and bits of the index of a reference of `total` bases."""
    if total >= 1 << 32:
        raise InvalidInput(f"{name} has {total} bases; seeds can be made for at most {(1 << 32) - 1}", code="too_large")
    # Words are long enough to be rare: 4**k is some sixteen times the reference. Large references are sampled.
    k = min(16, max(11, math.ceil(math.log(max(total, 2), 4)) + 1))
    stride = 1 if total < 200_000 else 2 if total < 10_000_000 else 4 if total < 200_000_000 else 10
    return SEED_FORMAT, k, stride, min(2 * k, max(8, (total // stride).bit_length() - 1))


def seeds_of(bundle: Bundle) -> Seeds:
    """The seed index of a bundle: its own, the one kept from an earlier run, or one made now.

    Raises `InvalidInput` for a reference without an index that is too large to be indexed while somebody waits.
    """
    if all(bundle.has(name) for name in SEEDS):
        return Seeds(*(bundle.array(name) for name in SEEDS))
    bases = int(stretches(bundle)[1].sum())
    if bases > UNINDEXED_BASES:
        raise InvalidInput(
            f"the bundle {bundle.name} has no seeds, so DNA cannot be placed in it: "
            f"`genescale reference build --align` makes them",
            code="no_seeds",
        )
    if bundle.derived is None or bases < KEPT_BASES:
        return make_seeds(bundle)
    folder = bundle.derived / SEEDS_FOLDER / bundle.digest
    return _kept(folder, _shape(bases, bundle.name)) or _keep(folder, make_seeds(bundle))


def _kept(folder: Path, shape: tuple[int, ...]) -> Seeds | None:
    """The index in `folder`, mapped; None where there is none of this shape whose parts fit each other."""
    try:
        found = Seeds(*(np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in SEEDS))
    except (OSError, ValueError, EOFError):
        return None  # a file is missing or short: the index is made again
    kinds = (np.int64, np.uint32, np.uint32, np.uint8)
    if any(array.ndim != 1 or array.dtype != kind for array, kind in zip(found, kinds, strict=True)):
        return None
    fits = tuple(found.shape.tolist()) == shape and found.offset.size == (1 << shape[-1]) + 1
    return found if fits and found.offset[-1] == found.position.size == found.check.size else None


def _keep(folder: Path, seeds: Seeds) -> Seeds:
    """Put the index into `folder` for the next run and map it from there; the oldest of too many goes.

    Where nothing can be written, in a read-only folder or on a full disk, the index stays in memory.
    """
    arriving = folder.with_name(f".{folder.name}.arriving-{os.getpid()}")
    try:
        arriving.mkdir(parents=True)
    except OSError:
        return seeds
    try:
        for name, array in zip(SEEDS, seeds, strict=True):
            with (arriving / f"{name}.npy").open("wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())  # it is trusted without being read, so it must be whole after a power cut
        shutil.rmtree(folder, ignore_errors=True)  # one that does not fit
        arriving.rename(folder)
        by_age = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in [path for path in by_age if path != folder][MOST_KEPT - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        shutil.rmtree(arriving, ignore_errors=True)
    return _kept(folder, tuple(seeds.shape.tolist())) or seeds


def build_seeds(bundle_dir: str | Path) -> None:
    """Make the seed index of the bundle in `bundle_dir` and keep it there, so that opening it costs nothing.

    The bundle's digest stays: an index says nothing that the sequence does not say.
    """
    folder = Path(bundle_dir)
    with Bundle.open(folder) as bundle:
        seeds = make_seeds(bundle)
    writer = Writer(folder)
    for name, array in zip(SEEDS, seeds, strict=True):
        writer.write(name, array)
    listing = read_listing(folder)
    listing["arrays"] = dict(sorted({**listing["arrays"], **writer.arrays}.items()))
    renewed = folder / f".{LIST_FILE}.arriving"
    renewed.write_text(json.dumps(listing, indent=1) + "\n")
    renewed.replace(folder / LIST_FILE)


def stretches(bundle: Bundle) -> tuple[Array, Array, Array]:
    """Base index, length and roundness of each segment. Only a contig that is known whole can be walked round."""
    base = np.array(bundle.array("segment_base"), np.int64)
    start = np.asarray(bundle.array("segment_start"), np.int64)
    length = np.asarray(bundle.array("segment_end"), np.int64) - start
    contig = bundle.array("segment_contig")
    whole = length == np.asarray(bundle.array("contig_length"), np.int64)[contig]
    return base, length, (np.asarray(bundle.array("contig_circular"))[contig].astype(bool) & whole).astype(np.uint8)
