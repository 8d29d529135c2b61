"""One way for a test to say which system part it needs.

On a laptop a missing part skips the test and says which part; under `GENESCALE_REQUIRE_ALL=1` (`.ci/run`) it fails, so
that nothing is skipped in silence there.
"""

import os
from typing import NoReturn

import pytest


def missing(part: str, way_out: str) -> NoReturn:
    """Skip, or fail where everything is demanded: `part` is not on this machine, `way_out` says how to get it."""
    reason = f"{part} is missing: {way_out}"
    if os.environ.get("GENESCALE_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (GENESCALE_REQUIRE_ALL=1 demands it)")
    pytest.skip(reason)


def require(part: str, present: object, way_out: str) -> None:
    """Go on only when `present` is true."""
    if not present:
        missing(part, way_out)
