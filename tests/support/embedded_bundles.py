"""The embedded references as bundles, compiled once for a run of the tests from the committed files."""

import tempfile
from functools import cache
from pathlib import Path

from genescale.genomics import embedded_build
from genescale.genomics.bundle import Bundle

_FOLDER = tempfile.TemporaryDirectory(prefix="genescale-embedded-")


@cache
def embedded(name: str) -> Bundle:
    """The bundle `mitochondrion` or `clinical-panel`, open. It belongs to everybody: do not close it."""
    return Bundle.open(embedded_build.build(name, Path(_FOLDER.name, name)))
