"""Where trials put what they make: a cache that is kept, folders that are gone afterwards; never the checkout."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from genescale.trials.report import CannotRun


def cache_folder() -> Path:
    """`GENESCALE_CACHE`, else the XDG cache."""
    named = os.environ.get("GENESCALE_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genescale"
    return base.absolute()


def shared_data() -> Path:
    """Where real data lies that is never inside the checkout: `GENESCALE_SHARED_DATA`, else beside it."""
    named = os.environ.get("GENESCALE_SHARED_DATA")
    return Path(named) if named else Path(__file__).parents[4] / "shared" / "data"


@contextmanager
def scratch() -> Generator[Path]:
    """An empty folder on a disk, gone afterwards. Memory would make every fsync free."""
    base = cache_folder() / "trials"
    base.mkdir(parents=True, exist_ok=True)
    if _filesystem(base) in ("tmpfs", "ramfs"):
        raise CannotRun(f"{base} lies in memory, where an fsync proves nothing; set GENESCALE_CACHE to a disk")
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _filesystem(path: Path) -> str:
    """The type of the file system that holds `path`; empty where the system does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    resolved = path.resolve()
    holding = [(len(point), kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return max(holding, default=(0, ""))[1]
