"""Writing or checking one `.compact` file of embedded facts, for the scripts beside this one that derive them.

Import it before anything of `genescale`: it puts the checkout's own code first, installed or not.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from genescale.genomics import compact  # noqa: E402 - the checkout's own code, installed or not

SHARED = Path(os.environ.get("GENESCALE_SHARED_DATA", ROOT.parent / "shared" / "data"))

Derived = tuple[dict[str, Any], dict[str, compact.Column]]
"""What the file says of itself, and all its columns."""


def run(name: str, needed: str, derive: Callable[[Path], Derived], usage: str | None) -> int:
    """Do what the one argument of the command says: write `name`, or compare it with what `derive` gives.

    `needed` is the folder of the shared data without which nothing can be derived; `derive` gets a folder to work in.
    """
    if sys.argv[1:] not in ([], ["--check"]):
        print(usage)
        return 2
    check = sys.argv[1:] == ["--check"]
    target = ROOT / "src/genescale/genomics/embedded" / name
    if not (SHARED / needed).is_dir():
        print(f"{name}: not derived, because {SHARED / needed} is not here; GENESCALE_SHARED_DATA says where")
        return 0 if check else 1
    with tempfile.TemporaryDirectory() as folder:
        about, columns = derive(Path(folder))
        derived = Path(folder, name)
        compact.write(derived, about, columns)
        size = derived.stat().st_size
        if check:
            same = target.exists() and compact.content(derived) == compact.content(target)
            print(f"{name}: {'exact' if same else 'NOT what the sources give; run this without --check'}")
            return 0 if same else 1
        target.write_bytes(derived.read_bytes())
    print(f"{name}: {size:,} bytes. {json.dumps(about['counts'])}")
    return 0


def sha256(path: Path) -> str:
    """The digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
