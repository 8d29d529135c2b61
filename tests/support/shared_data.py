"""Real data that lies beside the checkout on a developer's machine and never inside it (`docs/how-to/` says what)."""

import os
from pathlib import Path

import pytest

HOME = Path(os.environ.get("GENESCALE_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def shared_data(path: str) -> Path:
    """The file or folder `path` below the shared data, or a skip that says what is missing and how to point at it."""
    found = HOME / path
    if not found.exists():
        pytest.skip(
            f"the shared data {path} is not beside this checkout; GENESCALE_SHARED_DATA=FOLDER says where it is"
        )
    return found
